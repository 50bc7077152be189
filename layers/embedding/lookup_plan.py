"""The static plan of a model's embedding lookups, and the tensors that fill it ([Tencent] §4.2).

For every kind of feature, encoding ends in the same form: field f is a (weighted) sum of rows of one table,

    e_f = sum_k w_k E_t(f)[row_k].

A single id is one row; a multi-valued feature several rows with weights that do its pooling; a scaled number one row
weighted by its value; a number in several numeral systems one row per digit. So ids are mapped to rows once, regardless
of the number of embedding sets, and a set is just its tables.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, NamedTuple


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that belong together: the vocabulary of one feature, or the digits of one number.

    Attributes:
      name: Its name.
      rows: Their number.
      width: Width of a row where it is less than that of the embedding set; `None` for rows as wide as the set.
    """

    name: str
    rows: int
    width: int | None = None

    def width_in(self, width: int) -> int:
        """The width of its rows in an embedding set of a width."""
        return width if self.width is None else min(self.width, width)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """One field of an embedding set: `lookups` rows of `table`, summed, with weights if `weighted`."""

    name: str
    table: str
    lookups: int = 1
    weighted: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class BehaviourPart:
    """One part of each behaviour of a sequence: a row of a table or the sum of several, or the rows of a HashID's bits.

    Attributes:
      table: The table that holds its rows.
      target: The field that it is compared with; `None` for a part that describes the behaviour alone.
      bits: 0 for rows; K for the sum of the rows of a HashID's K bits, in a table of `bit_table_rows(K)` rows.
      lookups: Number of rows that are summed, each a column of the lookups; 1 for a HashID.
    """

    table: str
    target: str | None = None
    bits: int = 0
    lookups: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class BehaviourSequence:
    """A sequence of behaviours, each made of several aligned parts, of which at least one is compared with a field."""

    name: str
    parts: tuple[BehaviourPart, ...]
    length: int

    def __post_init__(self) -> None:
        """Rejects behaviours without a part that has a counterpart in the target."""
        if not self.targets:
            raise ValueError(f"Sequence {self.name!r} has no part that is compared with a field.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The fields that accompany the compared parts, in their order."""
        return tuple(part.target for part in self.parts if part.target is not None)


class Lookups(NamedTuple):
    """The tensors that fill a plan for one batch.

    Attributes:
      rows: `[B, W]`, the row of every lookup within its own table, in the order of `LookupPlan.fields`.
      weights: `[B, W - U]`, the weights of the weighted fields, which come after the U unweighted lookups.
      sequences: Sequence name -> `[B, L, n]`, the columns of its parts side by side: rows, or 1 plus the code of a
        HashID, whose bit k is bit k; 0 is missing or padding. A sequence among `owners` has one row per request,
        `[R, L, n]`.
      owners: Sequence name -> the request of each example, int32 `[B]`; empty unless a batch holds histories once per
        request.
    """

    rows: Any
    weights: Any
    sequences: dict[str, Any]
    owners: Any = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """Neighbouring fields that one gather serves: same variable, same number of lookups, all weighted or none."""

    variable: int
    start: int
    fields: tuple[Field, ...]

    @property
    def stop(self) -> int:
        """One past the last lookup of the block."""
        return self.start + sum(field.lookups for field in self.fields)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LookupPlan:
    """All tables and fields of a model, in canonical order: unweighted fields first, then by number of lookups.

    Build it with `LookupPlan.ordered`, which sorts; field order then does not depend on how tables are merged, so
    models that merge them into many variables and into few have equal outputs.
    """

    tables: tuple[Table, ...]
    fields: tuple[Field, ...]
    sequences: tuple[BehaviourSequence, ...] = ()

    @classmethod
    def ordered(
        cls, *, tables: tuple[Table, ...], fields: tuple[Field, ...], sequences: tuple[BehaviourSequence, ...] = ()
    ) -> LookupPlan:
        """Returns the plan with its fields in canonical order (a stable sort, so equals keep the given order)."""
        names = [table.name for table in tables]
        if len(set(names)) != len(names):
            raise ValueError(f"Table names must be unique. Received: {names}.")
        unknown = {f.table for f in fields}.union(part.table for s in sequences for part in s.parts) - set(names)
        if unknown:
            raise ValueError(f"Fields look up tables that are not declared: {sorted(unknown)}. Declared: {names}.")
        order = {name: place for place, name in enumerate(names)}
        fields = tuple(sorted(fields, key=lambda f: (f.weighted, f.lookups, order[f.table])))
        return cls(tables=tables, fields=fields, sequences=sequences)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names in the order of the F axis."""
        return tuple(field.name for field in self.fields)

    @property
    def unweighted(self) -> int:
        """U: lookups before the first weighted one."""
        return sum(field.lookups for field in self.fields if not field.weighted)

    def merged(self, table_variables: int | None, *, width: int) -> tuple[tuple[Table, ...], ...]:
        """Splits the tables into runs that share a variable; `None` gives every table its own.

        Runs follow the canonical field order, so each is read by few gathers. They hold about equally many *fields*,
        because the time of a training step grows with looked-up ids, not with rows. Rows of a variable have one width:
        tables of each width are split by themselves, into their share of the variables, or one.

        Args:
          table_variables: Number of variables; more if there are more widths.
          width: Width of the embedding set.
        """
        first_use: dict[str, int] = {}
        for place, field in enumerate(self.fields):
            first_use.setdefault(field.table, place)
        used = sorted(self.tables, key=lambda table: first_use.get(table.name, len(self.fields)))
        if table_variables is None or table_variables >= len(used):
            return tuple((table,) for table in used)
        if table_variables < 1:
            raise ValueError(
                f"table_variables must be at least 1, or None for one per table. Received: {table_variables}."
            )
        runs: list[tuple[Table, ...]] = []
        for each in sorted({table.width_in(width) for table in used}, reverse=True):
            alike = [table for table in used if table.width_in(width) == each]
            number = max(1, round(table_variables * len(alike) / len(used)))
            bounds = [round(v * len(alike) / number) for v in range(number + 1)]
            runs += [tuple(alike[a:b]) for a, b in itertools.pairwise(bounds)]
        return tuple(runs)

    def blocks(self, variable_of: dict[str, int]) -> tuple[Block, ...]:
        """The runs of neighbouring fields that one gather serves, given the variable of each table."""
        blocks: list[Block] = []
        start = 0
        runs = itertools.groupby(self.fields, key=lambda f: (variable_of[f.table], f.weighted, f.lookups))
        for (variable, _, _), run in runs:
            block = Block(variable=variable, start=start, fields=tuple(run))
            blocks.append(block)
            start = block.stop
        return tuple(blocks)
