"""A training step with the default flags, against the same model with the flags that the first defaults were.

    python benchmarks/default_step.py --data=records --model=mmoe

Numbers by piecewise instead of bucketed embeddings, dropout, ids read as unknown, small tables by the optimiser of the
tables, a sequence scale of 0.3: what each of them costs is measured by taking it back alone, and all together. Batches
are read before, and are of one size on both sides. Without `--data`, records are drawn by `fullrank prepare`.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import operator
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

import report
from fullrank.data import prepare, read_schema
from fullrank.trainers.config.flags import run_config
from fullrank.trainers.training.build_model import build_model, compile_model
from fullrank.trainers.training.records import training_batches

EARLIER: Final = {
    "numbers": ("--numeric=buckets", "--buckets=32"),
    "dropout": ("--dropout=0",),
    "unknown ids": ("--unknown_share=0",),
    "small tables": ("--small_tables=dense",),
    "sequence scale": ("--sequence_scale=1",),
}
"""What was changed -> the flags that take it back."""
STEPS, BATCHES = 8, 4


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: shows that it runs")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--data", metavar="RECORDS", help="records to train on; by default synthetic ones are drawn")
    parser.add_argument("--model", default="me", help="the model to train; by default me")
    parser.add_argument("--batch_size", type=int, help="examples per step; 2048 by default, 64 with --quick")
    options = parser.parse_args()
    size = options.batch_size or (64 if options.quick else 2048)
    with tempfile.TemporaryDirectory() as temporary:
        data = options.data or _drawn(Path(temporary) / "records", rows=3_000 if options.quick else 100_000)
        given = (f"--data={data}", f"--output={temporary}/run", f"--model={options.model}", f"--batch_size={size}")
        batches = _batches(given, number=1 if options.quick else BATCHES)
        today = _steps(given, batches)
        every = tuple(itertools.chain(*EARLIER.values()))
        rows = []
        for name, flags in {"all of them": every, **({} if options.quick else EARLIER)}.items():
            before = _steps((*given, *flags), batches)
            timing = report.alternate(today, before, rounds=2 if options.quick else 40, warmup=2)
            for clock, ours, reference in (
                ("", timing.ours, timing.reference),
                (" (processor time)", timing.ours_cpu, timing.reference_cpu),
            ):
                row = report.compare(
                    name=f"step with today's defaults / without: {name}{clock}",
                    ours=ours.scaled(1e3 / STEPS),
                    reference=reference.scaled(1e3 / STEPS),
                    # Of each round by itself: a machine that others use changes its speed between rounds.
                    ratio=statistics.median(map(operator.truediv, ours.values, reference.values)),
                    goal="<= 1.02",
                    unit="ms",
                )
                rows.append(row)
    report.emit(rows, options.json)


def _drawn(output: Path, *, rows: int) -> Path:
    prepare.run(["prepare", "--dataset=synthetic", f"--rows={rows}", f"--output={output}", "--noprogress"])
    return output


def _batches(flags: tuple[str, ...], *, number: int) -> list[Any]:
    config = run_config(flags)
    with tempfile.TemporaryDirectory() as cache:
        return list(training_batches(config, read_schema(config.data.data), cache=Path(cache)).take(number))


def _steps(flags: tuple[str, ...], batches: list[Any]) -> Callable[[], None]:
    """Builds a model; returns a function that trains it for `STEPS` steps."""
    config = run_config(flags)
    schema = read_schema(config.data.data)
    model = build_model(config.model, schema, objective=config.objective, exposure=config.exposure, seed=1)
    compile_model(model, config.optimizer, total_steps=100)
    step = model.make_train_function()
    data = functools.reduce(tf.data.Dataset.concatenate, [tf.data.Dataset.from_tensors(batch) for batch in batches])
    endless = iter(data.repeat())

    def run() -> None:
        for _ in range(STEPS):
            logs = step(endless)
        for value in logs.values():
            value.numpy()

    return run


if __name__ == "__main__":
    main()
