"""One run of a study: trains one variant with one seed, evaluates it, and returns the numbers for the tables.

Jobs run in worker processes; nothing but plain data goes in and out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import multiprocessing.process
import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Final

from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly
from fullrank.data.files.write_aside import remove_directory
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.config.flags import run_config
from fullrank.trainers.evaluation.configs import EvaluateConfig

_FIXED: Final = ("--progress=none", "--tensorboard=false", "--overwrite")
_KEPT: Final = ("examples", "auc", "log_loss", "ne", "gauc", "ece", "bias", "inconsistency")
ABUNDANCE: Final = ("ia", "ia_share")
"""Statistics of a run's embedding tables, the same for all of its tasks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A run to train and evaluate.

    Attributes:
      variant: Its name.
      seed: Seed of the run.
      data: Directory of the records.
      flags: Flags of each run: flags of `fullrank train`, without data, output and seed. Several runs predict
        different tasks.
      run: Run directory.
      split: Split to evaluate on.
      segments: Columns over whose values to report.
      duplicates: As in `fullrank evaluate`.
      abundance: Whether to measure the information abundance of the embedding tables.
      keep: Whether the run directory is kept.
    """

    variant: str
    seed: int
    data: str
    flags: tuple[tuple[str, ...], ...]
    run: str
    split: str
    segments: tuple[str, ...]
    duplicates: str | None
    abundance: bool
    keep: bool


def start_worker(threads: int) -> None:
    """Gives a worker process its share of the cores, before TensorFlow is used, and ends it with its parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = str(threads)
    import_tensorflow_quietly()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # a process of several models traces the same functions again


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    """Waits for the parent to end: a killed one cannot end its workers, which would go on to write into its files."""
    parent.join()
    os._exit(1)


def run_job(job: Job) -> list[dict[str, Any]]:
    """Trains and evaluates.

    Returns:
      One result: `variant`, `seed`, `tasks` (task -> statistics), `seconds`, `cpu_seconds`, `weights`; or `error` in
      place of the results.
    """
    result: dict[str, Any] = {"variant": job.variant, "seed": job.seed}
    silence, wall, cpu = io.StringIO(), time.perf_counter(), time.process_time()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            result |= _results(job)
    except Exception as error:  # one failed run must not end a study of many hours; the table shows what failed
        trace = traceback.extract_tb(error.__traceback__)[-1]
        result["error"] = f"{type(error).__name__}: {error} ({Path(trace.filename).name}:{trace.lineno})"
    result["seconds"] = round(time.perf_counter() - wall, 2)
    result["cpu_seconds"] = round(time.process_time() - cpu, 2)
    if not job.keep:
        remove_directory(Path(job.run))
    return [result]


def config_of(job: Job, *, number: int = 0) -> RunConfig:
    """The configuration of a job's run.

    Raises:
      ValueError: If a flag is unknown or a value is rejected.
    """
    places = [f"--data={job.data}", f"--output={_directory(job, number)}", f"--seed={job.seed}"]
    try:
        return run_config([*places, *job.flags[number], *_FIXED])
    except ValueError as error:
        raise ValueError(f"variant {job.variant!r}: {error}") from error


def _results(job: Job) -> dict[str, Any]:
    runs = [_result_of(job, number) for number in range(len(job.flags))]
    return {
        "tasks": {task: values for run in runs for task, values in run["tasks"].items()},
        "best_epoch": max(run["best_epoch"] for run in runs),
        "weights": sum(run["weights"] for run in runs),
    }


def _result_of(job: Job, number: int) -> dict[str, Any]:
    from fullrank.analysis.embeddings.table_spectra import joined_abundance, mean_abundance
    from fullrank.analysis.inputs import open_input
    from fullrank.layers.legacy_keras import keras
    from fullrank.trainers.evaluation.evaluate_run import evaluate_run
    from fullrank.trainers.training.train_model import train_model

    keras.backend.clear_session()
    trained = train_model(config_of(job, number=number), command=["study", *job.flags[number]])
    evaluated = evaluate_run(
        EvaluateConfig(run=_directory(job, number), split=job.split, segments=job.segments, duplicates=job.duplicates)
    )
    measured = mean_abundance(joined_abundance(open_input(_directory(job, number)))) if job.abundance else {}
    tasks = {
        task: {name: value for name, value in statistics.items() if name in _KEPT}
        | measured
        | {"segments": {segment: _shortened(values) for segment, values in statistics["segments"].items()}}
        for task, statistics in evaluated.items()
    }
    return {"tasks": tasks, "best_epoch": trained["best_epoch"], "weights": trained["weights"]}


def _directory(job: Job, number: int) -> str:
    return job.run if len(job.flags) == 1 else str(Path(job.run) / str(number))


def _shortened(values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {value: {name: entry[name] for name in _KEPT if name in entry} for value, entry in values.items()}
