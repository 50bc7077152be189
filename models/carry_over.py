"""Carries weights over to a model of the same options that knows other ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf

from fullrank.data.schema.vocabulary import read_vocabularies
from fullrank.layers.remote_rows import full_name
from fullrank.models.ranker import Ranker
from fullrank.models.table_layout import table_layout
from fullrank.models.table_rows import Rows, kept_rows


def carry_over(old: Ranker, new: Ranker) -> dict[str, Rows]:
    """Gives a model the weights of another one: of the tables, the rows of the ids that both know.

    Rows of ids that only `new` knows keep their values, and so do its metrics, and heads that only train if `old` has
    others.

    Args:
      old: A trained model.
      new: One of the same options, whose vocabularies and identity maps may have grown, shrunk or changed their order,
        and whose objective may be another one.

    Returns:
      Name of an embedding variable -> its rows that both have, for `carry_over_state`.

    Raises:
      SchemaError: If the rows of a table cannot be compared.
    """
    rows = _rows_of_tables(old, new)
    left_out = _differing_heads(old, new)
    for theirs, ours in zip(*(_weights(model, left_out) for model in (old, new)), strict=True):
        _take_over(theirs, ours, rows)
    return rows


def carry_over_state(old: Ranker, new: Ranker, rows: Mapping[str, Rows]) -> None:
    """Gives the optimisers of a compiled model the steps and slots of those of another one.

    Args:
      old: The model whose weights were carried over.
      new: The one that got them, with optimisers of the same kinds.
      rows: The result of `carry_over`.
    """
    endings = tuple(f"/{name}" for name in _differing_heads(old, new))
    kept = (
        [each for each in model.optimizer.variables if not full_name(each).endswith(endings)] for model in (old, new)
    )
    for theirs, ours in zip(*kept, strict=True):
        _take_over(theirs, ours, rows)


def _differing_heads(old: Ranker, new: Ranker) -> set[str]:
    """Names of the weights of the heads that only train, if those of one model do not fit the other."""
    was, now = (
        {full_name(weight): weight.shape for weight in (model.learning.heads.weights if model.learning.heads else ())}
        for model in (old, new)
    )
    return set() if was == now else {*was, *now}


def _weights(model: Ranker, left_out: Collection[str]) -> list[tf.Variable]:
    of_metrics = {variable.ref() for metric in model.metrics for variable in metric.variables}
    return [each for each in model.weights if each.ref() not in of_metrics and full_name(each) not in left_out]


def _take_over(theirs: tf.Variable, ours: tf.Variable, rows: Mapping[str, Rows]) -> None:
    """Copies a weight or a slot of an optimiser: of an embedding variable the rows that both have, else all of it."""
    name = full_name(ours)
    kept = next((each for table, each in rows.items() if name == table or name.endswith(f"/{table}")), None)
    if kept is None:
        ours.assign(theirs)
        return
    values = ours.numpy()
    values[kept.new] = theirs.numpy()[kept.old]
    ours.assign(values)


def _rows_of_tables(old: Ranker, new: Ranker) -> dict[str, Rows]:
    vocabularies = read_vocabularies(old.schema), read_vocabularies(new.schema)
    found = {}
    for was, now in zip(table_layout(old).variables, table_layout(new).variables, strict=True):
        parts = []
        for before, after in zip(was.tables, now.tables, strict=True):
            kept = kept_rows(
                old.schema,
                new.schema,
                table=after.name,
                rows=(before.rows, after.rows),
                vocabularies=vocabularies,
            )
            parts.append(Rows(kept.old + before.start, kept.new + after.start))
        found[now.variable] = Rows(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    return found
