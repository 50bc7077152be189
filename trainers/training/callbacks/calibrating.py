"""Fits the calibration of each binary task to every validation, while `fit` trains."""

from __future__ import annotations

from typing import Any, Final

import tf_keras as keras

from fullrank.models.calibration import fit_calibration, tasks_with_own_logit
from fullrank.models.metrics.normalised_entropy import normalised_entropy
from fullrank.trainers.training.callbacks.monitors import NE_CALIBRATED

SCALE: Final = "scale"
SHIFT: Final = "shift"
MOST_SATURATED: Final = 0.01
"""Largest share of the weight of the validation split whose logits may be unknown."""
_VALIDATION: Final = "val_"


class Calibrating(keras.callbacks.Callback):
    """Adds `val_<task>_scale`, `val_<task>_shift` and `val_<task>_ne_calibrated` to the logs of each epoch.

    They are fitted to the counts of the validation metric, which are of bins of the logit, so no row is scored again.
    Where nothing is gained, the task has no logit of its own, or predictions are so near 0 and 1 that their logits are
    not known, the scale is 1, the shift 0, and the last is the normalised entropy as it is. What the weights of an
    epoch need is in its logs, so that a resumed run finds it there, and it can be monitored. It comes before the
    callbacks that read the logs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._supports_tf_logs = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Fits all tasks."""
        outputs, fitted = self.model.outputs, tasks_with_own_logit(self.model)
        for task in (outputs.tasks[place] for place in outputs.binary):
            start = f"{_VALIDATION}{task}_"
            if logs is None or f"{start}ne" not in logs:
                continue
            scale, shift, entropy = 1.0, 0.0, logs[f"{start}ne"]
            if task in fitted:
                rows = self.model.learning.task_metrics.binned(task)
                found = None
                if rows.saturated <= MOST_SATURATED:
                    found = fit_calibration(
                        labels=rows.labels, logits=rows.logits, weights=rows.weights, rows=rows.rows
                    )
                if found is not None:
                    scale, shift = found
                    entropy = normalised_entropy(rows.labels, scale * rows.logits + shift, rows.weights)
            logs |= {f"{start}{SCALE}": scale, f"{start}{SHIFT}": shift, f"{start}{NE_CALIBRATED}": entropy}
