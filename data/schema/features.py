"""The kinds of feature and label a record can hold, as plain frozen data.

Each kind says what its values mean to a model and which physical columns carry them. Statistics are filled in when the
records are written; a hand-written schema leaves them out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from fullrank.data.schema.columns import Column

Side = Literal["user", "ad", "context"]
Pooling = Literal["mean", "sum", "sqrtn"]
NumberMap = Literal["quantile", "log", "linear"]
MOST_HASHES: Final = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class IdMap:
    """How raw ids become table rows; the map itself runs inside the model graph.

    A table has `size + 2` rows: row 0 for a missing id, row 1 for an id outside the map, then the `size` known ones.

    Attributes:
      kind: `identity` (ids are 0..size-1 already), `vocabulary` (the k-th line of the vocabulary file is row k + 2) or
        `hash` (any id, into `size` buckets).
      size: Number of known ids, or of buckets. For a vocabulary it is filled in when the vocabulary is built.
      min_count: Training examples that an id needs to be in the vocabulary. If no example has it, histories count.
      max_size: Maximum number of ids of a vocabulary, the most frequent ones; `None` for all.
      hashes: Number of hash functions of `hash`, 1 to 8. With k of them an id reads k rows, and its vector is their
        sum: two ids have the same vector only if they meet in all k buckets, so that fewer buckets do.
    """

    kind: Literal["identity", "vocabulary", "hash"] = "vocabulary"
    size: int = 0
    min_count: int = 1
    max_size: int | None = None
    hashes: int = 1

    def __post_init__(self) -> None:
        """Rejects a map without rows, and hash functions that nothing would call."""
        if self.kind != "vocabulary" and self.size < 1:
            raise ValueError(f"An id map of kind {self.kind!r} needs size >= 1. Received: {self.size}.")
        most = MOST_HASHES if self.kind == "hash" else 1
        if not 1 <= self.hashes <= most:
            raise ValueError(f"An id map has 1 to {most} hashes. Received: {self.hashes} of kind {self.kind!r}.")

    @property
    def rows(self) -> int:
        """Rows of the embedding table, with the missing and the out-of-vocabulary row."""
        return self.size + 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparseStatistics:
    """Statistics of a sparse feature in the training split.

    Attributes:
      distinct: Different ids.
      missing: Share of examples without an id.
      mean_length: Mean number of ids of an example.
    """

    distinct: int
    missing: float
    mean_length: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumericStatistics:
    """Statistics of a numeric feature in the training split.

    Attributes:
      mean: Mean of the numbers that are not missing.
      std: Their standard deviation.
      minimum: Smallest of them.
      maximum: Largest of them.
      missing: Share of examples without a number.
      quantiles: Their quantiles, equally spaced from 0 to 1.
      values: The smallest value of each of up to 256 bins of equal weight, except for bins of a single frequent value.
      shares: The share of the numbers in each of these bins.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    missing: float
    quantiles: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sparse:
    """One id, or many, each looked up in an embedding table.

    Attributes:
      name: Column of the ids.
      dtype: `int64` or `bytes`.
      ids: Map from raw id to row.
      max_values: 1 for a single id; more for a multi-valued feature (tags, genres).
      weights: Column of one float weight per id, or `None`.
      pooling: How the rows of a multi-valued feature become one vector.
      table: Name of the sparse feature whose id map and table this one shares; `None` for its own.
      side: Whether it describes the user, the ad (item) or the context.
      group: Field group within the side ([Tencent] §4.3); `None` for the side's own group.
      statistics: Filled in when records are written.
    """

    kind: ClassVar[str] = "sparse"
    name: str
    dtype: Literal["int64", "bytes"] = "int64"
    ids: IdMap = IdMap()
    max_values: int = 1
    weights: str | None = None
    pooling: Pooling = "mean"
    table: str | None = None
    side: Side = "context"
    group: str | None = None
    statistics: SparseStatistics | None = None

    def columns(self) -> tuple[Column, ...]:
        """The id column, and the weight column if there is one."""
        many = self.max_values > 1
        form, length = ("many", self.max_values) if many else ("one", 1)
        ids = Column(name=self.name, dtype=self.dtype, form=form, length=length)  # type: ignore[arg-type]
        if self.weights is None:
            return (ids,)
        return (ids, Column(name=self.weights, dtype="float32", form=form, length=length, pad=0.0))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numeric:
    """One real number; NaN means missing.

    Attributes:
      name: Its column.
      side: As in `Sparse`.
      group: As in `Sparse`.
      map: How it becomes an integer for its digits in several numeral systems ([Tencent] §3.2), piecewise linear
        between knots: `quantile` (equally many training examples per integer), `linear` (equal steps from minimum to
        maximum) or `log` (equal steps of `sign(x) log(1 + |x|)`). Values outside the range of the training data are
        clipped.
      bases: Numeral systems of this number; empty for the model's own.
      bits: Its integers are below 2 to the power of this; `None` for the model's own.
      statistics: As in `Sparse`.
    """

    kind: ClassVar[str] = "numeric"
    name: str
    side: Side = "context"
    group: str | None = None
    map: NumberMap = "quantile"
    bases: tuple[int, ...] = ()
    bits: int | None = None
    statistics: NumericStatistics | None = None

    def __post_init__(self) -> None:
        """Rejects invalid numeral systems."""
        if any(base < 2 for base in self.bases) or len(set(self.bases)) != len(self.bases):
            raise ValueError(f"bases must be different whole numbers of at least 2. Received: {list(self.bases)}.")
        if self.bits is not None and not 1 <= self.bits <= 31:
            raise ValueError(f"A number has 1 to 31 bits. Received: {self.bits}.")

    def columns(self) -> tuple[Column, ...]:
        """One float column."""
        return (Column(name=self.name, dtype="float32"),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BehaviourColumn:
    """One of the aligned columns of a sequence: an id of each behaviour, or its HashID.

    Attributes:
      name: Its column.
      table: The feature whose table it shares: a sparse one, which also gives id map and dtype, or a `bits` one of at
        most 62 bits. The column then holds one int64 per behaviour, whose bit k is bit k of the HashID; -1 means
        missing. It may also name another behaviour column that has its own table. `None` for a table of its own.
      target: The feature of the example that it is compared with, of the same table. `None` for a column that describes
        only the behaviour and has no counterpart in the target, such as the rating that was given.
      dtype: `int64` or `bytes`, if it has a table of its own.
      ids: Map from raw id to row, if it has a table of its own.
    """

    name: str
    table: str | None = None
    target: str | None = None
    dtype: Literal["int64", "bytes"] = "int64"
    ids: IdMap = IdMap()

    def __post_init__(self) -> None:
        """Rejects a target without a shared table, and an id map in addition to a shared table."""
        if self.table is None and self.target is not None:
            raise ValueError(
                f"behaviour column {self.name!r} is compared with {self.target!r}: name the table that they share."
            )
        if self.table is not None and (self.dtype, self.ids) != ("int64", IdMap()):
            raise ValueError(
                f"behaviour column {self.name!r} shares the table of {self.table!r}, which gives dtype and id map: "
                "leave out dtype and ids."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sequence:
    """Past behaviours, oldest first, each of one or several aligned columns and a time.

    Attributes:
      name: Name of the feature (not a column).
      behaviour: Columns that describe each behaviour; at least one of them is compared with the target.
      times: Column of int64 event times aligned with the others, in the schema's `time_unit`; `None` if unknown.
      max_length: Number of most recent behaviours that are kept.
      side: As in `Sparse`.
      group: As in `Sparse`.
    """

    kind: ClassVar[str] = "sequence"
    name: str
    behaviour: tuple[BehaviourColumn, ...]
    times: str | None = None
    max_length: int = 50
    side: Side = "user"
    group: str | None = None

    def __post_init__(self) -> None:
        """Rejects a repeated column, and behaviours without a column that has a target."""
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"sequence {self.name!r} names a column twice. Received: {', '.join(names)}.")
        if not any(column.target is not None for column in self.behaviour):
            raise ValueError(
                f"sequence {self.name!r} compares nothing with the target: give one of its columns a target, the "
                "feature of the same table that describes the example itself."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns, except the times."""
        return tuple(column.name for column in self.behaviour)

    def columns(self, *, dtypes: Mapping[str, Literal["int64", "bytes"]]) -> tuple[Column, ...]:
        """The columns of its behaviours, then its times; `dtypes` is the dtype of each table."""
        columns = [
            Column(name=each.name, dtype=dtypes[each.table or each.name], form="many", length=self.max_length)
            for each in self.behaviour
        ]
        if self.times is not None:
            columns.append(Column(name=self.times, dtype="int64", form="many", length=self.max_length))
        return tuple(columns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vector:
    """A vector from another model; all NaN if missing.

    Attributes:
      name: Its column.
      length: Its dimension.
      pair: The vector of the other side, of the same model and length, that it is compared with ([Tencent] §3.3).
        Declare a pair at only one of the two.
      side: As in `Sparse`.
      group: As in `Sparse`.
      statistics: Statistics of the dot product with `pair`, over the examples that have both. Filled in when records
        are written.
    """

    kind: ClassVar[str] = "vector"
    name: str
    length: int
    pair: str | None = None
    side: Side = "context"
    group: str | None = None
    statistics: NumericStatistics | None = None

    def columns(self) -> tuple[Column, ...]:
        """One float column of fixed length."""
        return (Column(name=self.name, dtype="float32", form="fixed", length=self.length),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bits:
    """HashID bits of a content vector, each 0 or 1; all -1 if missing.

    Attributes:
      name: Its column.
      length: Number of bits.
      side: As in `Sparse`.
      group: As in `Sparse`.
    """

    kind: ClassVar[str] = "bits"
    name: str
    length: int
    side: Side = "ad"
    group: str | None = None

    def columns(self) -> tuple[Column, ...]:
        """One int64 column of fixed length."""
        return (Column(name=self.name, dtype="int64", form="fixed", length=self.length),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Label:
    """A value that a task predicts; NaN if it was not observed, which masks the example for that task.

    Attributes:
      name: Column and task name.
      type: `binary` (0 or 1, anything else is an error) or `value` (any finite number).
      mean: Mean over the observed training examples: the base rate of a binary label.
      positive: Share of the observed training examples whose value was above 0.
      minimum: Smallest value of the training split.
      observed: Share of training examples on which it was observed.
    """

    name: str
    type: Literal["binary", "value"] = "binary"
    mean: float | None = None
    positive: float | None = None
    minimum: float | None = None
    observed: float | None = None

    def columns(self) -> tuple[Column, ...]:
        """One float column."""
        return (Column(name=self.name, dtype="float32"),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """A column that groups or slices examples (user, request, region); it may also be a feature's own column.

    Attributes:
      name: Its column.
      dtype: `int64` or `bytes`.
    """

    name: str
    dtype: Literal["int64", "bytes"] = "int64"

    def columns(self) -> tuple[Column, ...]:
        """One id column."""
        return (Column(name=self.name, dtype=self.dtype),)


Feature = Sparse | Numeric | Sequence | Vector | Bits
TableOwner = Sparse | BehaviourColumn
"""A feature or column with its own id map and table."""
