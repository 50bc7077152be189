"""Moving averages of weights, which are validated, kept and exported in place of the last ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.objectives import EmaTeacher


class AveragedWeights:
    """Averages `a <- decay a + (1 - decay) w` of a model's weights during training, and puts them in for validation.

    While `fit` trains, the weights are the trained ones. From the start of a validation until the best epoch is known
    they are the averages, so that what is measured is what is kept; then the trained ones come back, before a
    checkpoint is saved. How a young average begins, what several steps per call do, and that weights which are not
    trained are copied, is as in `EmaTeacher`.

    Args:
      variables: The weights to average. Work per step grows with their size: leave out embedding tables.
      decay: Per step, in [0, 1).
      steps: Returns the number of steps of the run, of which there can be fewer than the optimiser has taken.

    Attributes:
      averages: The averages, for checkpoints.
      follow: The callback that moves them.
      enter: The callback that puts them in; comes before those that read a validation.
      leave: The callback that puts the trained weights back; comes after those that keep the best epoch.
    """

    def __init__(self, variables: Sequence[tf.Variable], *, decay: float, steps: Callable[[], int]) -> None:
        self._variables = list(variables)
        self.averages = [tf.Variable(each, trainable=False, name="average") for each in self._variables]
        self._inside = False
        self.follow: keras.callbacks.Callback = EmaTeacher(self.averages, self._variables, decay=decay, steps=steps)
        self.enter: keras.callbacks.Callback = _Enter(self)
        self.leave: keras.callbacks.Callback = _Leave(self)

    def swap(self, *, inside: bool) -> None:
        """Exchanges weights and averages, unless they are where they have to be."""
        if inside == self._inside:
            return
        for average, variable in zip(self.averages, self._variables, strict=True):
            kept = tf.identity(average)
            average.assign(variable)
            variable.assign(kept)
        self._inside = inside


class _Enter(keras.callbacks.Callback):
    def __init__(self, averaged: AveragedWeights) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._averaged = averaged

    def on_test_begin(self, logs: Any = None) -> None:
        self._averaged.swap(inside=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._averaged.swap(inside=True)


class _Leave(keras.callbacks.Callback):
    def __init__(self, averaged: AveragedWeights) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._averaged = averaged

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._averaged.swap(inside=False)
