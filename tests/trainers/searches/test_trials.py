"""Searches whose trainings are stand-ins: what is drawn, kept, pruned, resumed and written."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from jobs_here import run_jobs_here
from ran_commands import ran

from fullrank.data.files.scratch import try_lock
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.search import run
from fullrank.trainers.searches import run as search_run
from fullrank.trainers.searches import trial as one_trial
from fullrank.trainers.searches.trial import open_study

_FLAGS = ("--model=single", "--experts=flat", "--hidden=4", "--tower=", "--epochs=2", "--monitor=ne")
_SPACE = "learning_rate=log:1e-4..1e-1,widths=2|4"


class Trainings:
    """Stands in for training: `value` makes a validation NE of a run's configuration."""

    def __init__(self) -> None:
        self.configs: list[RunConfig] = []
        self.value: Callable[[RunConfig], float | None] = lambda config: config.optimizer.learning_rate

    def __call__(
        self, config: RunConfig, *, command: list[str], after_epoch: Callable[[int, float], None]
    ) -> dict[str, Any]:
        assert command[0] == "search"
        self.configs.append(config)
        Path(config.train.output).mkdir(parents=True, exist_ok=True)
        print("words of a training")
        value = self.value(config)
        after_epoch(1, math.nan if value is None else value)
        after_epoch(2, math.nan)
        return {"best_epoch": 1, "monitor": "val_ne", "best": {} if value is None else {"val_ne": value}}


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    found = Trainings()
    monkeypatch.setattr(one_trial, "train_model", found)
    monkeypatch.setattr(search_run, "run_jobs", run_jobs_here)
    return found


