"""A killed run takes the same steps again, and what a run directory refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_runs import events, lines, small

from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.training.callbacks.saving import Saving
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.train_model import train_model


class Killed(BaseException):
    """Stands in for kill -9: nothing after it runs."""


def deterministic(records: Path, output: Path, **changes: Any) -> RunConfig:
    """A run that can be compared bit by bit."""
    return small(records, output, deterministic=True, checkpoint_steps=7, tensorboard=True, **changes)


@pytest.fixture(autouse=True, scope="module")
def _op_determinism_stays_off() -> Iterator[None]:
    """TensorFlow's switch cannot be turned back for the tests after; on data this small operations agree without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
        yield


@pytest.fixture(scope="module")
def whole(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    output = tmp_path_factory.mktemp("whole") / "run"
    train_model(deterministic(toy_records, output))
    return output


def weights(run: Path) -> list[np.ndarray[Any, Any]]:
    return [variable.numpy() for variable in load_run(run).model.weights]


def kill_at_save(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Lets the process die when it is about to write that checkpoint, counted from 1."""
    saves = []

    def now(self: Saving) -> None:
        saves.append(1)
        if len(saves) == number:
            raise Killed
        original(self)

    original = Saving._now
    monkeypatch.setattr(Saving, "_now", now)


# 19 steps per epoch, checkpoints after 7, 14, 19 (with validation), 26 and 33 steps.
@pytest.mark.parametrize(
    ("save", "resumed"), [(2, "after 7 steps, at step 7 of epoch 1"), (5, "26 steps, at step 7 of")]
)
def test_a_killed_run_goes_on_at_the_same_example(
    save: int,
    resumed: str,
    toy_records: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = deterministic(toy_records, tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at_save(patch, save)
        with pytest.raises(Killed):
            train_model(config)
    assert not (tmp_path / "run" / "result.json").exists()
    result = train_model(config)
    assert resumed in capsys.readouterr().out
    for ours, theirs in zip(weights(tmp_path / "run"), weights(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert result == json.loads((whole / "result.json").read_text())
    for kind in ("train", "epoch"):
        for line, expected in zip(lines(tmp_path / "run", kind), lines(whole, kind), strict=True):
            assert {**line, "examples_per_second": 0} == {**expected, "examples_per_second": 0}
    for part, tag in (("train", "step/click_auc"), ("train", "epoch/like_ne"), ("validation", "epoch/like_ne")):
        assert events(tmp_path / "run" / "events" / part, tag) == events(whole / "events" / part, tag)


def test_the_same_command_after_the_end_says_so_and_does_nothing(
    toy_records: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    result = train_model(deterministic(toy_records, whole))
    assert "is finished: val_click_ne" in capsys.readouterr().out
    assert result == json.loads((whole / "result.json").read_text())
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*")}


def test_another_configuration_or_other_data_are_refused_and_named(
    toy_records: Path, whole: Path, tmp_path: Path, make_records: Callable[..., Path]
) -> None:
    with pytest.raises(
        ValueError, match=r"another configuration: --dropout was 0\.2, is now 0\.0; --seed was 1, is now 5"
    ):
        train_model(deterministic(toy_records, whole, dropout=0.0, seed=5))
    other = make_records(tmp_path / "other", seed=1, train=1300)
    with pytest.raises(ValueError, match=r"holds a run on other data: .*toy.* then, .*other now"):
        train_model(deterministic(other, whole))
    moved = tmp_path / "moved"
    shutil.copytree(toy_records, moved)
    assert train_model(deterministic(moved, whole))["epochs"] == 2


def test_overwrite_starts_anew(toy_records: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    result = train_model(small(toy_records, run, overwrite=True, epochs=1, seed=3))
    assert result["epochs"] == 1
    assert json.loads((run / "config.json").read_text())["config"]["train"]["seed"] == 3
    assert len(lines(run, "epoch")) == 1


def test_a_run_that_saved_nothing_yet_does_not_hold_its_directory(
    toy_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at_save(patch, 1)
        with pytest.raises(Killed):
            train_model(small(toy_records, tmp_path / "run", epochs=1))
    shutil.rmtree(tmp_path / "run" / "best")
    with pytest.raises(ValueError, match="holds no weights: the run has not finished an epoch yet"):
        load_run(tmp_path / "run")
    assert train_model(small(toy_records, tmp_path / "run", epochs=1, seed=2))["epochs"] == 1
