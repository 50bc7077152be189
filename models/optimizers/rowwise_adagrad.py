"""Row-wise Adagrad: one learning rate per table row, at the memory of one number per row."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.optimizers import base


@keras.saving.register_keras_serializable(package="fullrank")
class RowwiseAdagrad(base.SparseOptimizer):
    """Adagrad with one accumulator per row, the optimiser that DLRM trains its tables with (Mudigere et al. 2022).

    For a looked-up row w of width d, with the gradient g summed over the batch's lookups of that row:

        G <- G + (1/d) sum_j g_j^2
        w <- w - learning_rate * g / (sqrt(G) + epsilon)

    The state is `[N]` for a table `[N, d]`: 1/d of element-wise Adagrad's. A row that is not looked up has g = 0, so
    leaving it out changes nothing: the lazy and the dense form are the same. For a tensor with more than two axes, the
    mean is over all axes but the first; a vector's elements are rows of width one.

    Args:
      learning_rate: a float or a schedule; default 0.01.
      initial_accumulator_value: Initial G of a row; default 0. Keras' Adagrad starts at 0.1, which drowns the gradient
        of a loss that is a mean over thousands of examples (g^2 is about 1e-8) and turns Adagrad into slow SGD.
      epsilon: Keeps the quotient finite; default 1e-8, must be > 0.
      name: Default "rowwise_adagrad".
      clipnorm: As in `SparseOptimizer`, like the arguments after it.
      clipvalue: Largest absolute value of an element.
      global_clipnorm: Largest norm over all variables.
      weight_decay: Rejected.
      use_ema: Rejected.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        *,
        initial_accumulator_value: float = 0.0,
        epsilon: float = 1e-8,
        name: str = "rowwise_adagrad",
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        weight_decay: float | None = None,
        use_ema: bool = False,
    ):
        base.require("RowwiseAdagrad", "initial_accumulator_value", initial_accumulator_value, least=0.0)
        base.require("RowwiseAdagrad", "epsilon", epsilon, above=0.0)
        super().__init__(
            name=name,
            learning_rate=learning_rate,
            slots=(base.Slot("accumulator", by_row=True, initial=initial_accumulator_value),),
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            weight_decay=weight_decay,
            use_ema=use_ema,
        )
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def updated(self, gradient: Any, weights: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """See the class; the state is the row's G, `[u]`."""
        (accumulator,) = state
        axes = list(range(1, gradient.shape.rank))
        accumulator += tf.reduce_mean(tf.square(gradient), axis=axes)
        rate = tf.cast(self.learning_rate, weights.dtype) / (tf.sqrt(accumulator) + self.epsilon)
        return weights - base.per_row(rate, weights) * gradient, (accumulator,)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return {**super().get_config(), **own}
