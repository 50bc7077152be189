"""Learning rate over the steps: warm-up, then constant, cosine, linear or exponential decay."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

SCHEDULES = ("constant", "cosine", "linear", "exponential")


@keras.saving.register_keras_serializable(package="fullrank")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise before another schedule.

    With W steps of warm-up, at step t counted from 0:

        rate(t) = after(0) * (t + 1) / W      for t < W
        rate(t) = after(t - W)                for t >= W

    The first step already has a positive rate, where Keras' own warm-up (of its cosine only) begins with rate 0.

    Args:
      after: The rate after the warm-up: a float, or a schedule, which then starts at its step 0.
      steps: W, at least 1.
    """

    def __init__(self, after: Any, steps: int):
        if steps < 1:
            raise ValueError(f"WarmUp needs steps >= 1. Received: steps={steps}")
        super().__init__()
        self.after = after
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`, a scalar."""
        step = tf.cast(step, tf.float32)
        passed = tf.maximum(step - self.steps, 0.0)
        after = self.after(passed) if callable(self.after) else tf.constant(self.after, tf.float32)
        return tf.cast(after, tf.float32) * tf.minimum((step + 1.0) / self.steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        after = keras.optimizers.schedules.serialize(self.after) if callable(self.after) else self.after
        return {"after": after, "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """The reverse of `get_config`."""
        after = config["after"]
        if isinstance(after, dict):
            after = keras.optimizers.schedules.deserialize(after)
        return cls(after=after, steps=config["steps"])


def build_schedule(
    *, learning_rate: float, schedule: str = "constant", warmup_steps: int = 0, decay_steps: int = 0, final: float = 0.0
) -> Any:
    """Builds the `learning_rate` of an optimiser.

    Args:
      learning_rate: The rate after the warm-up, before any decay; > 0.
      schedule: "constant"; or a decay to `learning_rate * final` over `decay_steps` steps, then held: "cosine" (half a
        wave), "linear"; or "exponential", by a constant factor per step that reaches `final` after `decay_steps` steps
        and continues.
      warmup_steps: Steps of a linear rise before it; 0 for none.
      decay_steps: Steps of the decay, not counting the warm-up; needed unless the schedule is constant.
      final: Last rate as a share of `learning_rate`, in [0, 1]; must be > 0 for "exponential".

    Returns:
      A float if the rate is constant without warm-up, so that callbacks can set it, else a
      `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
      ValueError: For an unknown schedule or a number out of range.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown learning rate schedule {schedule!r}: use one of {', '.join(SCHEDULES)}")
    if not learning_rate > 0.0:
        raise ValueError(f"learning_rate must be > 0. Received: learning_rate={learning_rate}")
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps must be >= 0. Received: warmup_steps={warmup_steps}")
    if schedule != "constant" and decay_steps < 1:
        raise ValueError(f"the {schedule} schedule needs decay_steps >= 1. Received: decay_steps={decay_steps}")
    if not 0.0 <= final <= 1.0 or (schedule == "exponential" and final == 0.0):
        least = "above 0" if schedule == "exponential" else "from 0"
        raise ValueError(f"the {schedule} schedule needs final {least} to 1. Received: final={final}")
    rate = _decay(learning_rate, schedule, decay_steps, final)
    return WarmUp(rate, warmup_steps) if warmup_steps else rate


def _decay(learning_rate: float, schedule: str, decay_steps: int, final: float) -> Any:
    if schedule == "constant":
        return learning_rate
    if schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps, alpha=final)
    if schedule == "linear":
        return keras.optimizers.schedules.PolynomialDecay(learning_rate, decay_steps, learning_rate * final)
    return keras.optimizers.schedules.ExponentialDecay(learning_rate, decay_steps, final)
