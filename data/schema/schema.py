"""The schema: what the records of a data set hold, and the statistics from when they were written.

`schema.json` is next to the shards, and in every run and every exported model. It is checked completely when it is
read: an unknown key, a name used twice or a sequence that shares an undeclared table is an error that names the file.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from fullrank.data.content.sign_bits import LONGEST_CODE
from fullrank.data.files.printable import printable
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import (
    BehaviourColumn,
    Bits,
    Feature,
    Key,
    Label,
    Sequence,
    Sparse,
    TableOwner,
    Vector,
)
from fullrank.data.schema.reading import Reading


class SchemaError(ValueError):
    """A schema contradicts itself, or does not belong to the data or model that it is used with.

    Its message is one line: a name that holds line breaks or other control characters is shown with them escaped.
    """

    def __init__(self, message: str) -> None:
        """Keeps the message as one line."""
        super().__init__(printable(message))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of a split.

    Attributes:
      file: Path relative to the schema.
      examples: Examples in it.
      size: Size in bytes, with which a truncated or replaced file is detected before the first step; `None` skips that
        check.
    """

    file: str
    examples: int
    size: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """The shards of one split.

    Attributes:
      name: Name of the split, such as `train`.
      shards: Its files.
    """

    name: str
    shards: tuple[Shard, ...]

    @property
    def examples(self) -> int:
        """Examples in all shards."""
        return sum(shard.examples for shard in self.shards)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """Everything that readers, models and servers need to know about a data set.

    Attributes:
      name: Name of the data set.
      features: Model inputs, in the order of their fields.
      labels: Labels that can be predicted; the first is the main task.
      weight: Column of float sample weights, or `None`.
      keys: Grouping columns; the first is the one GAUC uses by default.
      segments: Columns over which metrics are also reported.
      time: Column of the int64 event time, or `None`.
      time_unit: Unit of every time column: `s` or `ms`.
      extras: Further float columns, one number per example, NaN if missing, that training may use, such as exposure
        counts or the prediction of a teacher. They are in every batch of records; no model reads them as an input, and
        no served model asks for them.
      reading: How the cells of tables become columns; `None` for the default rules.
      layout: `block` (columnar, fast) or `example` (one `tf.train.Example` per row).
      compression: `""` or `"GZIP"`.
      splits: Filled in when records are written.
      directory: Directory of its file; shards and vocabularies are below it. Not part of the schema's value.
      left_out: Columns that the records have but this schema no longer names; a record with no others still belongs to
        the data set, with all values missing. Not part of the schema's value.
    """

    name: str
    features: tuple[Feature, ...]
    labels: tuple[Label, ...]
    weight: str | None = None
    keys: tuple[Key, ...] = ()
    segments: tuple[Key, ...] = ()
    time: str | None = None
    time_unit: Literal["s", "ms"] = "s"
    extras: tuple[str, ...] = ()
    reading: Reading | None = None
    layout: Literal["block", "example"] = "block"
    compression: Literal["", "GZIP"] = ""
    splits: tuple[Split, ...] = ()
    directory: Path | None = dataclasses.field(default=None, compare=False)
    left_out: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Checks that names are unique and that every reference is to a declared name."""
        if not self.features or not self.labels:
            raise SchemaError(f"Schema {self.name!r} needs at least one feature and one label.")
        own = [owner.name for owner in self.tables if isinstance(owner, BehaviourColumn)]
        names = [feature.name for feature in self.features] + [label.name for label in self.labels] + own
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SchemaError(f"Schema {self.name!r} declares {', '.join(twice)} more than once.")
        for feature in self.features:
            if isinstance(feature, Sequence):
                for column in feature.behaviour:
                    self._check_behaviour(feature, column)
            elif isinstance(feature, Vector) and feature.pair is not None:
                self._check_pair(feature)
            elif isinstance(feature, Sparse) and feature.table is not None:
                self._check_shares(feature.name, feature.name, feature.table)
                if self.sparse(feature.table).dtype != feature.dtype:
                    raise SchemaError(
                        f"Feature {feature.name!r} shares the table of {feature.table!r}, which has another dtype."
                    )
        self._check_extras()
        _ = self.columns

    def _check_extras(self) -> None:
        own = [column.name for column in self._known_columns]
        for name in self.extras:
            if not name or name in own or self.extras.count(name) > 1:
                problem = (
                    "has no name" if not name else "is another column already" if name in own else "is given twice"
                )
                raise SchemaError(
                    f"Schema {self.name!r}: extra {name!r} {problem}. Extras are separate float columns: not an "
                    "input, label, weight, key, segment or time."
                )

    def _check_shares(self, name: str, column: str, shared: str) -> None:
        target = next((f for f in self.features if isinstance(f, Sparse) and f.name == shared), None)
        if target is None or target.table is not None:
            known = ", ".join(f.name for f in self.features if isinstance(f, Sparse) and f.table is None)
            raise SchemaError(
                f"Feature {name!r}: column {column!r} shares the table of {shared!r}, which is not a sparse feature "
                f"with a table of its own. Known: {known or 'none'}."
            )

    def _check_behaviour(self, sequence: Sequence, column: BehaviourColumn) -> None:
        if column.table is None:
            return
        said = f"Sequence {sequence.name!r}: column {column.name!r}"
        codes = {f.name: f for f in self.features if isinstance(f, Bits)}
        known = [*(owner.name for owner in self.tables), *codes]
        if column.table not in known:
            raise SchemaError(
                f"{said} shares the table of {column.table!r}, which is not a feature with a table of its own. "
                f"Known: {', '.join(known)}."
            )
        if column.table in codes and codes[column.table].length > LONGEST_CODE:
            raise SchemaError(
                f"{said} holds HashIDs of {codes[column.table].length} bits, as {column.table!r} has them: a behaviour "
                f"takes at most {LONGEST_CODE}, so use fewer bits."
            )
        fields = [f.name for f in self.features if isinstance(f, Sparse) and column.table in (f.name, f.table)]
        fields += [column.table] if column.table in codes else []
        if column.target is not None and column.target not in fields:
            raise SchemaError(
                f"{said} is compared with {column.target!r}, which is not a feature of its table {column.table!r}. "
                f"Features of that table: {', '.join(fields) or 'none'}."
            )

    def _check_pair(self, vector: Vector) -> None:
        others = {f.name: f for f in self.features if isinstance(f, Vector) and f.name != vector.name}
        other = others.get(vector.pair or "")
        if other is None:
            raise SchemaError(
                f"Vector {vector.name!r} is paired with {vector.pair!r}, which is not another vector. "
                f"Known: {', '.join(others) or 'none'}."
            )
        if other.length != vector.length:
            raise SchemaError(
                f"Vector {vector.name!r} has length {vector.length}, but its pair {other.name!r} has {other.length}: "
                "only vectors of one model can be compared."
            )
        if other.pair == vector.name:
            pair = f"{vector.name!r} and {other.name!r}"
            raise SchemaError(f"Vectors {pair} name each other: declare the pair at only one of them.")

    def feature_columns(self, feature: Feature) -> tuple[Column, ...]:
        """The columns of one feature."""
        if isinstance(feature, Sequence):
            return feature.columns(dtypes=self._dtypes)
        return feature.columns()

    @functools.cached_property
    def input_columns(self) -> tuple[Column, ...]:
        """Columns the model reads, without repetition: the named inputs of a served model.

        The event time is among them if a sequence has times, because intervals are measured to the target's time.
        """
        columns = [column for feature in self.features for column in self.feature_columns(feature)]
        if self.time is not None and any(isinstance(f, Sequence) and f.times for f in self.features):
            columns.append(Column(name=self.time, dtype="int64"))
        return _merged(columns, self.name)

    @functools.cached_property
    def columns(self) -> tuple[Column, ...]:
        """Every column of a record, without repetition: inputs, labels, weight, keys, segments, time, extras."""
        extras = (Column(name=name, dtype="float32") for name in self.extras)
        return _merged([*self._known_columns, *extras], self.name)

    @functools.cached_property
    def _known_columns(self) -> tuple[Column, ...]:
        columns: list[Column] = list(self.input_columns)
        for label in self.labels:
            columns.extend(label.columns())
        for key in (*self.keys, *self.segments):
            columns.extend(key.columns())
        if self.weight is not None:
            columns.append(Column(name=self.weight, dtype="float32"))
        if self.time is not None:
            columns.append(Column(name=self.time, dtype="int64"))
        return _merged(columns, self.name)

    @property
    def filled(self) -> tuple[str, ...]:
        """The columns that are taken from earlier rows, which tables need not have."""
        return self.reading.filled if self.reading is not None else ()

    def sparse(self, name: str) -> Sparse:
        """The sparse feature of that name."""
        for feature in self.features:
            if isinstance(feature, Sparse) and feature.name == name:
                return feature
        raise SchemaError(f"Schema {self.name!r} has no sparse feature {name!r}.")

    def label(self, name: str) -> Label:
        """The label of that name."""
        for label in self.labels:
            if label.name == name:
                return label
        known = ", ".join(label.name for label in self.labels)
        raise SchemaError(f"Schema {self.name!r} has no label {name!r}. Known: {known}.")

    def split(self, name: str) -> Split:
        """The split of that name."""
        for split in self.splits:
            if split.name == name:
                return split
        known = ", ".join(split.name for split in self.splits) or "none; were the records written?"
        raise SchemaError(f"Schema {self.name!r} has no split {name!r}. Known: {known}.")

    def table(self, name: str) -> TableOwner:
        """The owner of the table that a sparse feature or a column of behaviours looks its ids up in."""
        owners = {owner.name: owner for owner in self.tables}
        shared = next((f.table for f in self.features if isinstance(f, Sparse) and f.name == name), None)
        if (shared or name) not in owners:
            raise SchemaError(f"Schema {self.name!r} has no sparse feature {name!r}.")
        return owners[shared or name]

    @functools.cached_property
    def tables(self) -> tuple[TableOwner, ...]:
        """The owners of tables of ids: sparse features, then columns of behaviours with a table of their own."""
        owners: list[TableOwner] = [f for f in self.features if isinstance(f, Sparse) and f.table is None]
        for feature in self.features:
            if isinstance(feature, Sequence):
                owners += [column for column in feature.behaviour if column.table is None]
        return tuple(owners)

    @functools.cached_property
    def _dtypes(self) -> dict[str, Literal["int64", "bytes"]]:
        """Table -> the dtype of the ids that are looked up in it; HashIDs of behaviours are whole numbers."""
        codes: dict[str, Literal["int64", "bytes"]] = {f.name: "int64" for f in self.features if isinstance(f, Bits)}
        return {**codes, **{owner.name: owner.dtype for owner in self.tables}}


def _merged(columns: Iterable[Column], schema_name: str) -> tuple[Column, ...]:
    merged: dict[str, Column] = {}
    for column in columns:
        known = merged.setdefault(column.name, column)
        if known != column:
            raise SchemaError(
                f"Schema {schema_name!r} declares column {column.name!r} in two ways: {known} and {column}."
            )
    return tuple(merged.values())
