"""The base of optimisers that update only looked-up rows; each rule is a subclass with one method."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.optimizers import rows


@dataclasses.dataclass(frozen=True)
class Slot:
    """Description of a state that an optimiser keeps for a variable `[N, ...]`.

    Args:
      name: Name of the slot, part of the slot variable's name.
      by_row: Whether there is one number per row, `[N]`, instead of one per weight, `[N, ...]`.
      initial: Initial value.
    """

    name: str
    by_row: bool = False
    initial: float = 0.0


class SparseOptimizer(keras.optimizers.Optimizer):
    """Base of optimisers whose cost per step does not depend on the number of rows of a table.

    A gradient that comes from lookups (`tf.IndexedSlices`) updates the looked-up rows of weights and state, every other
    row keeps its exact bits: nothing decays or moves in a row that the batch does not name ("lazy"). Slices of the same
    row are summed once, first, and clipping uses those sums. A dense gradient is treated as an update in which every
    row is looked up, by the same formula.

    Where several workers update tables on parameter servers, without waiting for each other, the change of a row is
    added to it in place of writing the row: otherwise, of two updates that overlap, one would be lost.

    Subclasses define which slots they keep and how rows change (`updated`); gather, write-back, slots, clipping and
    errors are implemented here.

    Args:
      name: Name of the optimiser.
      learning_rate: a float or a `keras.optimizers.schedules.LearningRateSchedule`.
      slots: The state a variable needs.
      clipnorm: Largest norm of the gradient of each variable; default none.
      clipvalue: Largest absolute value of a gradient's element; default none.
      global_clipnorm: Largest norm of the gradients of all variables together; default none.
      weight_decay: Rejected, because it would rewrite every row at every step.
      use_ema: Rejected, like `weight_decay`.

    Raises:
      ValueError: For `weight_decay` or `use_ema`; on `build`, for a variable with a constraint, which Keras would apply
        to the whole table after each step.
    """

    def __init__(
        self,
        *,
        name: str,
        learning_rate: Any,
        slots: Sequence[Slot],
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        weight_decay: float | None = None,
        use_ema: bool = False,
    ):
        for option, value in (("weight_decay", weight_decay), ("use_ema", use_ema)):
            if value:
                raise ValueError(
                    f"{type(self).__name__} updates looked-up rows only, but {option} rewrites the whole table at "
                    f"every step: leave it out. Received: {option}={value}"
                )
        # weight_decay=0, which is Keras' default here, is not off: it would subtract a whole table of zeros.
        super().__init__(
            name,
            weight_decay=None,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            jit_compile=False,
        )
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._slots = tuple(slots)
        # Keras tracks the slot variables in a list of its own, which also joins the shards of a table.
        self._state = self._no_dependency({})

    def updated(self, gradient: Any, weights: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """The optimiser's rule on the rows that a step touches.

        Args:
          gradient: `[u, ...]`, summed over equal ids.
          weights: `[u, ...]`.
          state: One tensor per slot, `[u, ...]` or, by row, `[u]`.

        Returns:
          The new weights and the new state, of the same shapes.
        """
        raise NotImplementedError

    def build(self, var_list: Sequence[Any]) -> None:
        """Creates the slots of all variables; Keras calls it before the first step."""
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        for variable in var_list:
            if variable.constraint is not None:
                raise ValueError(
                    f"{type(self).__name__} cannot train {variable.name}: its constraint {variable.constraint} would "
                    "rewrite the whole table at every step. Remove the constraint."
                )
            self._state[self._var_key(variable)] = tuple(self._add_slot(variable, slot) for slot in self._slots)
        self._built = True

    def update_step(self, gradient: Any, variable: Any) -> None:
        """Updates one variable; a sparse gradient must name each row once, which `apply_gradients` ensures."""
        slots = self._state[self._var_key(variable)]
        if isinstance(gradient, tf.IndexedSlices):
            touched = gradient.indices
            weights = rows.gather(variable, touched)
            state = tuple(rows.gather(slot, touched) for slot in slots)
            values = tf.ensure_shape(tf.cast(gradient.values, weights.dtype), weights.shape)
            new_weights, new_state = self.updated(values, weights, state)
            read, new = (*state, weights), (*new_state, new_weights)
            for target, before, value in zip((*slots, variable), read, new, strict=True):
                if _others_write():
                    rows.add(target, touched, value - before)
                else:
                    rows.put(target, touched, value)
            return
        weights = tf.convert_to_tensor(variable)
        state = tuple(tf.convert_to_tensor(slot) for slot in slots)
        new_weights, new_state = self.updated(tf.cast(gradient, weights.dtype), weights, state)
        for slot, value in zip(slots, new_state, strict=True):
            slot.assign(value)
        variable.assign(new_weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments that every sparse optimiser has."""
        return {
            "name": self.name,
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
        }

    def _add_slot(self, variable: Any, slot: Slot) -> Any:
        shape = variable.shape[:1] if slot.by_row else variable.shape
        dtype = getattr(variable, "true_dtype", variable.dtype)
        # A function, so that the device that holds the table also fills its slot.
        return self.add_variable_from_reference(
            variable, slot.name, initial_value=lambda: tf.fill(shape, tf.constant(slot.initial, dtype))
        )

    def _clip_gradients(self, grads: Sequence[Any]) -> Any:
        # Keras clips before it adds up duplicates and so takes the norm of the slices; the sums come first here.
        return super()._clip_gradients(
            [rows.sum_duplicates(grad) if isinstance(grad, tf.IndexedSlices) else grad for grad in grads]
        )

    def _deduplicate_sparse_grad(self, grads: Sequence[Any]) -> Sequence[Any]:
        return grads


def _others_write() -> bool:
    """Whether other steps may change rows between the reading and the writing of this one."""
    return isinstance(tf.distribute.get_strategy(), tf.distribute.ParameterServerStrategy)


def per_row(values: Any, like: Any) -> Any:
    """Reshapes one number per row `[u]` to `[u, 1, ...]`, so that it broadcasts over `like` `[u, ...]`."""
    for _ in range(like.shape.rank - values.shape.rank):
        values = values[..., tf.newaxis]
    return values


def require(
    optimizer: str, argument: str, value: float, *, above: float | None = None, least: float | None = None
) -> None:
    """Raises ValueError unless a constructor's number is > `above` and >= `least`."""
    if above is not None and not value > above:
        raise ValueError(f"{optimizer} needs {argument} > {above}. Received: {argument}={value}")
    if least is not None and not value >= least:
        raise ValueError(f"{optimizer} needs {argument} >= {least}. Received: {argument}={value}")
