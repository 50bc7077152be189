"""The standard record layout: one `tf.train.Example` per row, which every TensorFlow tool reads and writes.

A feature of the example is a column of the same name; an absent feature is a missing value. Features that the schema
does not name are ignored, but a record that has none of its columns belongs to another data set, and is bad. A row in
which everything is missing is therefore written with an empty feature. `example_bytes` decides which bytes are an
example at all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from fullrank.data.records.example_bytes import checked_examples, checked_names, is_example
from fullrank.data.records.packing import HEADER
from fullrank.data.schema.columns import Column
from fullrank.data.schema.ragged import Ragged
from fullrank.data.schema.value_rules import ABSENT, ABSENT_BITS

_LIST_NAME: Final = {"bytes": "bytes_list", "float32": "float_list", "int64": "int64_list"}
PARSERS: Final = 32
"""The most parsers, each a graph, that a process keeps for later pipelines of the same columns."""
_NO_EXAMPLE: Final = "this is not a tf.train.Example"


def padded_last(values: tf.Tensor, row_splits: tf.Tensor, *, length: int, missing: int | float | bytes) -> tf.Tensor:
    """Pads or cuts ragged rows to one length.

    Args:
      values: All values, row after row: `[N]`.
      row_splits: Where each row begins and ends: `[B + 1]`.
      length: L; a longer row keeps its last L values, which are the most recent ones of a sequence.
      missing: The value that pads a shorter row on its right.

    Returns:
      `[B, L]`.
    """
    rows = tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)
    cut = tf.cond(
        tf.reduce_any(rows.row_lengths() > length),
        lambda: rows[:, -length:],
        lambda: rows,
    )
    padded = cut.to_tensor(default_value=tf.constant(missing, values.dtype), shape=[None, length])
    return tf.ensure_shape(padded, [None, length])


class ExampleError(ValueError):
    """A record of another form than its schema."""

    def __init__(self, reason: str, *, feature: str | None = None, received: str = "") -> None:
        """Keeps the reason separate from the value found."""
        super().__init__(reason)
        self.reason = reason
        self.feature = feature
        self.received = received


def example_parser(
    columns: Iterable[Column], *, aligned: Iterable[tuple[str, ...]] = (), left_out: Iterable[str] = ()
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes the function that parses a batch.

    Args:
      columns: Columns to read.
      aligned: Groups of `many` columns that must have the same number of values in each row; else the pipeline stops.
      left_out: Names of further columns of the data set, which are not read: `Schema.left_out`.

    Returns:
      A function of serialized examples `[B]` that gives every column as a dense tensor, as in `Column`. An absent float
      is `value_rules.ABSENT`, which is a NaN. Bytes that are not an example, and examples that have none of the columns
      nor of those left out, stop it with one of `pipeline.INPUT_ERRORS`.
    """
    parse = _example_parser(tuple(columns), tuple(aligned), tuple(left_out))

    def with_batch_size(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = parse(serialized)
        for values in parsed.values():
            values.set_shape([serialized.shape[0], *values.shape[1:]])
        return parsed

    return with_batch_size


# The pipelines of a process, for training, validation and looks at the labels, share one graph.
@functools.lru_cache(PARSERS)
def _example_parser(
    wanted: tuple[Column, ...], groups: tuple[tuple[str, ...], ...], left_out: tuple[str, ...]
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    names = (*(column.name for column in wanted), *left_out)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        serialized = checked_examples(serialized)
        # Within the function, since a specification holds tensors, which belong to the graph they were made in.
        parsed = tf.io.parse_example(serialized, {column.name: _parse_spec(column) for column in wanted})
        _check_names(serialized, parsed, wanted, names)
        for first, *others in groups:
            for other in others:
                equal = tf.reduce_all(parsed[first].row_splits == parsed[other].row_splits)
                tf.debugging.Assert(equal, ["fullrank: different numbers of values in", first, "and", other])
        return {column.name: _dense(column, parsed[column.name]) for column in wanted}

    traced: Callable[[tf.Tensor], dict[str, tf.Tensor]] = parse
    return traced


def decode_examples(
    records: Iterable[bytes], *, schema_columns: Iterable[Column]
) -> dict[str, npt.NDArray[Any] | Ragged]:
    """The inverse of `encode_examples`, for looking into records outside a graph; `many` columns are whole.

    As in `example_parser`, an absent float is `value_rules.ABSENT`. It does not check whether the bytes are a good
    record.

    Args:
      records: n serialized examples.
      schema_columns: Columns to read.

    Raises:
      ExampleError: If a record is not an example, or a feature is of another type or length.
    """
    wanted = tuple(schema_columns)
    rows: dict[str, list[list[Any]]] = {column.name: [] for column in wanted}
    for record in records:
        try:
            feature = tf.train.Example.FromString(record).features.feature
        except DecodeError:
            raise ExampleError(_NO_EXAMPLE) from None
        for column in wanted:
            rows[column.name].append(_row_values(column, feature[column.name]) if column.name in feature else [])
    return {column.name: _column_of(column, rows[column.name]) for column in wanted}


def check_has_columns(record: bytes, *, schema_columns: Iterable[Column], left_out: Iterable[str] = ()) -> None:
    """Checks that a record can be one of a schema.

    Since absent features are missing values, a record of another data set would otherwise be read as an empty row.

    Args:
      record: A serialized example.
      schema_columns: Columns to read.
      left_out: Names of further columns of the data set, which are not read: `Schema.left_out`.

    Raises:
      ExampleError: If it is not an example, has none of the columns nor of those left out, or has one of another type
        or length.
    """
    wanted = tuple(schema_columns)
    try:
        feature = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        feature = None
    if not is_example(record):
        raise ExampleError(_NO_EXAMPLE if feature is None else f"{_NO_EXAMPLE} in the form that writers give it")
    if feature is None:
        # The fault is within a feature. If that is a column, reading will say so.
        return
    if not any(name in feature for name in (*(column.name for column in wanted), *left_out)):
        if HEADER in feature:
            raise ExampleError(
                "this is a block of rows, not one tf.train.Example per row: is the layout of the schema right?"
            )
        raise ExampleError("this record has no column of the schema", received=", ".join(sorted(feature)) or "nothing")
    for column in wanted:
        if column.name in feature:
            _row_values(column, feature[column.name])


def _check_names(
    serialized: tf.Tensor, parsed: dict[str, Any], columns: tuple[Column, ...], names: tuple[str, ...]
) -> None:
    """Checks whether rows in which nothing was found have any feature of these names; such rows are rare."""

    def look() -> tf.Operation:
        empty = tf.where(_nothing_found(parsed, columns))
        return tf.cond(
            tf.size(empty) > 0, lambda: checked_names(tf.gather_nd(serialized, empty), names=names), tf.no_op
        )

    # Where every row has a value of one of the columns, the others need not be looked at.
    single = next((column for column in columns if column.form == "one"), None)
    some_lack = tf.constant(True) if single is None else tf.reduce_any(_is_absent(parsed[single.name], single))
    tf.cond(some_lack, look, tf.no_op)


def _nothing_found(parsed: dict[str, Any], columns: tuple[Column, ...]) -> tf.Tensor:
    """Marks the rows `[B]` in which every column has the value of an absent feature."""
    lengths = [parsed[column.name].row_lengths() for column in columns if column.form == "many"]
    nothing = [tf.reduce_all(tf.stack(lengths) == 0, axis=0)] if lengths else []
    # Columns of one kind are looked at together, which costs a few operations per batch whatever their number.
    alike: dict[tuple[Any, ...], list[Column]] = {}
    for column in columns:
        if column.form != "many":
            alike.setdefault((column.dtype, column.pad, column.form, column.length), []).append(column)
    for first, *others in alike.values():
        absent = _is_absent(tf.stack([parsed[column.name] for column in (first, *others)]), first)
        nothing.append(tf.reduce_all(absent, axis=0 if first.form == "one" else [0, 2]))
    return tf.reduce_all(tf.stack(nothing), axis=0)


def _is_absent(values: tf.Tensor, column: Column) -> tf.Tensor:
    if column.dtype == "float32" and column.pad is None:
        return tf.bitcast(values, tf.int32) == ABSENT_BITS
    return values == tf.constant(_absent(column), values.dtype)


def _row_values(column: Column, feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return []
    wanted = _LIST_NAME[column.dtype]
    values = list(getattr(feature, kind).value)
    if kind != wanted:
        received = f"{kind} of {len(values)} values"
        raise ExampleError(f"the schema says {column.dtype}", feature=column.name, received=received)
    if column.form != "many" and len(values) != column.length:
        reason = f"the schema says {column.length} value{'s' if column.length > 1 else ''}"
        raise ExampleError(reason, feature=column.name, received=str(len(values)))
    return values


def _column_of(column: Column, rows: list[list[Any]]) -> npt.NDArray[Any] | Ragged:
    if column.form == "many":
        return Ragged.from_lists(rows, dtype=column.numpy_dtype)
    values = np.full((len(rows), column.length), _absent(column), column.numpy_dtype)
    for number, row in enumerate(rows):
        if row:
            values[number] = row
    return values[:, 0] if column.form == "one" else values


def _parse_spec(column: Column) -> Any:
    dtype = tf.string if column.dtype == "bytes" else tf.dtypes.as_dtype(column.dtype)
    if column.form == "many":
        return tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int32)
    shape = [column.length] if column.form == "fixed" else []
    default = np.full(shape, _absent(column), column.numpy_dtype)
    return tf.io.FixedLenFeature(shape, dtype, default_value=tf.constant(default))


def _absent(column: Column) -> Any:
    """The value as which an absent feature is read."""
    return ABSENT if column.dtype == "float32" and column.pad is None else column.missing


def _dense(column: Column, parsed: Any) -> tf.Tensor:
    if column.form != "many":
        return parsed
    return padded_last(parsed.values, parsed.row_splits, length=column.length, missing=column.missing)
