"""An optimiser described by plain data, and built from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tf_keras as keras

from fullrank.models.optimizers import fused_adam, lazy_adagrad, lazy_adam, lazy_ftrl, rowwise_adagrad, schedule

_ADAGRAD = ("initial_accumulator_value", "epsilon")
_ADAM = ("beta_1", "beta_2", "epsilon")

# name: constructor, and the fields of `OptimizerSpec` that are its parameters.
_SPARSE: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "rowwise_adagrad": (rowwise_adagrad.RowwiseAdagrad, _ADAGRAD),
    "lazy_adagrad": (lazy_adagrad.LazyAdagrad, _ADAGRAD),
    "lazy_adam": (lazy_adam.LazyAdam, _ADAM),
    "lazy_ftrl": (lazy_ftrl.LazyFtrl, ("beta", "l1", "l2")),
}
_DENSE: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "adam": (fused_adam.FusedAdam, (*_ADAM, "weight_decay")),
    "adamw": (fused_adam.FusedAdamW, (*_ADAM, "weight_decay")),
    "adagrad": (keras.optimizers.Adagrad, (*_ADAGRAD, "weight_decay")),
    "sgd": (keras.optimizers.SGD, ("momentum", "weight_decay")),
}

SPARSE_OPTIMIZERS = tuple(_SPARSE)
DENSE_OPTIMIZERS = tuple(_DENSE)


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """The choice of an optimiser and its parameters. A parameter left at None takes the optimiser's own default.

    Args:
      name: One of `SPARSE_OPTIMIZERS` (for tables) or `DENSE_OPTIMIZERS` (Keras' rules, for everything else).
      learning_rate: After the warm-up, before the decay.
      schedule: "constant", "cosine", "linear" or "exponential"; see `schedule.build_schedule`, like the next three.
      warmup_steps: Steps of linear rise; default none.
      decay_steps: Steps of the decay after the warm-up.
      final: Last learning rate as a share of `learning_rate`.
      global_clipnorm: Largest norm of the gradients of all variables of this optimiser together; default none.
      initial_accumulator_value: For rowwise_adagrad, lazy_adagrad and adagrad.
      epsilon: For all but lazy_ftrl and sgd.
      beta_1: For lazy_adam, adam and adamw.
      beta_2: For lazy_adam, adam and adamw.
      beta: For lazy_ftrl.
      l1: For lazy_ftrl.
      l2: For lazy_ftrl.
      momentum: For sgd.
      weight_decay: For the dense ones; decoupled: a step subtracts the weight times this times the learning rate.
    """

    name: str
    learning_rate: float
    schedule: str = "constant"
    warmup_steps: int = 0
    decay_steps: int = 0
    final: float = 0.0
    global_clipnorm: float | None = None
    initial_accumulator_value: float | None = None
    epsilon: float | None = None
    beta_1: float | None = None
    beta_2: float | None = None
    beta: float | None = None
    l1: float | None = None
    l2: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None


_PARAMETERS = (
    "initial_accumulator_value",
    "epsilon",
    "beta_1",
    "beta_2",
    "beta",
    "l1",
    "l2",
    "momentum",
    "weight_decay",
)


def build_sparse(spec: OptimizerSpec) -> Any:
    """Builds an optimiser for tables.

    Raises:
      ValueError: For a name that is not among `SPARSE_OPTIMIZERS`, a parameter that the optimiser does not have, or a
        number out of range.
    """
    return _build(spec, _SPARSE, "table")


def build_dense(spec: OptimizerSpec) -> Any:
    """Builds an optimiser for the weights that every example uses. Raises as `build_sparse`."""
    return _build(spec, _DENSE, "dense")


def _build(spec: OptimizerSpec, known: dict[str, tuple[Callable[..., Any], tuple[str, ...]]], kind: str) -> Any:
    if spec.name not in known:
        raise ValueError(f"unknown {kind} optimizer {spec.name!r}: use one of {', '.join(known)}")
    constructor, accepted = known[spec.name]
    given = {name: getattr(spec, name) for name in _PARAMETERS if getattr(spec, name) is not None}
    for name in given:
        if name not in accepted:
            raise ValueError(f"{spec.name} has no parameter {name}, it has {', '.join(accepted)}. Received: {spec}")
    rate = schedule.build_schedule(
        learning_rate=spec.learning_rate,
        schedule=spec.schedule,
        warmup_steps=spec.warmup_steps,
        decay_steps=spec.decay_steps,
        final=spec.final,
    )
    if kind == "dense":
        given["jit_compile"] = False
    return constructor(learning_rate=rate, global_clipnorm=spec.global_clipnorm, **given)
