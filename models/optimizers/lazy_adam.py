"""Adam on looked-up rows."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.optimizers import base


@keras.saving.register_keras_serializable(package="fullrank")
class LazyAdam(base.SparseOptimizer):
    """Adam (Kingma and Ba 2015) that reads and writes looked-up rows only.

    At step t (the optimiser's step, counted from 1), for each weight w of a looked-up row with summed gradient g:

        m <- beta_1 m + (1 - beta_1) g
        v <- beta_2 v + (1 - beta_2) g^2
        w <- w - learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)

    Departures from Adam, which costs time in proportion to the whole table:

    * m and v of a row that the batch does not name stay as they are, where Adam would decay them and keep moving w by
    the old m. So a rare row takes one step per lookup, not a tail of steps after it.
    * The bias correction still counts all steps. A row that is first looked up late thus starts from m = v = 0 without
      correction: with the default betas its first step is (1 - beta_1) / sqrt(1 - beta_2) = 3.2 learning rates.
    * With every row looked up at every step, and for dense gradients, it is exactly `keras.optimizers.Adam`.

    State: two tensors `[N, d]` for a table `[N, d]`.

    Args:
      learning_rate: a float or a schedule; default 0.001.
      beta_1: Decay of the first moment; default 0.9, in [0, 1).
      beta_2: Decay of the second moment; default 0.999, in [0, 1).
      epsilon: Outside the bias correction, as in Keras; default 1e-7, must be > 0.
      name: Default "lazy_adam".
      clipnorm: As in `SparseOptimizer`, like the arguments after it.
      clipvalue: Largest absolute value of an element.
      global_clipnorm: Largest norm over all variables.
      weight_decay: Rejected.
      use_ema: Rejected.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "lazy_adam",
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        weight_decay: float | None = None,
        use_ema: bool = False,
    ):
        for argument, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0.0 <= value < 1.0:
                raise ValueError(f"LazyAdam needs {argument} in [0, 1). Received: {argument}={value}")
        base.require("LazyAdam", "epsilon", epsilon, above=0.0)
        super().__init__(
            name=name,
            learning_rate=learning_rate,
            slots=(base.Slot("momentum"), base.Slot("velocity")),
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            weight_decay=weight_decay,
            use_ema=use_ema,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def updated(self, gradient: Any, weights: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """See the class; the state is m and v, `[u, d]` each."""
        momentum, velocity = state
        step = tf.cast(self.iterations + 1, weights.dtype)
        correction = tf.sqrt(1.0 - tf.pow(tf.cast(self.beta_2, weights.dtype), step)) / (
            1.0 - tf.pow(tf.cast(self.beta_1, weights.dtype), step)
        )
        momentum += (gradient - momentum) * (1.0 - self.beta_1)
        velocity += (tf.square(gradient) - velocity) * (1.0 - self.beta_2)
        rate = tf.cast(self.learning_rate, weights.dtype) * correction
        return weights - rate * momentum / (tf.sqrt(velocity) + self.epsilon), (momentum, velocity)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}
