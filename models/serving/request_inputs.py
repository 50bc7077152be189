"""The form of a request, and its conversion to a batch as the reader would have made it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf

from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import IdMap, Sequence, Sparse
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.vocabulary import read_vocabulary

_DTYPES = {"int64": tf.int64, "float32": tf.float32, "bytes": tf.string}
# Named arguments of TensorFlow's own that an input of the same name would collide with.
_RESERVED = frozenset({"self"})


def input_name(column: str) -> str:
    """The name of a column among the inputs of a signature.

    TensorFlow's functions take ASCII letters, digits and `_` only, and a letter first. So `hours-per-week` is
    `hours_per_week`, `1st` is `arg_1st`, and a character beyond ASCII is `u` with its code: `größe` is `gru00f6u00dfe`.
    """
    name = "".join(_in_ascii(character) for character in column)
    return f"arg_{name}" if name in _RESERVED or not name[:1].isalpha() else name


def _in_ascii(character: str) -> str:
    if not character.isascii():
        return f"u{ord(character):04x}"
    return character if character.isalnum() else "_"


def input_specs(schema: Schema, *, once: Collection[str] = (), widths: bool = False) -> dict[str, tf.TensorSpec]:
    """Signature input -> spec, one for each column that the model reads.

    `one` is `[None]`, `fixed` is `[None, length]`, `many` is `[None, None]`: a request may be narrower or wider than
    the records were.

    Args:
      schema: The model's schema.
      once: Columns that a request holds once, whatever its number of rows: their first axis has size 1.
      widths: Whether `many` columns have the width of the records, `[None, length]`.

    Raises:
      SchemaError: If two columns would have one input name.
    """
    columns: dict[str, str] = {}
    specs: dict[str, tf.TensorSpec] = {}
    for column in schema.input_columns:
        name = input_name(column.name)
        if name in columns:
            raise SchemaError(
                f"Columns {columns[name]!r} and {column.name!r} of schema {schema.name!r} would both be the input "
                f"{name!r} of the served model: rename one of them."
            )
        columns[name] = column.name
        rows = 1 if column.name in once else None
        shape = {"one": [rows], "many": [rows, column.length if widths else None], "fixed": [rows, column.length]}[
            column.form
        ]
        specs[name] = tf.TensorSpec(shape, _DTYPES[column.dtype], name=name)
    return specs


def to_batch(inputs: Mapping[str, tf.Tensor], *, schema: Schema) -> dict[str, tf.Tensor]:
    """Brings the inputs of a request into the shapes that the model was trained on.

    Args:
      inputs: Signature input -> tensor, as `input_specs` says.
      schema: The model's schema.

    Returns:
      Column -> tensor. Each `many` column has its own `length`; of a longer row the last values are kept, and columns
      that belong together (the ids and times of a sequence, ids and their weights) lose the same ones. These must be
      equally wide, or the graph stops with an error that names them. What is missing within a row cannot be told from
      padding, so the values of one row are not counted. About rows filled up with 0 see `without_zeros`.
    """
    batch = {column.name: inputs[input_name(column.name)] for column in schema.input_columns}
    batch = without_zeros(batch, schema=schema)
    for aligned in _aligned(schema):
        batch.update(_fitted({column.name: batch[column.name] for column in aligned}, aligned))
    return batch


def without_zeros(batch: Mapping[str, tf.Tensor], *, schema: Schema) -> dict[str, tf.Tensor]:
    """Removes the padding of rows that a client padded with 0, where a missing id is -1 or empty.

    In the columns that the schema's `reading` calls padded, the values of a row move to its beginning, and what is
    missing fills up. In the other lists of whole-number ids the graph stops, with an error that names the column, where
    a row ends in 0 although no row of the training data held that id: it would be scored as if it were one. Nothing is
    refused by a vocabulary that leaves ids out (`min_count`, `max_size`), which cannot tell 0 from a rare id.

    Args:
      batch: Column -> tensor.
      schema: The model's schema; without a directory, and so without vocabularies, nothing is refused.
    """
    fitted, padded = dict(batch), schema.reading.padded if schema.reading is not None else ()
    known = _known_ids(schema)
    for column in schema.input_columns:
        if column.form == "many" and column.name in padded:
            zeros = {"int64": 0, "float32": 0.0, "bytes": b"0"}
            zero = batch[column.name] == tf.constant(zeros[column.dtype], _DTYPES[column.dtype])
            missing = tf.where(zero, tf.constant(column.missing, _DTYPES[column.dtype]), batch[column.name])
            order = tf.argsort(tf.cast(zero, tf.int32), axis=1, stable=True)
            fitted[column.name] = tf.gather(missing, order, batch_dims=1)
        elif column.name in known and not (known[column.name] == 0).any():
            message = (
                f"a row of {input_name(column.name)} ends in 0, which is not an id in the training data: pad with -1"
            )
            good = tf.reduce_all(batch[column.name][:, -1:] != 0)
            with tf.control_dependencies([tf.debugging.Assert(good, [message])]):
                fitted[column.name] = tf.identity(batch[column.name])
    return fitted


def _known_ids(schema: Schema) -> dict[str, Any]:
    """The ids of each `many` column of whole numbers whose vocabulary holds every id of the training data."""
    if schema.directory is None:
        return {}
    owners = {f.name: schema.table(f.name) for f in schema.features if isinstance(f, Sparse) and f.max_values > 1}
    tables = {owner.name: owner for owner in schema.tables}
    for feature in schema.features:
        if isinstance(feature, Sequence):
            shared = ((column.name, column.table or column.name) for column in feature.behaviour)
            owners.update({name: tables[table] for name, table in shared if table in tables})
    return {
        name: read_vocabulary(schema=schema, feature=owner.name)
        for name, owner in owners.items()
        if _holds_every_id(owner.ids) and owner.dtype == "int64"
    }


def _holds_every_id(ids: IdMap) -> bool:
    return ids.kind == "vocabulary" and ids.min_count <= 1 and ids.max_size is None


def _aligned(schema: Schema) -> list[tuple[Column, ...]]:
    """The `many` columns, those of one feature together; a column that several features read goes with the first."""
    seen: set[str] = set()
    groups: list[tuple[Column, ...]] = []
    for feature in schema.features:
        group = tuple(c for c in schema.feature_columns(feature) if c.form == "many" and c.name not in seen)
        seen.update(column.name for column in group)
        if group:
            groups.append(group)
    return groups


def _fitted(values: dict[str, tf.Tensor], columns: tuple[Column, ...]) -> dict[str, tf.Tensor]:
    length = columns[0].length
    widths = tf.stack([tf.shape(value)[1] for value in values.values()])
    widest = tf.reduce_max(widths)
    inputs = ", ".join(input_name(column.name) for column in columns)
    message = f"inputs {inputs} belong together, value by value, and must be equally wide. Received widths:"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(widths == widest), [message, widths])]):
        widest = tf.identity(widest)
    padded = {c.name: _padded(values[c.name], tf.maximum(widest, length), c) for c in columns}
    # Most requests are no wider than the records; only the others pay for finding where each row ends.
    names = list(padded)
    fitted = tf.cond(
        widest > length,
        lambda: [_last(padded, columns)[name] for name in names],
        lambda: [padded[name] for name in names],
    )
    return {name: tf.ensure_shape(value, [None, length]) for name, value in zip(names, fitted, strict=True)}


def _padded(value: tf.Tensor, width: tf.Tensor, column: Column) -> tf.Tensor:
    missing: Any = tf.constant(column.missing, value.dtype)
    return tf.pad(value, [[0, 0], [0, width - tf.shape(value)[1]]], constant_values=missing)


def _last(values: dict[str, tf.Tensor], columns: tuple[Column, ...]) -> dict[str, tf.Tensor]:
    """The last `length` values of each row, `[B, W]` -> `[B, length]`; a row ends where all aligned columns do."""
    present = tf.reduce_any(tf.stack([_present(values[column.name], column) for column in columns]), axis=0)
    places = tf.range(tf.shape(present)[1])
    ends = tf.reduce_max(tf.where(present, places + 1, 0), axis=1, keepdims=True)
    length = columns[0].length
    kept = tf.maximum(ends - length, 0) + tf.range(length)
    return {name: tf.gather(value, kept, batch_dims=1) for name, value in values.items()}


def _present(value: tf.Tensor, column: Column) -> tf.Tensor:
    if column.dtype == "float32" and column.pad is None:
        return tf.logical_not(tf.math.is_nan(value))
    return value != tf.constant(column.missing, value.dtype)
