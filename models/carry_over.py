"""Carries weights over to a model of the same options that knows other ids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from fullrank.data.schema.vocabulary import read_vocabularies
from fullrank.layers.remote_rows import full_name
from fullrank.models.ranker import Ranker
from fullrank.models.table_layout import table_layout
from fullrank.models.table_rows import Rows, kept_rows


def carry_over(old: Ranker, new: Ranker) -> dict[str, Rows]:
    """Gives a model the weights of another one: of the tables, the rows of the ids that both know.

    Rows of ids that only `new` knows keep their values, and so do its metrics.

    Args:
      old: A trained model.
      new: One of the same options, whose vocabularies and identity maps may have grown, shrunk or changed their order.

    Returns:
      Name of an embedding variable -> its rows that both have, for `take_over` of what belongs to it.

    Raises:
      SchemaError: If the rows of a table cannot be compared.
    """
    rows = _rows_of_tables(old, new)
    of_metrics = {variable.ref() for metric in new.metrics for variable in metric.variables}
    for theirs, ours in zip(old.weights, new.weights, strict=True):
        if ours.ref() not in of_metrics:
            take_over(theirs, ours, rows)
    return rows


def take_over(theirs: tf.Variable, ours: tf.Variable, rows: Mapping[str, Rows]) -> None:
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
