"""Scores examples with the item replaced by a near-duplicate, to see whether a model treats them alike."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.analysis.comparisons.paired import inconsistency
from fullrank.data.schema.columns import MISSING_BYTES, MISSING_INT
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.models import Ranker
from fullrank.trainers.evaluation.score import Batches

MOST_EXAMPLES: Final = 50_000
Arrays = dict[str, npt.NDArray[Any]]


class Duplicates(NamedTuple):
    """The columns that identify items and groups of near-duplicates."""

    item: str
    group: str


def read_duplicates(text: str, schema: Schema) -> Duplicates:
    """Reads `item:group`, two columns of one id per example.

    Raises:
      SchemaError: If the text has another form, or a column does not exist.
    """
    item, _, group = text.partition(":")
    columns = {column.name: column for column in schema.columns}
    for name in (item, group):
        if name not in columns or columns[name].form != "one" or columns[name].dtype == "float32":
            raise SchemaError(
                f"--duplicates={text}: give the columns of the item and of the group of its near-duplicates as "
                f"item:group; {name!r} is not a column of one id per example."
            )
    return Duplicates(item, group)


def duplicate_inconsistency(
    model: Ranker, batches: Batches, duplicates: Duplicates, *, batch_size: int = 4096
) -> dict[str, float]:
    """The inconsistency of each task between near-duplicates in the same place.

    Each example whose item's group holds another item is scored as it is, and with all inputs of side `ad` taken from
    the next item of the group (as its first example has them). At most the first 50,000 examples are read.

    Args:
      model: The model that scores.
      batches: Records of a split, with both columns.
      duplicates: The columns.
      batch_size: Examples scored at once.

    Returns:
      Task -> `inconsistency`; NaN where there is no pair. Tasks whose predictions can be negative are left out.
    """
    inputs = [column.name for column in model.schema.input_columns]
    rows = _rows(batches, [*inputs, *duplicates])
    swapped_in, places = _partners(rows[duplicates.item], rows[duplicates.group])
    ads = _ad_columns(model.schema)
    found: dict[str, list[list[npt.NDArray[Any]]]] = {task: [[], []] for task in model.outputs.not_negative}
    for start in range(0, len(places), batch_size):
        part = slice(start, start + batch_size)
        own = {name: rows[name][places[part]] for name in inputs}
        other = {name: rows[name][swapped_in[part]] if name in ads else own[name] for name in inputs}
        for side, batch in enumerate((own, other)):
            scores = model({name: tf.constant(values) for name, values in batch.items()}, training=False)
            for task, sides in found.items():
                sides[side].append(scores[task].numpy())
    return {
        task: inconsistency(np.concatenate(own), np.concatenate(other)) if own else float("nan")
        for task, (own, other) in found.items()
    }


def _ad_columns(schema: Schema) -> set[str]:
    """Columns that describe only the item."""
    of_ad = {c.name for f in schema.features if f.side == "ad" for c in schema.feature_columns(f)}
    return of_ad - {c.name for f in schema.features if f.side != "ad" for c in schema.feature_columns(f)}


def _rows(batches: Batches, names: list[str]) -> Arrays:
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    examples = 0
    for batch in batches:
        for name in parts:
            parts[name].append(batch[name].numpy())
        examples += len(parts[names[0]][-1])
        if examples >= MOST_EXAMPLES:
            break
    return {name: np.concatenate(arrays)[:MOST_EXAMPLES] for name, arrays in parts.items()}


def _partners(items: npt.NDArray[Any], groups: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The rows that the near-duplicates are taken from, and the rows that they replace."""
    first: dict[Any, int] = {}
    members: dict[Any, list[Any]] = {}
    for row, (item, group) in enumerate(zip(items.tolist(), groups.tolist(), strict=True)):
        if MISSING_INT in (item, group) or MISSING_BYTES in (item, group) or item in first:
            continue
        first[item] = row
        members.setdefault(group, []).append(item)
    following = {
        item: first[names[(place + 1) % len(names)]]
        for names in members.values()
        if len(names) > 1
        for place, item in enumerate(names)
    }
    pairs = [(following[item], row) for row, item in enumerate(items.tolist()) if item in following]
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
