"""Keras's progress bar, with the few metrics that fit on a line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import tf_keras as keras

_SHOWN: Final = ("auc", "ne", "rmse")
_MOST: Final = 4


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Shows the loss, and each task's AUC and NE, or RMSE, over the epoch so far; at its end also validation's.

    Of many tasks it shows the first few, as many as a line can hold. What is undefined at the end of an epoch is left
    out.

    Args:
      tasks: Names of the tasks.
    """

    def __init__(self, *, tasks: Sequence[str]) -> None:
        names = [f"{task}_{statistic}" for task in tasks[:_MOST] for statistic in _SHOWN]
        self._names = ("loss", *names, *(f"val_{name}" for name in names))
        # Keras averages over steps what is not "stateful"; these are statistics of the whole epoch already.
        super().__init__(count_mode="steps", stateful_metrics=list(self._names))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Updates the bar."""
        super().on_train_batch_end(batch, self._short(logs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Ends the bar."""
        shown = self._short(logs)
        super().on_epoch_end(epoch, {name: value for name, value in shown.items() if math.isfinite(float(value))})

    def _short(self, logs: Mapping[str, Any] | None) -> dict[str, Any]:
        return {name: logs[name] for name in self._names if name in logs} if logs else {}
