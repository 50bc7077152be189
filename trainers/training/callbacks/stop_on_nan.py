"""Ends a run whose loss or weights are no longer numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import tensorflow as tf
import tf_keras as keras

from fullrank.trainers.run.checkpoints import TrainingState
from fullrank.trainers.run.weights import describe_not_finite, not_finite
from fullrank.trainers.training.callbacks.saving import Milestones

ADVICE: Final = (
    "Lower --learning_rate or --table_learning_rate, set --clip_norm, or look for extreme numbers in the data "
    "(fullrank inspect)"
)

_LOG_LOSS: Final = "_log_loss"


class TrainingDivergedError(ValueError):
    """The loss or a weight became NaN or infinite."""


class StopOnNaN(keras.callbacks.Callback):
    """Raises when the loss or the weights are not finite, before anything is saved from that state.

    It checks the loss every `every` steps and at the end of an epoch: checking each step would make Python wait for it,
    and NaN weights stay NaN. The loss of a step is that of the weights before it, so the weights themselves are checked
    whenever they are about to be saved: at the end of an epoch, and by `check`.

    Args:
      state: The run's counters.
      every: Steps between checks.
      variables: Returns the saved variables: weights, slots of the optimiser, moving averages.
    """

    def __init__(
        self, state: TrainingState, *, every: int, variables: Callable[[], Iterable[tf.Variable]] = tuple
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._every = every
        self._variables = variables
        self._due = Milestones(every)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts steps from the start of the epoch."""
        self._due.start(self._state.progress.step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Checks the loss periodically."""
        if self._due.passed(self._state.progress.step):
            self._check_loss(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Checks the last step of the epoch, the weights after it, and the metrics of validation."""
        self.check(logs)
        found = [name for name, value in _of_validation(logs or {}).items() if not math.isfinite(float(value))]
        if found:
            raise TrainingDivergedError(
                f"after step {self._state.progress.global_step}, the weights are finite but so large that predictions "
                f"of the validation split are NaN or infinite ({', '.join(found)}): training has diverged. {ADVICE}."
            )

    def check(self, logs: Any) -> None:
        """Checks the loss in `logs` and every variable.

        Raises:
          TrainingDivergedError: If one is not finite.
        """
        self._check_loss(logs)
        found = not_finite(self._variables())
        if found:
            raise TrainingDivergedError(
                f"after step {self._state.progress.global_step}, there are NaN or infinite numbers in "
                f"{describe_not_finite(found)}: training has diverged. {ADVICE}."
            )

    def _check_loss(self, logs: Any) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if math.isfinite(loss):
            return
        step = self._state.progress.global_step
        raise TrainingDivergedError(
            f"the loss became {loss} within the {self._every} steps before step {step}. {ADVICE}."
        )


def _of_validation(logs: Mapping[str, Any]) -> dict[str, Any]:
    """The mean loss of validation, and the log loss of every task with a label that counts.

    A NaN prediction affects only the loss, so the base rate of the other rows stays finite; without a base rate the log
    loss is undefined because there are no labels.
    """
    found = {"val_loss": logs["val_loss"]} if "val_loss" in logs else {}
    for name, value in logs.items():
        level = logs.get(f"{name.removesuffix(_LOG_LOSS)}_base_rate")
        if name.startswith("val_") and name.endswith(_LOG_LOSS) and level is not None and math.isfinite(float(level)):
            found[name] = value
    return found
