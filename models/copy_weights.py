"""Copies weights from one ranker to another that predicts all or some of its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import tf_keras as keras

from fullrank.layers.embedding.embedding_set import EmbeddingSet
from fullrank.models.heads.task_outputs import TaskOutputs
from fullrank.models.learning.objective import Objective
from fullrank.models.trunk import Trunk
from fullrank.models.wirings.wiring import ExpertSpec, StackedExpert, Wiring


class Copied(Protocol):
    """The parts of a `Ranker` that hold its weights."""

    wiring: Wiring
    outputs: TaskOutputs
    trunk: Trunk
    tower: keras.layers.Layer
    head: keras.layers.Layer

    @property
    def objective(self) -> Objective:
        """How it learns."""
        ...

    @property
    def sets(self) -> Mapping[str, EmbeddingSet]:
        """The embedding sets by name."""
        ...


def copy_weights(source: Copied, target: Copied) -> None:
    """Gives a ranker the weights of another one, so that it answers alike.

    Args:
      source: A ranker.
      target: One of the same schema and options but for `table_variables`, whose wiring is the source's or what is left
        of it `without_tasks`.
    """
    for name, inputs in target.trunk.inputs_of_sets.items():
        tables = {variable.ref() for variable in inputs.embeddings.weights}
        theirs = {variable.ref() for variable in source.sets[name].weights}
        _assign(
            [w for w in inputs.weights if w.ref() not in tables],
            [w for w in source.trunk.inputs_of_sets[name].weights if w.ref() not in theirs],
        )
        inputs.embeddings.assign_tables(source.sets[name])
    experts = {spec.name: expert for spec, expert in zip(source.wiring.experts, source.trunk.experts, strict=True)}
    for spec, expert in zip(target.wiring.experts, target.trunk.experts, strict=True):
        _assign(expert.weights, experts[spec.name].weights)
    _copy_mixture(source, target)
    target.trunk.groups.copy_from(source.trunk.groups)
    towers = _places([r.task for r in source.wiring.readers], [r.task for r in target.wiring.readers])
    _assign_rows(target.tower, source.tower, towers)
    _assign_rows(target.head, source.head, _places(source.outputs.columns, target.outputs.columns))
    learned, left = source.objective.uncertainty, target.objective.uncertainty
    if learned is not None and left is not None:
        _assign_rows(left, learned, _places(source.wiring.tasks, target.wiring.tasks))


def _copy_mixture(source: Copied, target: Copied) -> None:
    stages = zip(
        source.wiring.stages, target.wiring.stages, source.trunk.mixture.gates, target.trunk.mixture.gates, strict=True
    )
    for number, ((readers, experts), (readers_left, experts_left), gate, gate_left) in enumerate(stages):
        rows = _places([r.task for r in readers], [r.task for r in readers_left])
        columns = _places(_names(experts), _names(experts_left))
        if not gate_left.weights:
            continue
        kernel, bias = (weight.numpy() for weight in gate.weights)
        inputs = _inputs_left(source, target) if number == 0 else np.arange(kernel.shape[0])
        each = (-1, len(experts)) if gate.kind == "shared" else (-1, len(readers), len(experts))
        picks = (columns,) if gate.kind == "shared" else (rows, columns)
        for weight, value in zip(gate_left.weights, (kernel[inputs], bias), strict=True):
            shaped = value.reshape(each)
            weight.assign(shaped[np.ix_(range(len(shaped)), *picks)].reshape(weight.shape))
    for place, (level, level_left) in enumerate(zip(source.wiring.levels, target.wiring.levels, strict=True)):
        picked = _places(_names(level.experts), _names(level_left.experts))
        _assign_rows(target.trunk.mixture.levels[place], source.trunk.mixture.levels[place], picked)


def _inputs_left(source: Copied, target: Copied) -> np.ndarray:
    """The numbers of the first gates' inputs (the sets side by side) that are left."""
    left = {spec.name for spec in target.wiring.sets}
    return np.flatnonzero(
        np.repeat([s.name in left for s in source.wiring.sets], [s.width for s in source.wiring.sets])
    )


def _names(experts: Sequence[ExpertSpec | StackedExpert]) -> list[str]:
    return [expert.name for expert in experts]


def _places(names: Sequence[str], left: Sequence[str]) -> list[int]:
    return [list(names).index(name) for name in left]


def _assign_rows(target: keras.layers.Layer, source: keras.layers.Layer, rows: list[int]) -> None:
    """Numbers that are not of a task, such as whether inducing points were placed, go over as they are."""
    values = [weight.numpy() for weight in source.weights]
    _assign(target.weights, [value[rows] if value.ndim else value for value in values])


def _assign(targets: Sequence[object], values: Sequence[object]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.assign(value)  # type: ignore[attr-defined]
