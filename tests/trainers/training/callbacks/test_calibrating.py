"""What the calibration of an epoch adds to its logs, and that counts of bins are as good as rows."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from fullrank.models.calibration import Calibration, fit_calibration
from fullrank.models.metrics import StreamingTasks
from fullrank.models.metrics.normalised_entropy import normalised_entropy
from fullrank.models.metrics.streaming_tasks import BinnedRows
from fullrank.trainers.training.callbacks import calibrating
from fullrank.trainers.training.callbacks.calibrating import Calibrating
from fullrank.trainers.training.callbacks.monitors import monitored, monitors_of_tasks


@dataclasses.dataclass
class Outputs:
    """Those of two binary tasks and a value."""

    tasks: tuple[str, ...] = ("click", "like", "spend")
    binary: tuple[int, ...] = (0, 1)


def rows(size: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of logits that are twice as large as they should be, a twentieth of them unobserved; weights."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(-1.0, 2.0, (size, 2))
    labels = (draw.random((size, 2)) < expit(0.5 * logits + 0.3)).astype(np.float64)
    labels[draw.random((size, 2)) < 0.05] = np.nan
    return labels, logits, draw.choice([0.0, 1.0, 3.0], size)


def counted(labels: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> StreamingTasks:
    metric = StreamingTasks(("click", "like"))
    for part in np.array_split(np.arange(len(labels)), 3):
        metric.update_state(labels[part], expit(logits[part]), weights[part])
    return metric


def fitted_to(rows: BinnedRows) -> Calibration | None:
    return fit_calibration(labels=rows.labels, logits=rows.logits, weights=rows.weights, rows=rows.rows)


def test_bins_are_means_of_rows() -> None:
    # Logits log 3 and log 4 fall into bins of their own; the two rows of log 3 share one.
    metric = StreamingTasks(("click",))
    metric.update_state([[1.0], [0.0], [1.0], [np.nan]], [[0.75], [0.75], [0.8], [0.8]], [1.0, 3.0, 2.0, 1.0])
    found = metric.binned("click")
    np.testing.assert_allclose(found.labels, [0.25, 1.0])
    np.testing.assert_allclose(found.logits, np.log([3.0, 4.0]))
    np.testing.assert_allclose(found.weights, [4.0, 2.0])
    # (1 + 3 + 2)^2 / (1 + 9 + 4)
    assert found.rows == pytest.approx(36 / 14)
    assert found.saturated == 0.0


def test_what_is_fitted_to_bins_is_what_rows_give() -> None:
    labels, logits, weights = rows(5000)
    of_rows = fit_calibration(labels=labels[:, 1], logits=logits[:, 1], weights=weights)
    of_bins = fitted_to(counted(labels, logits, weights).binned("like"))
    assert of_rows is not None
    assert of_bins is not None
    np.testing.assert_allclose(of_bins, of_rows, atol=5e-4)


def test_evidence_is_counted_in_rows_not_in_bins() -> None:
    """A million rows in three bins whose gain is small for each, and a hundred with the same means."""
    bins: dict[str, Any] = {"labels": np.array([0.28, 0.5, 0.72]), "logits": np.array([-1.0, 0.0, 1.0])}
    bins["weights"] = np.ones(3)
    assert fit_calibration(**bins, rows=100.0) is None
    assert fit_calibration(**bins, rows=1e6) is not None


def test_predictions_of_0_and_1_are_told_apart_from_others() -> None:
    metric = StreamingTasks(("click",))
    metric.update_state([[1.0], [0.0], [1.0], [0.0]], [[1.0], [1e-9], [0.5], [0.25]], [1.0, 2.0, 3.0, 4.0])
    assert metric.binned("click").saturated == pytest.approx(0.3)
    assert StreamingTasks(("click",)).binned("click").saturated == 0.0


def test_logs_hold_what_the_weights_of_the_epoch_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task without a logit of its own has a scale of 1 and a shift of 0."""
    labels, logits, weights = rows(5000)
    metric, callback = counted(labels, logits, weights), Calibrating()
    monkeypatch.setattr(calibrating, "tasks_with_own_logit", lambda _: ("click",))
    callback.model = SimpleNamespace(outputs=Outputs(), learning=SimpleNamespace(task_metrics=metric))
    logs: dict[str, Any] = {"val_click_ne": 1.2, "val_like_ne": 1.3, "click_ne": 0.1, "val_spend_rmse": 2.0}
    callback.on_epoch_end(0, logs)
    scale, shift = logs["val_click_scale"], logs["val_click_shift"]
    assert scale == pytest.approx(0.5, abs=0.05)
    there = ~np.isnan(labels[:, 0])
    exact = normalised_entropy(labels[there, 0], scale * logits[there, 0] + shift, weights[there])
    assert logs["val_click_ne_calibrated"] == pytest.approx(exact, rel=2e-5)
    assert [logs[f"val_like_{name}"] for name in ("scale", "shift", "ne_calibrated")] == [1.0, 0.0, 1.3]
    assert set(logs) == {
        *("val_click_ne", "val_like_ne", "click_ne", "val_spend_rmse"),
        *(f"val_{task}_{name}" for task in ("click", "like") for name in ("scale", "shift", "ne_calibrated")),
    }


def test_logits_that_are_not_known_are_not_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of the predictions is 1 in float32, whatever the logit was."""
    labels, logits, weights = rows(5000)
    logits[::20] = 40.0
    callback = Calibrating()
    monkeypatch.setattr(calibrating, "tasks_with_own_logit", lambda _: ("click",))
    learning = SimpleNamespace(task_metrics=counted(labels, logits, weights))
    callback.model = SimpleNamespace(outputs=Outputs(), learning=learning)
    logs: dict[str, Any] = {"val_click_ne": 1.2}
    callback.on_epoch_end(0, logs)
    assert [logs[f"val_click_{name}"] for name in ("scale", "shift", "ne_calibrated")] == [1.0, 0.0, 1.2]


def test_an_epoch_without_validation_is_left_alone() -> None:
    callback, logs = Calibrating(), {"click_ne": 0.9}
    callback.model = SimpleNamespace(
        outputs=Outputs(), is_uncertain=False, options=SimpleNamespace(chain=()), learning=None
    )
    callback.on_epoch_end(0, logs)
    assert logs == {"click_ne": 0.9}


def test_the_entropy_after_calibration_can_be_monitored() -> None:
    assert monitored("auto", tasks=("click", "like"), calibrated=True) == "val_mean_ne"
    assert monitored("mean_ne_calibrated", tasks=("click", "like"), calibrated=True) == "val_mean_ne_calibrated"
    assert monitored("like_ne_calibrated", tasks=("click", "like"), calibrated=True) == "val_like_ne_calibrated"
    with pytest.raises(ValueError, match="--monitor=ne_calibrated needs --calibrate, which is off"):
        monitored("ne_calibrated", tasks=("click",))
    assert monitored("auto", tasks=("click", "like"), auxiliary=("like",)) == "val_click_ne"
    assert monitored("auto", tasks=("like",), values=("spend",), auxiliary=("like",)) == "val_spend_rmse"
    outputs: Any = Outputs()
    assert monitors_of_tasks(outputs) == {
        **{task: f"val_{task}_ne" for task in ("click", "like")},
        "spend": "val_spend_rmse",
    }