@pytest.fixture
def searched(toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `fullrank search` into `out`; gives code, output and error output."""

    def search(*own: str, shared: tuple[str, ...] = _FLAGS) -> tuple[int, str, str]:
        given = (f"--data={toy_records}", f"--output={tmp_path / 'out'}", f"--space={_SPACE}", *own, "--", *shared)
        return ran(capsys, run, *given)

    return search


def table(output: Path) -> list[dict[str, str]]:
    with open(output / "trials.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def runs(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "runs").iterdir() if not path.name.startswith("."))


def test_the_best_is_written_and_its_run_alone_is_kept(
    trainings: Trainings, searched: Callable[..., Any], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    code, out, _ = searched("--trials=5")
    assert code == 0
    assert "5 of 5 trials to do, 1 at a time." in out
    assert "words of a training" not in out
    rates = [config.optimizer.learning_rate for config in trainings.configs]
    assert len(set(rates)) == 5
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    rows = table(output)
    assert [(row["trial"], row["state"]) for row in rows] == [(str(number), "complete") for number in range(5)]
    assert [float(row["value"]) for row in rows] == rates
    assert [(row["widths"],) for row in rows] == [tuple(map(str, c.model.widths)) for c in trainings.configs]
    best = json.loads((output / "best.json").read_text())
    number = rates.index(min(rates))
    assert (best["trial"], best["value"], best["epoch"]) == (number, min(rates), 1)
    assert best["flags"][: len(_FLAGS)] == list(_FLAGS)
    assert f"--learning_rate={min(rates)}" in best["flags"]
    assert runs(output) == [f"trial-{number}"]
    assert "5 trials complete, 0 pruned, 0 failed. The best:" in out
    assert "Share of the differences by flag (fANOVA): learning_rate" in out
    assert f"fullrank evaluate --run={best['run']} --split=test" in out
    assert (output / "search.png").stat().st_size > 10_000


def test_a_search_goes_on_and_is_not_mixed_with_another(
    trainings: Trainings, searched: Callable[..., Any], tmp_path: Path
) -> None:
    first = searched("--trials=1", "--keep_runs")
    assert "Too few trials for importances." in first[1]
    assert "2 of 3 trials to do" in searched("--trials=3", "--keep_runs")[1]
    assert runs(tmp_path / "out") == ["trial-0", "trial-1", "trial-2"]
    assert len({config.optimizer.learning_rate for config in trainings.configs}) == 3
    assert "0 of 3 trials to do" in searched("--trials=3")[1]
    assert len(trainings.configs) == 3
    code, _, err = searched("--trials=3", shared=(*_FLAGS, "--batch_size=32"))
    assert code == 1
    assert "holds another search (flags differ): choose another --output." in err


def test_a_metric_that_is_better_if_larger_is_maximized(
    trainings: Trainings, searched: Callable[..., Any], tmp_path: Path
) -> None:
    trainings.value = lambda config: None if config.train.monitor != "auc" else config.optimizer.learning_rate
    assert searched("--trials=3", shared=(*_FLAGS, "--monitor=auc"))[0] == 0
    rates = [config.optimizer.learning_rate for config in trainings.configs]
    assert json.loads((tmp_path / "out" / "best.json").read_text())["value"] == max(rates)


def test_a_trial_below_the_median_is_stopped(
    trainings: Trainings, searched: Callable[..., Any], tmp_path: Path
) -> None:
    trainings.value = lambda _: 0.9 if len(trainings.configs) == 6 else 0.5
    code, out, err = searched("--trials=6")
    assert code == 0
    assert "trial 5: pruned after epoch 1" in out + err
    assert "5 trials complete, 1 pruned, 0 failed" in out
    assert [row["state"] for row in table(tmp_path / "out")] == ["complete"] * 5 + ["pruned"]
    assert not (tmp_path / "out" / "runs" / "trial-5").exists()


def test_without_pruning_every_trial_ends(trainings: Trainings, searched: Callable[..., Any]) -> None:
    trainings.value = lambda _: 0.9 if len(trainings.configs) == 6 else 0.5
    assert "6 trials complete, 0 pruned" in searched("--trials=6", "--nopruning")[1]


def test_a_failed_trial_keeps_its_reason_and_makes_the_command_fail(
    trainings: Trainings, searched: Callable[..., Any], tmp_path: Path
) -> None:
    def value(config: RunConfig) -> float:
        if len(trainings.configs) == 1:
            raise RuntimeError("no memory")
        return 0.5

    trainings.value = value
    code, out, err = searched("--trials=2")
    assert code == 1
    assert "trial 0: failed: RuntimeError: no memory (--learning_rate=" in out + err
    assert [(row["state"], row["error"]) for row in table(tmp_path / "out")] == [
        ("fail", "RuntimeError: no memory"),
        ("complete", ""),
    ]
    assert runs(tmp_path / "out") == ["trial-1"]


def test_a_search_without_a_value_says_why(trainings: Trainings, searched: Callable[..., Any]) -> None:
    trainings.value = lambda _: None
    code, _, err = searched("--trials=1")
    assert code == 1
    assert "no trial succeeded. The last one failed with: ValueError: val_ne was undefined in every validation" in err


def test_an_interrupted_trial_goes_on_in_its_run_directory(
    trainings: Trainings, searched: Callable[..., Any], tmp_path: Path
) -> None:
    output, left = tmp_path / "out", tmp_path / "out" / "runs" / "trial-0"
    output.mkdir()
    study = open_study(output, direction="minimize")
    begun = study.ask()
    begun.set_user_attr("run", str(left))
    rate = begun.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    widths = begun.suggest_categorical("widths", ("2", "4"))
    study.ask()  # killed before anything was drawn: there is nothing to take up
    assert "1 of 1 trials to do" in searched("--trials=1")[1]
    (config,) = trainings.configs
    assert config.train.output == str(left)
    assert (config.optimizer.learning_rate, config.model.widths) == (rate, (int(widths),))
    assert [row["trial"] for row in table(output)] == ["2"]
    states = [trial.state for trial in study.get_trials()]
    assert states == [optuna.trial.TrialState.FAIL, optuna.trial.TrialState.FAIL, optuna.trial.TrialState.COMPLETE]


def test_two_searches_do_not_share_a_directory(
    trainings: Trainings, searched: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out" / ".lock", "a", encoding="utf-8") as lock:
        assert try_lock(lock.fileno())
        code, _, err = searched("--trials=1")
    assert code == 1
    assert "another process is searching here" in err
    assert not trainings.configs
