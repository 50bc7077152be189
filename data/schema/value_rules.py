"""The values that a column may hold; the writer, the input pipeline and the search for errors apply the same rules.

* A number (numeric feature, value label, sample weight, extra) is finite or missing.
* All numbers of a vector are finite, or all are missing; the weights of ids are finite.
* A binary label is 0, 1 or not observed. All HashID bits are 0 or 1, or all are missing.
* Columns that belong together (ids and their weights, ids and times of a sequence) have equally many values in a row.

The block layout stores a missing number as NaN. In the example layout missing values are absent, so an explicit NaN is
an error; only a label may use it for "not observed".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.data.files.printable import closest
from fullrank.data.schema.features import Bits, Feature, Numeric, Sequence, Sparse, Vector
from fullrank.data.schema.ragged import Columns, Ragged
from fullrank.data.schema.schema import Schema, SchemaError

Rule = Literal["number", "value", "binary", "vector", "weights", "bits"]

ABSENT_BITS: Final = 0x7FC0F011
"""The NaN that marks an absent float in a parsed example; no writer stores this one."""
ABSENT: Final = np.array([ABSENT_BITS], np.uint32).view(np.float32)[0]

_ONE: Final = 0x3F800000
_NEGATIVE_ZERO: Final = -(2**31)
_REASONS: Final[dict[Rule, str]] = {
    "number": "a number must be finite",
    "value": "the value of a label must be finite",
    "binary": "a binary label must be 0 or 1",
    "vector": "a vector must be finite, or missing as a whole",
    "weights": "the weight of an id must be finite",
    "bits": "bits must be 0 or 1, or missing as a whole",
}


_UNEQUAL: Final = "columns that belong together must have equally many values"


class Violation(NamedTuple):
    """A value that its rule forbids."""

    row: int
    column: str
    reason: str
    received: str


def value_rules(schema: Schema) -> dict[str, Rule]:
    """The rule of every column that has one."""
    rules: dict[str, Rule] = {label.name: "binary" if label.type == "binary" else "value" for label in schema.labels}
    for feature in schema.features:
        if isinstance(feature, Numeric):
            rules.setdefault(feature.name, "number")
        elif isinstance(feature, Vector):
            rules.setdefault(feature.name, "vector")
        elif isinstance(feature, Bits):
            rules.setdefault(feature.name, "bits")
        elif isinstance(feature, Sparse) and feature.weights is not None:
            rules.setdefault(feature.weights, "weights")
    if schema.weight is not None:
        rules.setdefault(schema.weight, "number")
    rules.update(dict.fromkeys(schema.extras, "number"))
    return rules


def aligned_columns(schema: Schema) -> tuple[tuple[str, ...], ...]:
    """Groups of `many` columns that belong together, value by value."""
    groups = []
    for feature in schema.features:
        if isinstance(feature, Sequence) or (isinstance(feature, Sparse) and feature.max_values > 1):
            names = tuple(column.name for column in schema.feature_columns(feature))
            groups.extend([names] if len(names) > 1 else [])
    return tuple(groups)


def violations(
    columns: Columns,
    rules: Mapping[str, Rule],
    *,
    aligned: Iterable[tuple[str, ...]] = (),
    explicit_nan: bool = False,
) -> Iterator[Violation]:
    """Yields the violations in a column batch, column by column.

    Args:
      columns: A column batch.
      rules: The result of `value_rules`; columns that are absent are left out.
      aligned: The result of `aligned_columns`.
      explicit_nan: Whether a NaN other than `ABSENT` was written by somebody, as in the example layout.
    """
    for first, *others in aligned:
        for other in others:
            one, two = _lengths(columns, first), _lengths(columns, other)
            for row in np.flatnonzero(one != two).tolist():
                yield Violation(row, other, _UNEQUAL, f"{two[row]}, but {one[row]} of {first!r}")
    for name, rule in rules.items():
        data = columns.get(name)
        if data is None:
            continue
        values = data.values if isinstance(data, Ragged) else np.asarray(data)
        if isinstance(data, Ragged):
            rows = np.unique(np.repeat(np.arange(data.rows), data.lengths)[~np.isfinite(values)])
        else:
            rows = np.flatnonzero(_forbidden(values, rule, explicit_nan=explicit_nan))
        for row in rows.tolist():
            shown = data.take(np.array([row])).values if isinstance(data, Ragged) else values[row]
            yield Violation(row, name, _REASONS[rule], _text(shown))


def _text(values: Any) -> str:
    """A value, or the beginning of several."""
    if np.ndim(values) == 0:
        return str(values)
    return "[" + ", ".join(str(value) for value in values[:8]) + (", ...]" if len(values) > 8 else "]")


def _lengths(columns: Columns, name: str) -> npt.NDArray[np.int32]:
    column = columns[name]
    assert isinstance(column, Ragged)  # noqa: S101
    return column.lengths


def _forbidden(values: npt.NDArray[Any], rule: Rule, *, explicit_nan: bool) -> npt.NDArray[np.bool_]:
    """Rows whose value the rule forbids: `[n]`."""
    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    legal = (rows == 0) | (rows == 1) if rule in ("binary", "bits") else np.isfinite(rows)
    if rule == "bits":
        missing = rows == -1
    elif explicit_nan and rule in ("number", "vector"):
        missing = rows.view(np.int32) == ABSENT_BITS
    else:
        missing = np.isnan(rows) & (rule != "weights")
    bad: npt.NDArray[np.bool_] = ~legal.all(axis=1) & ~missing.all(axis=1)
    return bad


def batch_check(rules: Mapping[str, Rule], *, explicit_nan: bool) -> Callable[[Mapping[str, tf.Tensor]], None]:
    """Returns a function that stops the pipeline at a batch with a forbidden value.

    It reduces all columns of a rule together, which costs a few operations per batch whatever the number of columns.

    Args:
      rules: The result of `value_rules`.
      explicit_nan: Whether a NaN other than `ABSENT` was written by somebody, as in the example layout.

    Returns:
      A function of a batch, for use in a graph.
    """
    by_rule: dict[Rule, list[str]] = {}
    for name, rule in rules.items():
        by_rule.setdefault(rule, []).append(name)

    def check(batch: Mapping[str, tf.Tensor]) -> None:
        bad = []
        for rule, names in by_rule.items():
            if rule in ("number", "value", "binary"):
                bad.append(_bad_in_graph(tf.stack([batch[name] for name in names]), rule, explicit_nan))
            else:
                bad.extend(_bad_in_graph(batch[name], rule, explicit_nan) for name in names)
        if bad:
            good = tf.logical_not(tf.reduce_any(tf.stack(bad)))
            tf.debugging.Assert(good, ["fullrank: a value that its column must not hold"])

    return check


def _bad_in_graph(values: tf.Tensor, rule: Rule, explicit_nan: bool) -> tf.Tensor:
    if rule == "binary":
        # Compared by their bits: as numbers, TensorFlow treats the smallest ones, which are denormal, as 0.
        bits = tf.bitcast(values, tf.int32)
        legal = (bits == 0) | (bits == _NEGATIVE_ZERO) | (bits == _ONE) | tf.math.is_nan(values)
        return tf.logical_not(tf.reduce_all(legal))
    if rule == "value":
        return tf.reduce_any(tf.math.is_inf(values))
    if rule == "bits":
        legal = tf.reduce_all((values == 0) | (values == 1), axis=1)
        return tf.logical_not(tf.reduce_all(legal | tf.reduce_all(values == -1, axis=1)))
    infinite = tf.logical_not(tf.math.is_finite(values))
    if rule == "weights":
        return tf.reduce_any(infinite)
    if explicit_nan:
        return tf.reduce_any(infinite & (tf.bitcast(values, tf.int32) != ABSENT_BITS))
    if rule == "vector":
        missing = tf.math.is_nan(values)
        some = tf.reduce_any(missing, axis=1) & tf.logical_not(tf.reduce_all(missing, axis=1))
        return tf.reduce_any(tf.math.is_inf(values)) | tf.reduce_any(some)
    return tf.reduce_any(tf.math.is_inf(values))


def without_features(schema: Schema, names: Collection[str]) -> Schema:
    """Leaves features out; keys, segments, labels and the records stay as they are.

    A sequence loses the columns that share the table of such a feature, and columns that are compared with one lose
    their target; a sequence without a target is also left out. A vector loses its pair.

    Raises:
      SchemaError: If there is no such feature, a remaining feature shares its table, or none remains.
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
        kept = [column for column in feature.behaviour if column.table not in names]
        columns = [c if c.target not in names else dataclasses.replace(c, target=None) for c in kept]
        compared = any(column.target is not None for column in columns)
        return dataclasses.replace(feature, behaviour=tuple(columns)) if compared else None
    if isinstance(feature, Vector) and feature.pair in names:
        return dataclasses.replace(feature, pair=None, statistics=None)
    if isinstance(feature, Sparse) and feature.table in names:
        raise SchemaError(f"Feature {feature.table!r} cannot be left out: {feature.name!r} shares its table.")
    return feature
