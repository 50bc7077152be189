"""One optimiser made of several, each for variables of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras
from absl import logging

from fullrank.layers.remote_rows import with_shards


@keras.saving.register_keras_serializable(package="fullrank")
class GroupedOptimizer(keras.optimizers.Optimizer):
    """Hands each variable's gradient to the optimiser of its group.

    TensorFlow Recommenders has a `CompositeOptimizer` for this. It can be trained and saved in a `tf.train.Checkpoint`
    under tf_keras, but it is an optimiser of Keras' older kind around newer ones: its `variables` and `weights` raise,
    it has no `learning_rate`, so that the callbacks that set one fail, `model.save` refuses it, and mixed_float16
    cannot wrap it. Hence this class, which adds nothing else.

    `learning_rate` is the first optimiser's. If the first and another one both have a constant rate, a change of the
    first rate, as by `keras.callbacks.ReduceLROnPlateau`, changes the other in proportion. `iterations` counts the
    steps of the first optimiser that has variables. Each optimiser clips its own gradients.

    Args:
      optimizers: The optimisers; the first one trains every variable that no group names.
      groups: For each optimiser but the first, the variables it trains; a sharded table counts as all its shards.
        None only when loading: the groups then come from `positions`.
      positions: For each variable of `build`, the number of its optimiser. Written when a model is saved.
      name: Default "grouped".

    Raises:
      ValueError: If numbers of optimisers and groups do not fit, or a variable is in two groups.
    """

    def __init__(
        self,
        optimizers: Sequence[Any],
        groups: Sequence[Sequence[Any]] | None = None,
        *,
        positions: Sequence[int] | None = None,
        name: str = "grouped",
    ):
        if groups is not None and len(groups) != len(optimizers) - 1:
            raise ValueError(
                f"GroupedOptimizer needs one group for each optimizer but the first. Received: {len(optimizers)} "
                f"optimizers, {len(groups)} groups"
            )
        super().__init__(name, weight_decay=None, jit_compile=False)
        self._optimizers = list(optimizers)
        self._shares = self._no_dependency([_share(other, self._optimizers[0]) for other in self._optimizers])
        self._positions = self._no_dependency(None if positions is None else list(positions))
        self._group_of = self._no_dependency({})
        self._can_build = groups is not None or positions is not None
        for number, group in enumerate(groups or (), start=1):
            for variable in with_shards(group):
                key = self._var_key(variable)
                if key in self._group_of:
                    raise ValueError(f"{variable.name} is in two groups of GroupedOptimizer; it can be in one")
                self._group_of[key] = number

    @property
    def iterations(self) -> Any:
        """Steps so far, a scalar int64 variable."""
        return self._optimizers[self._leader()].iterations

    @property
    def learning_rate(self) -> Any:
        """The first optimiser's learning rate, a variable."""
        return self._optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._optimizers[0].learning_rate = value

    def build(self, var_list: Iterable[Any]) -> None:
        """Creates the state of all optimisers; Keras calls it before the first step."""
        if getattr(self, "_built", False):
            return
        variables = list(var_list)
        if not self._can_build:
            raise ValueError(
                "this GroupedOptimizer was saved before it had trained, so its groups are unknown: compile the model "
                "with a new optimizer"
            )
        if self._positions is None:
            self._positions = self._no_dependency([self._group_of.get(self._var_key(v), 0) for v in variables])
        if len(self._positions) != len(variables):
            raise ValueError(
                f"GroupedOptimizer was saved with {len(self._positions)} variables, but is to train {len(variables)}: "
                "load it together with its model"
            )
        super().build(variables)
        for optimizer, members in zip(self._optimizers, self._split(variables, variables), strict=True):
            optimizer.build(members)
            self._variables.extend(optimizer.variables)
        self._built = True

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, Any]],
        name: str | None = None,
        skip_gradients_aggregation: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Applies each group's gradients by its optimiser; arguments and result as in Keras."""
        pairs = list(grads_and_vars)
        variables = [variable for _, variable in pairs]
        if all(gradient is None for gradient, _ in pairs):
            raise ValueError(f"no gradient reaches any of the variables {[variable.name for variable in variables]}")
        with tf.init_scope():
            self.build(variables)
        for optimizer, share in zip(self._optimizers[1:], self._shares[1:], strict=True):
            if share is not None:
                optimizer.learning_rate.assign(share * self.learning_rate)
        for optimizer, members in zip(self._optimizers, self._split(variables, pairs), strict=True):
            if any(gradient is not None for gradient, _ in members):
                optimizer.apply_gradients(
                    members, name=name, skip_gradients_aggregation=skip_gradients_aggregation, **kwargs
                )
            elif members:
                logging.warning("no gradient reaches the variables %s", [variable.name for _, variable in members])
        return self.iterations

    def finalize_variable_values(self, var_list: Iterable[Any]) -> None:
        """Finalises the variables of each optimiser, as Keras does at the end of `fit`."""
        variables = list(var_list)
        for optimizer, members in zip(self._optimizers, self._split(variables, variables), strict=True):
            optimizer.finalize_variable_values(members)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the groups as positions among the variables."""
        return {
            "optimizers": [keras.optimizers.serialize(optimizer) for optimizer in self._optimizers],
            "positions": None if self._positions is None else list(self._positions),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> GroupedOptimizer:
        """The reverse of `get_config`."""
        optimizers = [keras.optimizers.deserialize(optimizer, custom_objects) for optimizer in config["optimizers"]]
        return cls(optimizers, positions=config["positions"], name=config["name"])

    def save_own_variables(self, store: Any) -> None:
        """Does nothing: Keras saves the inner optimisers itself, and would save every variable twice."""

    def load_own_variables(self, store: Any) -> None:
        """Does nothing, like `save_own_variables`."""

    def _create_iteration_variable(self) -> None:
        """Does nothing: the inner optimisers count steps."""

    def _leader(self) -> int:
        return min(self._positions, default=0) if self._positions else 0

    def _split(self, variables: Sequence[Any], items: Sequence[Any]) -> list[list[Any]]:
        """Distributes `items`, one for each of `variables`, into one list per optimiser."""
        groups: list[list[Any]] = [[] for _ in self._optimizers]
        for variable, item in zip(variables, items, strict=True):
            groups[self._positions[self._index_dict[self._var_key(variable)]]].append(item)
        return groups


def _share(optimizer: Any, main: Any) -> float | None:
    """Learning rate relative to the main optimiser's, None where one of them follows a schedule."""
    schedule = keras.optimizers.schedules.LearningRateSchedule
    if any(isinstance(each._learning_rate, schedule) for each in (optimizer, main)):
        return None
    rate, reference = (float(keras.backend.get_value(each.learning_rate)) for each in (optimizer, main))
    return rate / reference if reference > 0.0 else None
