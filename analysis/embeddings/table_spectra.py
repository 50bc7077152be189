"""The spectra of all tables of an input, without the rows that were never trained.

The information abundance of a field's embeddings in all sets together makes one set comparable with several.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from fullrank.analysis.embeddings.spectrum import Spectrum, information_abundance, relative_abundance, spectrum
from fullrank.analysis.inputs.open_input import Input, TableSource
from fullrank.analysis.inputs.variables import Array, changed_rows, rows_with_touched_slots
from fullrank.data.schema.saved_tables import StoredTable

KnownBy = Literal["frequencies", "initial values", "optimizer slots", "nothing"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TableSpectrum:
    """The result for one table.

    Attributes:
      set: Its embedding set; empty if the file has no sets.
      table: Its name.
      all_rows: Number of rows, including those that were never trained.
      trained: `[N]`, whether a row was trained; `None` if that is not known, and all rows count.
      known_by: How the trained rows were identified.
      spectrum: Spectrum of the trained rows.
      weighted: Spectrum of the trained rows, weighted by frequency; `None` without frequencies.
    """

    set: str
    table: str
    all_rows: int
    trained: Array | None
    known_by: KnownBy
    spectrum: Spectrum
    weighted: Spectrum | None

    @property
    def name(self) -> str:
        """`set/table`, or the table alone."""
        return f"{self.set}/{self.table}" if self.set else self.table

    def to_json(self) -> dict[str, Any]:
        """All numbers; those of a table without a trained row are null."""
        return {
            "set": self.set or None,
            "table": self.table,
            "rows": self.all_rows,
            "trained_rows": self.spectrum.rows,
            "trained_rows_known_by": self.known_by,
            "width": self.spectrum.width,
            **_numbers(self.spectrum),
            "weighted_by_frequency": None if self.weighted is None else _numbers(self.weighted),
        }


def table_spectra(
    given: Input, *, frequencies: Mapping[str, Array] | None = None, initial: Input | None = None
) -> list[TableSpectrum]:
    """Computes the spectrum of every table.

    Rows count as trained if their frequency is positive, if frequencies are given; else if they differ from their
    initial values, if those are given; else if the optimiser's slots for them have changed, if the input has slots.
    Otherwise all rows count.

    Args:
      given: The tables.
      frequencies: Name of a table, or `set/table` -> how often each row was looked up in training, `[N]`.
      initial: The same model before training.

    Raises:
      ValueError: If frequencies or initial values do not fit the tables, or a table holds NaN or infinite numbers.
    """
    frequencies = dict(frequencies or {})
    _check_names(given, frequencies)
    found = []
    for source in given.sources:
        found += _of_variable(source, frequencies, initial)
    return found


def _of_variable(source: TableSource, frequencies: Mapping[str, Array], initial: Input | None) -> list[TableSpectrum]:
    counts = {table.name: _counts(source.set, table, frequencies) for table in source.tables}
    # Slots can be as large as the table, so they are released before it is read.
    touched = None
    if initial is None and any(count is None for count in counts.values()):
        touched = rows_with_touched_slots(source.variable)
    values = source.variable.read()
    if initial is not None:
        touched = changed_rows(values, _initial_values(source, initial))
    known: KnownBy = "nothing" if touched is None else "optimizer slots" if initial is None else "initial values"
    found = []
    for table in source.tables:
        place = slice(table.start, table.start + table.rows)
        count = counts[table.name]
        trained = count > 0 if count is not None else None if touched is None else touched[place]
        name = f"{source.set}/{table.name}" if source.set else table.name
        try:
            plain = spectrum(values[place], rows=trained)
            weighted = None if count is None else spectrum(values[place], rows=trained, weights=count)
        except ValueError as error:
            raise ValueError(f"Table {name}: {error}") from error
        found.append(
            TableSpectrum(
                set=source.set,
                table=table.name,
                all_rows=table.rows,
                trained=trained,
                known_by=known if count is None else "frequencies",
                spectrum=plain,
                weighted=weighted,
            )
        )
    return found


def _counts(set_name: str, table: StoredTable, frequencies: Mapping[str, Array]) -> Array | None:
    name = f"{set_name}/{table.name}"
    count = frequencies.get(name, frequencies.get(table.name))
    if count is None:
        return None
    if count.shape != (table.rows,) or count.dtype.kind not in "iuf":
        raise ValueError(
            f"The frequencies of {table.name} must be {table.rows} numbers, one per row. Received: {count.dtype} of "
            f"shape {count.shape}."
        )
    return np.asarray(count, np.float64)


def _check_names(given: Input, frequencies: Mapping[str, Array]) -> None:
    known = {name for s in given.sources for t in s.tables for name in (t.name, f"{s.set}/{t.name}")}
    unknown = sorted(set(frequencies) - known)
    if unknown:
        tables = sorted({t.name for s in given.sources for t in s.tables})
        raise ValueError(f"Frequencies are given for {', '.join(unknown)}, but the tables are {', '.join(tables)}.")


def _initial_values(source: TableSource, initial: Input) -> Array:
    for other in initial.sources:
        if other.variable.name == source.variable.name and other.variable.shape == source.variable.shape:
            return other.variable.read()
    raise ValueError(
        f"{initial.path} holds no {source.variable.name} of shape {source.variable.shape}: it belongs to another model."
    )


def _numbers(found: Spectrum) -> dict[str, Any]:
    measures: dict[str, float | None] = dict(found.measures())
    return {
        "singular_values": [float(value) for value in found.singular_values],
        **(measures if found.rows else dict.fromkeys(measures)),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoinedAbundance:
    """Information abundance of one field over all embedding sets.

    Attributes:
      rows: N, the rows that were trained in every set.
      width: D, the widths of all sets together.
      abundance: Information abundance of `[N, D]`.
      relative: `abundance` divided by min(N, D).
    """

    rows: int
    width: int
    abundance: float
    relative: float


def joined_abundance(given: Input) -> dict[str, JoinedAbundance]:
    """Concatenates the rows of a field's tables, `[N, d_1 + ... + d_S]`, and computes their information abundance.

    It measures how well all sets together distinguish the field's values, as in the multi-embedding paper (Guo et al.
    2024); with one set it is that of the table. A field of fewer than two trained rows is left out.

    Args:
      given: A run, a SavedModel or a checkpoint of fullrank.
    """
    parts: dict[str, list[Array]] = {}
    trained: dict[str, Array] = {}
    for source in given.sources:
        touched, values = rows_with_touched_slots(source.variable), source.variable.read()
        for table in source.tables:
            place = slice(table.start, table.start + table.rows)
            own = np.ones(table.rows, bool) if touched is None else touched[place]
            parts.setdefault(table.name, []).append(values[place])
            trained[table.name] = trained.get(table.name, own) & own
    found = {}
    for name, tables in parts.items():
        rows = int(trained[name].sum())
        if rows > 1:
            joined = np.concatenate(tables, axis=1)
            values = spectrum(joined, rows=trained[name]).singular_values
            found[name] = JoinedAbundance(
                rows=rows,
                width=joined.shape[1],
                abundance=information_abundance(values),
                relative=relative_abundance(values, rows=rows, width=joined.shape[1]),
            )
    return found


def mean_abundance(found: Mapping[str, JoinedAbundance]) -> dict[str, float]:
    """`ia` and `ia_share`, the means over fields of information abundance and of its share of min(N, D)."""
    if not found:
        return {}
    return {
        "ia": float(np.mean([each.abundance for each in found.values()])),
        "ia_share": float(np.mean([each.relative for each in found.values()])),
    }
