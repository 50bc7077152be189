"""Several scenarios in one model: a task has a reader per scenario, and an example takes its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.data.schema.schema import Schema
from fullrank.models.wirings.wiring import Wiring

Scenarios = Sequence[int | str]


def scenario_tasks(tasks: Sequence[str], *, scenarios: Scenarios) -> tuple[str, ...]:
    """`task@scenario` for every task and scenario, as the tasks of a paradigm ([Tencent] §5).

    Example:
        >>> scenarios = ("moments", "news")
        >>> wiring = stem(tasks=scenario_tasks(("click",), scenarios=scenarios))
        >>> wiring = dataclasses.replace(wiring, scenarios=scenarios)
    """
    return tuple(f"{task}@{scenario}" for task in tasks for scenario in scenarios)


def check_scenario_column(schema: Schema, wiring: Wiring, column: str | None) -> None:
    """Rejects a column that cannot identify the scenario of an example.

    Raises:
      ValueError: If only one of scenarios and column is given, or the column is not an input with one id, or is of
        another type.
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
            f"The scenario column {column!r} is not a feature of one id, which a served model needs. "
            f"Known: {', '.join(known) or 'none'}."
        )
    kind = int if known[column] == "int64" else str
    if any(type(scenario) is not kind for scenario in wiring.scenarios):
        raise ValueError(
            f"Column {column!r} holds {known[column]}, so its scenarios are of type {kind.__name__}. "
            f"Received: {list(wiring.scenarios)}."
        )


def of_domains(values: tf.Tensor, ids: tf.Tensor, *, scenarios: Scenarios) -> tf.Tensor:
    """Returns the values of examples in each task's own scenario; NaN elsewhere.

    Args:
      values: A value per task, `[B, T]`.
      ids: The scenario column, `[B]`.
      scenarios: The scenario of each task, T of them.
    """
    return tf.where(is_of(ids, scenarios=scenarios), values, tf.constant(float("nan"), values.dtype))


def is_of(ids: tf.Tensor, *, scenarios: Scenarios) -> tf.Tensor:
    """Whether each id, `[B]`, is each of the scenarios, `[B, S]` bool."""
    return tf.equal(
        ids[:, tf.newaxis], tf.constant([s.encode() if isinstance(s, str) else s for s in scenarios], ids.dtype)
    )


def of_scenario(
    values: tf.Tensor, ids: tf.Tensor, *, columns: Sequence[str], parts: Sequence[str], scenarios: Scenarios
) -> tf.Tensor:
    """Selects the values of the heads of each example's scenario.

    A scenario that the wiring does not list gets the mean of all scenarios' logits, in training as well.

    Args:
      values: The values of the heads, `[B, C]`.
      ids: The scenario column, `[B]`.
      columns: `part@scenario` for every part and scenario, C of them.
      parts: P of them: the tasks, and the further columns of a value task.
      scenarios: Their ids.

    Returns:
      One value per part, `[B, P]`.
    """
    places = _places(columns, parts, scenarios)
    return tf.einsum("bts,bs->bt", tf.gather(values, places, axis=1), _shares(ids, scenarios))


def spread_of_scenarios(
    means: tf.Tensor, ids: tf.Tensor, *, columns: Sequence[str], parts: Sequence[str], scenarios: Scenarios
) -> tf.Tensor:
    """The disagreement of scenarios on an example of none of them: the variance of their means, `[B, P]`.

    An example of no listed scenario is assumed to be equally likely of any of them. Its logit is a mixture, and the
    variance of a mixture is the mean of the variances plus the variance of the means. The mean of S independent logits
    would instead have 1 / S of their variance, the least for the examples that were never seen. It is 0 for an example
    of a listed scenario.

    Args:
      means: Means of the heads' logits, `[B, C]`.
      ids: As in `of_scenario`.
      columns: As in `of_scenario`.
      parts: As in `of_scenario`.
      scenarios: As in `of_scenario`.
    """
    each = tf.gather(means, _places(columns, parts, scenarios), axis=1)
    share = _shares(ids, scenarios)
    center = tf.einsum("bts,bs->bt", each, share)
    return tf.einsum("bts,bs->bt", tf.square(each - center[:, :, tf.newaxis]), share)


def _places(columns: Sequence[str], parts: Sequence[str], scenarios: Scenarios) -> np.ndarray[Any, Any]:
    place_of = {column: place for place, column in enumerate(columns)}
    return np.array([[place_of[f"{part}@{scenario}"] for scenario in scenarios] for part in parts])


def _shares(ids: tf.Tensor, scenarios: Scenarios) -> tf.Tensor:
    """The weight of each scenario in an example, `[B, S]`."""
    is_own = is_of(ids, scenarios=scenarios)
    is_known = tf.reduce_any(is_own, axis=1, keepdims=True)
    return tf.where(is_known, tf.cast(is_own, tf.float32), 1.0 / len(scenarios))
