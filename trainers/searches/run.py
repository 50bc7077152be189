"""Runs the trials that a search still lacks, in worker processes, and writes their results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import optuna
import tqdm

from fullrank.data.files.scratch import try_lock
from fullrank.data.files.write_aside import remove_directory
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.layers.checks.arguments import derived_seed
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.searches.config import SearchConfig
from fullrank.trainers.searches.report import write_report
from fullrank.trainers.searches.space import read_space
from fullrank.trainers.searches.trial import ERROR, RUN, Task, config_of, open_study, run_trial
from fullrank.trainers.studies.pool import run_jobs
from fullrank.trainers.training.callbacks.monitors import is_better, monitored, watched
from fullrank.trainers.training.warm_start import check_start
from fullrank.trainers.training.wirings import wiring_of_data


def run_search(config: SearchConfig, *, flags: Sequence[str]) -> int:
    """Runs a search to its end, or resumes it.

    Args:
      config: The configuration of the search.
      flags: Flags of train that all trials share.

    Returns:
      The number of failed trials.

    Raises:
      ValueError: If space, flags or records are wrong, the directory holds another search, or no trial succeeded.
    """
    space, output = read_space(config.space), Path(config.output)
    schema = read_schema(config.data)
    task = Task(
        data=config.data,
        output=config.output,
        space=space,
        flags=tuple(flags),
        direction="minimize",
        pruning=config.pruning,
        seed=config.sampler_seed,
    )
    task = dataclasses.replace(task, direction=_direction(task, schema))
    output.mkdir(parents=True, exist_ok=True)
    with _locked(output):
        _claim(output, task)
        study = open_study(output, direction=task.direction)
        _take_up_interrupted(study)
        missing = config.trials - len(_counted(study))
        print(f"{max(missing, 0)} of {config.trials} trials to do, {config.workers} at a time.", flush=True)
        _run(task, study, missing, config=config)
        trials = _counted(study)
        failed = [trial for trial in trials if trial.state == optuna.trial.TrialState.FAIL]
        if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials):
            reason = failed[-1].user_attrs.get(ERROR, "unknown") if failed else "all were pruned"
            raise ValueError(f"{output}: no trial succeeded. The last one failed with: {reason}")
        print(write_report(study, trials, task=task))
    return len(failed)


def _direction(task: Task, schema: Schema) -> str:
    """Checks each value that the space names, together with the first values of the other flags."""
    first = [f"--{dimension.flag}={dimension.examples[0]}" for dimension in task.space]
    compared: dict[_Compared, str] = {}
    for place, dimension in enumerate(task.space):
        for text in dimension.examples:
            drawn = [*first[:place], f"--{dimension.flag}={text}", *first[place + 1 :]]
            try:
                config = config_of(task, drawn, run=str(Path(task.output) / "run"))
                compared.setdefault(_compared(config, schema), f"--{dimension.flag}={text}")
                if config.warm_start.start is not None:
                    check_start(config, schema)
            except ValueError as error:
                raise ValueError(f"{' '.join(drawn)}: {error}") from error
    if len(compared) > 1:
        raise ValueError(
            f"--space: trials with {' and '.join(list(compared.values())[:2])} would be compared by different metrics, "
            "tasks or rows: take the flag out of the space, or name by --monitor=TASK_METRIC what all of them have."
        )
    (found,) = compared
    return "maximize" if is_better(1.0, 0.0, found.metric) else "minimize"


class _Compared(NamedTuple):
    """What trials are compared by: a metric in the logs, the tasks it is of, and the rows it is taken over."""

    metric: str
    tasks: tuple[str, ...]
    split: str


def _compared(config: RunConfig, schema: Schema) -> _Compared:
    if not config.data.validation_split:
        raise ValueError("a search compares validation metrics, but --validation_split is empty.")
    wiring = wiring_of_data(config.model, schema)
    labels = zip(wiring.tasks, wiring.labels, strict=True)
    is_binary = {task: schema.label(label).type == "binary" for task, label in labels}
    metric = monitored(
        config.train.monitor,
        tasks=tuple(task for task, binary in is_binary.items() if binary),
        values=tuple(task for task, binary in is_binary.items() if not binary),
        auxiliary=wiring.auxiliary,
        calibrated=config.objective.calibrate,
    )
    tasks, _ = watched(metric, tasks=is_binary)
    return _Compared(metric, tasks, config.data.validation_split)


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Keeps a second search out of the directory; the lock ends with the process."""
    with open(output / ".lock", "a", encoding="utf-8") as lock:
        if try_lock(lock.fileno()) is False:
            raise ValueError(f"{output}: another process is searching here; wait for it, or choose another --output.")
        yield


def _claim(output: Path, task: Task) -> None:
    """Records the search that the directory belongs to, or checks that it is the same."""
    plan = {
        "data": str(Path(task.data).resolve()),
        "flags": list(task.flags),
        "space": [dataclasses.asdict(dimension) for dimension in task.space],
        "direction": task.direction,
    }
    file = output / "search.json"
    if file.exists():
        stored = json.loads(file.read_text(encoding="utf-8"))
        different = [name for name, value in json.loads(json.dumps(plan)).items() if stored.get(name) != value]
        if different:
            raise ValueError(f"{output} holds another search ({', '.join(different)} differ): choose another --output.")
    write_json(plan, file)


def _take_up_interrupted(study: optuna.Study) -> None:
    """Queues trials again that were running when an earlier process was killed, with their run directories."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if RUN in trial.user_attrs and trial.params:
            study.enqueue_trial(trial.params, user_attrs={RUN: trial.user_attrs[RUN]})
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Finished trials, without those that were killed: they have no reason, and other trials continue them."""
    finished = study.get_trials(deepcopy=False, states=tuple(s for s in optuna.trial.TrialState if s.is_finished()))
    failed = optuna.trial.TrialState.FAIL
    return [trial for trial in finished if trial.state != failed or ERROR in trial.user_attrs]


def _run(task: Task, study: optuna.Study, missing: int, *, config: SearchConfig) -> None:
    if missing <= 0:
        return
    begun = len(study.get_trials(deepcopy=False))
    tasks = [
        dataclasses.replace(task, seed=derived_seed(task.seed, "trial", begun + number)) for number in range(missing)
    ]

    def done(number: int) -> None:
        _say(study, number)
        if not config.keep_runs:
            _remove_all_but_best(study)

    run_jobs(tasks, run_trial, done=done, workers=config.workers, title="search", unit="trial")


def _say(study: optuna.Study, number: int) -> None:
    trial = study.get_trials(deepcopy=False)[number]
    values = " ".join(f"--{name}={value}" for name, value in trial.params.items())
    if trial.state == optuna.trial.TrialState.COMPLETE:
        came_to = f"{trial.value:.5f}" + (", the best so far" if study.best_trial.number == number else "")
    elif trial.state == optuna.trial.TrialState.PRUNED:
        came_to = f"pruned after epoch {trial.last_step}"
    else:
        came_to = f"failed: {trial.user_attrs.get(ERROR)}"
    tqdm.tqdm.write(f"trial {number}: {came_to} ({values})")


def _remove_all_but_best(study: optuna.Study) -> None:
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    best = study.best_trial.user_attrs[RUN] if complete else None
    for trial in complete:
        if trial.user_attrs[RUN] != best:
            remove_directory(Path(trial.user_attrs[RUN]))
