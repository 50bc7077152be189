"""Several scenarios in one model: each task has a reader a scenario, and an example takes that of its own scenario."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fullrank.data.schema import Schema
from fullrank.models.wiring import Wiring

Scenarios = Sequence[int | str]


def scenario_tasks(tasks: Sequence[str], *, scenarios: Scenarios) -> tuple[str, ...]:
    """`task@scenario` for every task and scenario: what a paradigm takes as its tasks (Tencent §5).

    Example:
        >>> scenarios = ("moments", "news")
        >>> wiring = stem(tasks=scenario_tasks(("click",), scenarios=scenarios))
        >>> wiring = dataclasses.replace(wiring, scenarios=scenarios)
    """
    return tuple(f"{task}@{scenario}" for task in tasks for scenario in scenarios)


def check_scenario_column(schema: Schema, wiring: Wiring, column: str | None) -> None:
    """Refuses a column that cannot tell the scenario of an example.

    Raises:
      ValueError: If one of wiring and column is missing, or the column is no input of one id, or of another type.
    """
    if bool(wiring.scenarios) != (column is not None):
        raise ValueError(
            f"Scenarios need both a column and ids. Received: column {column!r}, ids {list(wiring.scenarios)}."
        )
    if column is None:
        return
    known = {c.name: c.dtype for c in schema.input_columns if c.form == "one" and c.dtype in ("int64", "bytes")}
    if column not in known:
        raise ValueError(
            f"The scenario column {column!r} is no feature of one id, which a served model needs. "
            f"Known: {', '.join(known) or 'none'}."
        )
    kind = int if known[column] == "int64" else str
    if any(type(scenario) is not kind for scenario in wiring.scenarios):
        raise ValueError(
            f"Column {column!r} holds {known[column]}, so its scenarios are of type {kind.__name__}. "
            f"Received: {list(wiring.scenarios)}."
        )


def of_domains(values: tf.Tensor, ids: tf.Tensor, *, scenarios: Scenarios) -> tf.Tensor:
    """What belongs to the examples of each task's own scenario; NaN elsewhere.

    Args:
      values: A value a task, `[B, T]`.
      ids: The scenario column, `[B]`.
      scenarios: That of each task, T of them.
    """
    is_own = tf.equal(ids[:, tf.newaxis], _ids(scenarios, ids.dtype))
    return tf.where(is_own, values, tf.constant(float("nan"), values.dtype))


def _ids(scenarios: Scenarios, dtype: tf.DType) -> tf.Tensor:
    return tf.constant([s.encode() if isinstance(s, str) else s for s in scenarios], dtype)


def of_scenario(
    values: tf.Tensor, ids: tf.Tensor, *, columns: Sequence[str], parts: Sequence[str], scenarios: Scenarios
) -> tf.Tensor:
    """Takes what the heads of each example's scenario say.

    A scenario that the wiring does not list gets the mean of all scenarios' logits, in training as well.

    Args:
      values: What the heads say, `[B, C]`.
      ids: The scenario column, `[B]`.
      columns: `part@scenario` for every part and scenario, C of them.
      parts: P of them: the tasks, and what else a value task needs.
      scenarios: Their ids.

    Returns:
      A value a part, `[B, P]`.
    """
    place_of = {column: place for place, column in enumerate(columns)}
    places = np.array([[place_of[f"{part}@{scenario}"] for scenario in scenarios] for part in parts])
    is_own = tf.equal(ids[:, tf.newaxis], _ids(scenarios, ids.dtype))
    is_known = tf.reduce_any(is_own, axis=1, keepdims=True)
    share = tf.where(is_known, tf.cast(is_own, values.dtype), tf.cast(1 / len(scenarios), values.dtype))
    return tf.einsum("bts,bs->bt", tf.gather(values, places, axis=1), share)
