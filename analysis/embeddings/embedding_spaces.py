"""The user and item tables of a run, set by set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fullrank.analysis.inputs.open_input import Input
from fullrank.analysis.inputs.variables import rows_with_touched_slots
from fullrank.data.reading.read import read_records
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.table_rows import table_rows
from fullrank.data.schema.vocabulary import KNOWN_FROM


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """The user and item tables of one embedding set.

    Attributes:
      run: Name of the run.
      set: Name of the set.
      users: `[N, d]`.
      items: `[M, d]`.
      trained: Whether each row was trained, of users and of items; all rows if unknown.
    """

    run: str
    set: str
    users: npt.NDArray[Any]
    items: npt.NDArray[Any]
    trained: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def spaces_of(given: Input, *, run: str, user: str, item: str) -> list[Space]:
    """Reads the tables of two features from every set.

    Args:
      given: A run, an exported model, or a checkpoint of fullrank.
      run: Name for it.
      user: Table of users.
      item: Table of items.

    Raises:
      ValueError: If it has no such tables, or they are not in the same sets.
    """
    found: dict[str, dict[str, tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]] = {}
    names: set[str] = set()
    for source in given.sources:
        wanted = [table for table in source.tables if table.name in (user, item)]
        names |= {table.name for table in source.tables}
        if not wanted:
            continue
        values, touched = source.variable.read(), rows_with_touched_slots(source.variable)
        for table in wanted:
            place = slice(table.start, table.start + table.rows)
            trained = np.ones(table.rows, bool) if touched is None else touched[place]
            found.setdefault(source.set, {})[table.name] = (values[place], trained)
    spaces = [
        Space(run=run, set=name, users=both[user][0], items=both[item][0], trained=(both[user][1], both[item][1]))
        for name, both in found.items()
        if len(both) == 2
    ]
    if not spaces:
        raise ValueError(
            f"{given.path} has no set with tables {user!r} and {item!r}. Its tables are {', '.join(sorted(names))}."
        )
    return spaces


def labelled_pairs(
    schema: Schema, *, user: str, item: str, tasks: tuple[str, str], split: str, examples: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Reads pairs that were shown, `[N, 2]` rows of users and items, and their labels in two tasks, `[N, 2]`.

    Args:
      schema: Schema of the records, as read from their directory.
      user: Feature of users.
      item: Feature of items.
      tasks: Two labels.
      split: Split to read.
      examples: Maximum number of examples to read.
    """
    rows, labels, count = [], [], 0
    for batch in read_records(schema, split=split, batch_size=min(4096, examples)):
        sides = [table_rows(batch[name].numpy(), schema=schema, feature=name) for name in (user, item)]
        rows.append(np.stack(sides, axis=1))
        labels.append(np.stack([batch[task].numpy() for task in tasks], axis=1))
        count += len(rows[-1])
        if count >= examples:
            break
    if not rows:
        raise ValueError(f"Split {split!r} of {schema.name!r} is empty.")
    return np.concatenate(rows), np.concatenate(labels)


def draw_pairs(spaces: Sequence[Space], *, number: int, seed: int) -> npt.NDArray[np.int64]:
    """Draws pairs of a user and an item, `[P, 2]`, from the rows that were trained in every space.

    Raises:
      ValueError: If the spaces have different rows.
    """
    sizes = {(len(space.users), len(space.items)) for space in spaces}
    if len(sizes) > 1:
        listed = ", ".join(f"{space.run}/{space.set} {len(space.users)} x {len(space.items)}" for space in spaces)
        raise ValueError(f"The runs were not trained on the same ids; rows of users and items differ: {listed}.")
    chosen = [np.flatnonzero(np.logical_and.reduce([space.trained[side] for space in spaces])) for side in (0, 1)]
    users, items = (rows[rows >= KNOWN_FROM] for rows in chosen)
    if not (len(users) and len(items)):
        raise ValueError("No user, or no item, was trained in all of the runs.")
    random = np.random.default_rng(seed)
    return np.stack([random.choice(users, number), random.choice(items, number)], axis=1)
