"""Element-wise Adagrad on looked-up rows."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.optimizers import base


@keras.saving.register_keras_serializable(package="fullrank")
class LazyAdagrad(base.SparseOptimizer):
    """Adagrad (Duchi et al. 2011) that reads and writes looked-up rows only.

    For each weight w of a looked-up row, with its gradient g summed over the batch:

        G <- G + g^2
        w <- w - learning_rate * g / (sqrt(G) + epsilon)

    A row that is not looked up has g = 0 and would not change anyway, so this *is* Adagrad, only at a lower cost.
    State `[N, d]` for a table `[N, d]`; `RowwiseAdagrad` needs 1/d of that.

    Args:
      learning_rate: a float or a schedule; default 0.01.
      initial_accumulator_value: G at the start; default 0 (Keras: 0.1; see `RowwiseAdagrad` for the reason).
      epsilon: Keeps the quotient finite; default 1e-8, must be > 0.
      name: Default "lazy_adagrad".
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
        name: str = "lazy_adagrad",
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        weight_decay: float | None = None,
        use_ema: bool = False,
    ):
        base.require("LazyAdagrad", "initial_accumulator_value", initial_accumulator_value, least=0.0)
        base.require("LazyAdagrad", "epsilon", epsilon, above=0.0)
        super().__init__(
            name=name,
            learning_rate=learning_rate,
            slots=(base.Slot("accumulator", initial=initial_accumulator_value),),
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            weight_decay=weight_decay,
            use_ema=use_ema,
        )
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def updated(self, gradient: Any, weights: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """See the class; the state is G, `[u, d]`."""
        (accumulator,) = state
        accumulator += tf.square(gradient)
        rate = tf.cast(self.learning_rate, weights.dtype)
        return weights - rate * gradient / (tf.sqrt(accumulator) + self.epsilon), (accumulator,)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return {**super().get_config(), **own}
