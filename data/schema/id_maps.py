"""The id maps of a schema: which columns read which table, and a schema with other maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from fullrank.data.schema.features import BehaviourColumn, Feature, IdMap, Sequence, Sparse
from fullrank.data.schema.schema import Schema

_Owner = TypeVar("_Owner", Sparse, BehaviourColumn)


def columns_of_ids(schema: Schema, table: str) -> tuple[str, ...]:
    """The columns whose ids are looked up in a table, without repetition, beginning with that of its owner.

    Args:
      schema: A schema.
      table: Name of the table's owner, one of `schema.tables`.
    """
    names = [table]
    for feature in schema.features:
        if isinstance(feature, Sparse) and feature.table == table:
            names.append(feature.name)
        elif isinstance(feature, Sequence):
            names.extend(column.name for column in feature.behaviour if column.table == table)
    # A sequence may name the same column twice, for two tables; within one table it counts once.
    return tuple(dict.fromkeys(names))


def with_id_maps(schema: Schema, maps: Mapping[str, IdMap]) -> Schema:
    """The schema with other id maps.

    Args:
      schema: A schema.
      maps: Name of a table's owner -> its new map; the others keep theirs.
    """
    features: list[Feature] = []
    for feature in schema.features:
        if isinstance(feature, Sequence):
            features.append(dataclasses.replace(feature, behaviour=tuple(_mapped(c, maps) for c in feature.behaviour)))
        else:
            features.append(_mapped(feature, maps) if isinstance(feature, Sparse) else feature)
    return dataclasses.replace(schema, features=tuple(features))


def _mapped(owner: _Owner, maps: Mapping[str, IdMap]) -> _Owner:
    return dataclasses.replace(owner, ids=maps[owner.name]) if owner.name in maps else owner
