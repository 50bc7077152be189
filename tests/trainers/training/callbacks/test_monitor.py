"""What a monitor names, the guard against losses that are not numbers, and the log of metrics."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fullrank.models.metrics.binary_formulas import STATISTICS
from fullrank.trainers.run.checkpoints import TrainingState
from fullrank.trainers.run.metrics_log import MetricsLog
from fullrank.trainers.training.callbacks.early_stopping import EarlyStopping
from fullrank.trainers.training.callbacks.monitors import MONITORED, monitored
from fullrank.trainers.training.callbacks.stop_on_nan import StopOnNaN, TrainingDivergedError


def test_the_mean_over_tasks_leaves_out_what_is_undefined() -> None:
    state, saved = TrainingState(), []
    callback = EarlyStopping(state, monitor="val_mean_ne", patience=1, save_best=lambda: saved.append(True))
    callback.on_epoch_end(0, {"val_a_ne": 0.9, "val_b_ne": 0.7, "val_c_ne": math.nan, "a_ne": 0.1, "val_a_auc": 0.5})
    assert state.progress.best == pytest.approx(0.8)
    callback.on_epoch_end(1, {"val_a_ne": 0.8, "val_b_ne": 0.7, "val_c_ne": math.nan})
    assert state.progress.best == pytest.approx(0.75)
    assert len(saved) == 2


def test_monitor_names_a_statistic_of_the_first_task_or_of_any() -> None:
    def name(monitor: str) -> str:
        return monitored(monitor, tasks=("click", "like"))

    # By default the NE, of several tasks its mean; the RMSE where no task is binary.
    assert name("auto") == "val_mean_ne"
    assert monitored("auto", tasks=("click",), values=("spend",)) == "val_click_ne"
    assert monitored("auto", tasks=(), values=("spend", "tip")) == "val_mean_rmse"
    assert [name("auc"), name("like_ne"), name("click_auc")] == ["val_click_auc", "val_like_ne", "val_click_auc"]
    with pytest.raises(ValueError, match=r"--monitor=acc: no such metric\. Known: auto, auc, .*, mean_ece, click_auc"):
        name("acc")


def test_what_can_be_monitored_is_what_the_training_metric_reports() -> None:
    assert set(MONITORED) < set(STATISTICS)


def test_a_loss_that_is_not_a_number_ends_the_run_with_advice() -> None:
    state = TrainingState()
    watch = StopOnNaN(state, every=10)

    def look(loss: float) -> None:
        watch.on_train_batch_end(0, {"loss": tf.constant(loss)})

    state.progress.step = 9
    look(float("nan"))  # not looked at yet
    state.progress.step = 10
    look(1.0)
    state.progress.step = state.progress.global_step = 20
    with pytest.raises(TrainingDivergedError, match=r"loss became nan within the 10 steps before step 20\. Lower"):
        look(float("nan"))
    with pytest.raises(TrainingDivergedError, match="loss became inf"):
        watch.on_epoch_end(0, {"loss": float("inf")})


def test_the_metrics_log_drops_what_a_resumed_run_writes_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.cut_after(0)
    for step in (5, 10, 15):
        log.append(kind="train", epoch=1, step=step, values={"loss": np.float32(0.5), "auc": float("nan")})
    with open(tmp_path / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"kind": "train", "epo')
    log.cut_after(10)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10]
    assert lines[0] == {"kind": "train", "epoch": 1, "step": 5, "loss": 0.5, "auc": None}
