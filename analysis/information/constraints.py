"""Constraints on an example, such as `category=3` or `history_category[1]=3`: con_b and con_t of the paper."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fullrank.data.files.printable import closest
from fullrank.data.schema.columns import MISSING_BYTES, MISSING_INT, Column
from fullrank.data.schema.features import Sequence
from fullrank.data.schema.schema import Schema, SchemaError

Arrays = Mapping[str, npt.NDArray[Any]]
Mask = npt.NDArray[np.bool_]
ANY: Final = "any"
_CONDITION: Final = re.compile(
    r"\s*(?P<column>[^\[\]=!<>]+?)\s*(\[(?P<position>\d+|any)\])?\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*"
)
_SIGNS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition on one column.

    Attributes:
      column: The column.
      position: Position of a behaviour, from 1, the most recent one; `any` if one of the values suffices; `None` for a
        column of one value.
      sign: One of `= != < <= > >=`.
      value: The value that it is compared with, in the form of the column.
      text: The condition as it was written.
    """

    column: Column
    position: int | Literal["any"] | None
    sign: str
    value: int | float | bytes
    text: str

    def holds(self, batch: Arrays) -> Mask:
        """Whether each example satisfies it, `[B]`; one without a value does not, unless `value` means missing.

        Args:
          batch: Column -> values, as records give them.
        """
        values = batch[self.column.name]
        if self.position is None:
            return self._compared(values)
        if self.position == ANY:
            return np.asarray(self._compared(values).any(axis=1), np.bool_)
        place = lengths(values) - self.position
        picked = values[np.arange(len(values)), np.maximum(place, 0)]
        return np.asarray((place >= 0) & self._compared(picked), np.bool_)

    def each(self, batch: Arrays) -> Mask:
        """Whether each value of a column of several satisfies it, `[B, L]`."""
        return self._compared(batch[self.column.name])

    def _compared(self, values: npt.NDArray[Any]) -> Mask:
        found = np.asarray(_SIGNS[self.sign](values, self.value), np.bool_)
        if self.value != self.column.missing and self.column.dtype != "float32":
            found &= np.asarray(values != self.column.missing, np.bool_)
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constraint:
    """Conditions that all hold.

    Attributes:
      conditions: The conditions; without any, every example satisfies the constraint.
      text: The constraint as it was written.
    """

    conditions: tuple[Condition, ...]
    text: str

    def holds(self, batch: Arrays) -> Mask:
        """Whether each example satisfies it, `[B]`."""
        found = np.ones(len(next(iter(batch.values()))), np.bool_)
        for condition in self.conditions:
            found &= condition.holds(batch)
        return found

    def each(self, batch: Arrays) -> Mask:
        """Whether each behaviour satisfies it, `[B, L]`; needs a condition, and only conditions on aligned columns."""
        found = [condition.each(batch) for condition in self.conditions]
        return np.asarray(np.logical_and.reduce(found), np.bool_)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return tuple(dict.fromkeys(condition.column.name for condition in self.conditions))


def parse_constraint(text: str, *, schema: Schema, flag: str) -> Constraint:
    """Reads conditions that are joined by `&`, such as `category=3 & history_category[1]=3`.

    Args:
      text: The conditions; empty for none.
      schema: Schema that declares the columns.
      flag: Name of the flag, for messages.

    Raises:
      ValueError: If it cannot be read, or compares what cannot be compared.
      SchemaError: If there is no such column.
    """
    parts = [part for part in text.split("&") if part.strip()]
    return Constraint(conditions=tuple(_condition(part, schema=schema, flag=flag) for part in parts), text=text.strip())


def _condition(text: str, *, schema: Schema, flag: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"--{flag}: {text.strip()!r} is not a condition. Write column=value, with = != < <= > or >=, such as "
            "category=3 or history_category[1]=3 (the most recent behaviour)."
        )
    columns = {column.name: column for column in schema.columns}
    name, sign = match["column"], match["sign"]
    column = columns.get(name)
    if column is None:
        meant = closest(name, list(columns))
        hint = f"Did you mean {meant}?" if meant else f"Columns: {', '.join(columns)}."
        raise SchemaError(f"--{flag}: the data has no column {name!r}. {hint}")
    position = _position(match["position"], column, schema=schema, flag=flag)
    if column.dtype == "bytes" and sign not in ("=", "!="):
        raise ValueError(
            f"--{flag}: {name} holds texts, which are compared with = or != only. Received: {text.strip()}."
        )
    return Condition(
        column=column, position=position, sign=sign, value=_value(match["value"], column, flag=flag), text=text.strip()
    )


def _position(given: str | None, column: Column, *, schema: Schema, flag: str) -> int | Literal["any"] | None:
    if column.form == "fixed":
        raise ValueError(f"--{flag}: {column.name} is a vector or a code, which cannot be compared with a value.")
    if column.form == "one":
        if given is not None:
            raise ValueError(f"--{flag}: {column.name} has one value, so it takes no position. Received: [{given}].")
        return None
    if given is None or given == ANY:
        return ANY
    sequences = [f for f in schema.features if isinstance(f, Sequence)]
    behaviours = {c.name for f in sequences for c in schema.feature_columns(f)}
    if column.name not in behaviours:
        raise ValueError(
            f"--{flag}: the values of {column.name} have no order; write {column.name}=value for any of them."
        )
    if not 1 <= int(given) <= column.length:
        raise ValueError(
            f"--{flag}: positions of {column.name} are 1 (the most recent) to {column.length}. Received: {given}."
        )
    return int(given)


def _value(text: str, column: Column, *, flag: str) -> int | float | bytes:
    if column.dtype == "bytes":
        return text.encode()
    try:
        return int(text) if column.dtype == "int64" else float(text)
    except ValueError:
        kind = "whole numbers" if column.dtype == "int64" else "numbers"
        raise ValueError(f"--{flag}: {column.name} holds {kind}. Received: {text!r}.") from None


def lengths(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Number of values in each row of a padded column, `[B, L]` -> `[B]`; they are left-aligned."""
    missing: Any = MISSING_BYTES if values.dtype.kind in "OS" else MISSING_INT
    there = np.asarray(values != missing, np.bool_)
    last = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
    found: npt.NDArray[np.int64] = np.where(there.any(axis=1), last, 0).astype(np.int64)
    return found
