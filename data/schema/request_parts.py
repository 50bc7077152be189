"""What a request for one user holds once, and what it holds for each candidate."""

from __future__ import annotations

import dataclasses

from fullrank.data.schema.schema import Schema, SchemaError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequestParts:
    """The features and input columns of a schema, by how often a request holds them.

    Attributes:
      features: Those of user and context, which are held once; all others describe the candidates.
      columns: The columns that these features, and no others, read.
    """

    features: frozenset[str]
    columns: frozenset[str]


def request_parts(schema: Schema) -> RequestParts:
    """Splits a schema by the `side` of its features.

    A column that a feature of the ad side reads, too, is held for each candidate, and so are then the features that
    read it. The event time is held once unless a feature is made of it that is not.

    Raises:
      SchemaError: If no feature describes the ad, or none the user or the context: then nothing can be split.
    """
    columns = {f.name: {c.name for c in schema.feature_columns(f)} for f in schema.features}
    each = {f.name for f in schema.features if f.side == "ad"}
    if not each:
        raise SchemaError(
            f'no feature of schema {schema.name!r} has "side": "ad". Set the sides of the features in schema.json to '
            "score one user against many ads in one request"
        )
    while True:
        theirs = set().union(*(columns[name] for name in each))
        more = {name for name, read in columns.items() if read & theirs}
        if more <= each:
            break
        each |= more
    once = frozenset(f.name for f in schema.features) - each
    if not once:
        raise SchemaError(
            f"every feature of schema {schema.name!r} describes the ad or shares a column with one that does. Set the "
            '"side" of features of the user or the context in schema.json'
        )
    return RequestParts(features=once, columns=frozenset(c.name for c in schema.input_columns) - theirs)


def columns_once(schema: Schema) -> frozenset[str]:
    """The columns that a request holds once; none if the schema cannot be split."""
    try:
        return request_parts(schema).columns
    except SchemaError:
        return frozenset()
