"""Which features describe the ad, and which one names it."""

from __future__ import annotations

import dataclasses

from fullrank.data.files.printable import closest
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import Sparse, Vector
from fullrank.data.schema.schema import Schema, SchemaError


def item_feature(schema: Schema, name: str | None) -> Sparse:
    """The feature whose id names the ad: the one of that name, or that of the ad side with the most rows.

    Raises:
      SchemaError: If it is not a single id of the ad side, or there is none.
    """
    single = [f for f in schema.features if isinstance(f, Sparse) and f.side == "ad" and f.max_values == 1]
    if name is None:
        if not single:
            raise SchemaError(
                f"Schema {schema.name!r} has no id of the ad side that could name an ad: give a feature side: ad."
            )
        return max(single, key=lambda feature: schema.table(feature.table or feature.name).ids.rows)
    found = next((feature for feature in single if feature.name == name), None)
    if found is None:
        meant = closest(name, [feature.name for feature in single])
        hint = f"did you mean {meant!r}?" if meant else f"Those are: {', '.join(f.name for f in single) or 'none'}."
        raise SchemaError(f"--item={name}: no feature of the ad side that holds one id; {hint}")
    return found


def ad_columns(schema: Schema) -> tuple[Column, ...]:
    """The columns of the features of the ad side: what a catalogue holds of each ad.

    Raises:
      SchemaError: If the query would have no feature.
    """
    ads = [feature for feature in schema.features if feature.side == "ad"]
    if len(ads) == len(schema.features):
        raise SchemaError(f"Schema {schema.name!r} has features of the ad side alone: a query needs one, side: user.")
    names = {column.name for feature in ads for column in schema.feature_columns(feature)}
    return tuple(column for column in schema.input_columns if column.name in names)


def without_pairs(schema: Schema) -> Schema:
    """The schema in which no vector is compared with another: a pair of both sides is known to neither tower."""
    features = tuple(
        dataclasses.replace(feature, pair=None, statistics=None)
        if isinstance(feature, Vector) and feature.pair is not None
        else feature
        for feature in schema.features
    )
    return dataclasses.replace(schema, features=features)
