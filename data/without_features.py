"""A schema without some of its features: what a model that does not read them is built from."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from fullrank.data.schema.features import Feature, Sequence, Sparse, Vector
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.suggest import closest


def without_features(schema: Schema, names: Collection[str]) -> Schema:
    """Leaves features out; keys, segments, labels and the records stay as they are.

    A sequence loses the ids that share the table of a feature that is left out, and goes with its last one. A vector
    loses its pair.

    Raises:
      SchemaError: If there is no such feature, a feature that stays shares its table, or none stays.
    """
    known = [feature.name for feature in schema.features]
    for name in names:
        if name not in known:
            meant = closest(name, known)
            hint = f"did you mean {meant!r}?" if meant else f"it has {', '.join(known)}."
            raise SchemaError(f"Schema {schema.name!r} has no feature {name!r} to leave out; {hint}")
    kept = [_without(feature, names) for feature in schema.features if feature.name not in names]
    features = tuple(feature for feature in kept if feature is not None)
    if not features:
        raise SchemaError(f"Schema {schema.name!r} would have no feature left.")
    if not names:
        return schema
    left = dataclasses.replace(schema, features=features)
    read = {column.name for column in left.columns}
    left_out = dict.fromkeys([*schema.left_out, *(column.name for column in schema.columns if column.name not in read)])
    return dataclasses.replace(left, left_out=tuple(left_out))


def _without(feature: Feature, names: Collection[str]) -> Feature | None:
    if isinstance(feature, Sequence):
        ids = tuple((column, shared) for column, shared in feature.ids if shared not in names)
        return dataclasses.replace(feature, ids=ids) if ids else None
    if isinstance(feature, Vector) and feature.pair in names:
        return dataclasses.replace(feature, pair=None, statistics=None)
    if isinstance(feature, Sparse) and feature.table in names:
        raise SchemaError(f"Feature {feature.table!r} cannot be left out: {feature.name!r} shares its table.")
    return feature
