"""The best weights of each task, kept alongside those that are best by the monitored metric."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_runs import lines, small

from fullrank.trainers import evaluate, export, predict
from fullrank.trainers.run.checkpoints import TrainingState
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.training.callbacks.early_stopping import BestOfTasks
from fullrank.trainers.training.train_model import train_model


def test_each_task_has_its_own_best_epoch() -> None:
    saved: list[tuple[int, str]] = []
    state = TrainingState()
    callback = BestOfTasks(
        state,
        monitors={"click": "val_click_ne", "price": "val_price_rmse"},
        save=lambda task: saved.append((epoch, task)),
    )
    for epoch, (click, price) in enumerate([(0.9, math.nan), (0.8, 3.0), (0.85, 2.0), (0.8, 2.5)]):
        callback.on_epoch_end(epoch, {"val_click_ne": click, "val_price_rmse": price})
    assert saved == [(0, "click"), (1, "click"), (1, "price"), (2, "price")]
    assert state.progress.best_of == {"click": 0.8, "price": 2.0}
    assert state.progress.best_epoch_of == {"click": 2, "price": 3}
    resumed = TrainingState()
    resumed.deserialize(state.serialize())
    assert resumed.progress == state.progress


@pytest.fixture(scope="module")
def run(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its rates are so high that it overfits at once."""
    output = tmp_path_factory.mktemp("best") / "run"
    tasks = {"model": "shared_bottom", "tasks": ("click", "like"), "table_learning_rate": 1.0, "learning_rate": 0.02}
    train_model(small(toy_records, output, **tasks, epochs=3, patience=None, best_of_tasks=True))
    return output


@pytest.mark.parametrize("task", ["click", "like"])
def test_evaluation_reads_the_epoch_in_which_the_task_was_best(run: Path, task: str, tmp_path: Path) -> None:
    found = tmp_path / "metrics.json"
    evaluate.run(["evaluate", f"--run={run}", "--split=validation", f"--best_of={task}", f"--json={found}"])
    of_epochs = [line[f"val_{task}_ne"] for line in lines(run, "epoch")]
    best = lines(run, "epoch")[of_epochs.index(min(of_epochs))]
    # Of bins of the logit, a 128th wide.
    assert json.loads(found.read_text())[task]["ne"] == pytest.approx(best[f"val_{task}_ne_calibrated"], rel=1e-4)
    best_epochs = json.loads((run / "result.json").read_text())["best_epoch_of"]
    assert best_epochs[task] == of_epochs.index(min(of_epochs)) + 1


def test_prediction_and_export_read_them_too(run: Path, tmp_path: Path) -> None:
    predict.run(["predict", f"--run={run}", "--best_of=like", f"--output={tmp_path}/like.parquet"])
    export.run(["export", f"--run={run}", "--best_of=like", f"--output={tmp_path}/export"])
    predict.run(
        ["predict", f"--export={tmp_path}/export", f"--data={_data(run)}", f"--output={tmp_path}/served.parquet"]
    )

    of_run, served = (pq.read_table(tmp_path / f"{name}.parquet")["like_probability"] for name in ("like", "served"))
    np.testing.assert_allclose(of_run.to_numpy(), served.to_numpy(), atol=1e-6)


def _data(run: Path) -> str:
    return RunDirectory(run).config().data.data


@pytest.mark.parametrize("task", ["rate", "click"])
def test_what_was_not_kept(task: str, toy_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.run(["evaluate", f"--run={toy_run}", f"--best_of={task}"])
    expected = "has no such task. Its tasks: click, like." if task == "rate" else "train it with --best_of_tasks."
    assert capsys.readouterr().err.strip().endswith(expected)


def test_settings_that_have_no_effect(run: Path, toy_records: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--best_of_tasks needs validations"):
        small(toy_records, tmp_path / "run", best_of_tasks=True, validation_split="")
    with pytest.raises(SystemExit):
        predict.run(["predict", "--export=export", "--best_of=like", f"--output={tmp_path}/like.csv"])
