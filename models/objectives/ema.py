"""A teacher that is the moving average of its student."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras


def ema_update(*, averages: Sequence[tf.Variable], variables: Sequence[tf.Variable], decay: float | tf.Tensor) -> None:
    """`a <- decay a + (1 - decay) v` for each pair, in place; works inside a compiled training step.

    Time grows with the size of the variables, so leave embedding tables out and let teacher and student share them:
    two models can be built on the same table variables, and averaging whole tables would cost more than the step.

    Args:
      averages: The teacher's variables.
      variables: The student's, in the same order and shapes.
      decay: In [0, 1].

    Raises:
      ValueError: If the two differ in number.
    """
    for average, variable in zip(averages, variables, strict=True):
        average.assign_sub((average - variable) * tf.cast(1.0 - decay, average.dtype))


class EmaTeacher(keras.callbacks.Callback):
    """Averages the student's dense weights into the teacher's while `fit` runs.

    Weights that are not trained, such as the precision of a last layer, random features or the running shares of codes,
    are copied: their mean over steps would not be meaningful.

    After n updates the decay is `min(decay, (1 + n) / (10 + n))`, so that an early average is not mostly the initial
    weights. Where one call of the compiled function takes several steps, its last weights are averaged, with the
    product of the decays of the updates that were due.

    The teacher takes the student's values when the callback is made, and again when a training begins at step 0;
    restore a teacher from a checkpoint between the two.

    Args:
      averages: The teacher's variables.
      variables: The student's, in the same order and shapes.
      decay: In [0, 1).
      every: Steps between updates. With more than 1, `decay` is that of one update, not of one step.
      steps: Returns the number of steps that the averages have followed, those of a resumed run included; the steps of
        the optimiser if `None`.

    Raises:
      ValueError: If numbers, shapes or `decay` do not fit.
    """

    def __init__(
        self,
        averages: Sequence[tf.Variable],
        variables: Sequence[tf.Variable],
        *,
        decay: float = 0.999,
        every: int = 1,
        steps: Callable[[], int] | None = None,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        if [v.shape for v in averages] != [v.shape for v in variables]:
            raise ValueError(
                "EmaTeacher needs as many averages as variables, of equal shapes. "
                f"Received: {[tuple(v.shape) for v in averages]} and {[tuple(v.shape) for v in variables]}."
            )
        if not 0.0 <= decay < 1.0 or every < 1:
            raise ValueError(f"EmaTeacher needs decay in [0, 1) and every >= 1. Received: {decay} and {every}.")
        self._averages, self._variables = list(averages), list(variables)
        self._decay, self._every = decay, every
        self._updates = 0
        self._followed = steps
        self._update = tf.function(self._step, autograph=False)
        self._update(tf.constant(0.0))

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins with the student's weights, or continues after the steps that were followed before."""
        self._updates = self._steps // self._every
        if self._steps == 0:
            self._update(tf.constant(0.0))

    @property
    def _steps(self) -> int:
        if self._followed is not None:
            return self._followed()
        # Keras numbers batches from the start of an epoch, where a resumed run does not begin.
        return int(self.model.optimizer.iterations.numpy())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Updates the teacher if it is due; one call of the compiled function may have taken several steps."""
        updates = self._steps // self._every
        if updates > self._updates:
            decays = (min(self._decay, (1 + n) / (10 + n)) for n in range(self._updates + 1, updates + 1))
            self._updates = updates
            self._update(tf.constant(math.prod(decays)))

    def _step(self, decay: tf.Tensor) -> None:
        pairs = list(zip(self._averages, self._variables, strict=True))
        trained = [pair for pair in pairs if pair[1].trainable]
        ema_update(averages=[a for a, _ in trained], variables=[v for _, v in trained], decay=decay)
        for copy, variable in pairs:
            if not variable.trainable:
                copy.assign(variable)
