"""Information abundance of what all sets together hold of a field, so that one set compares with several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from fullrank.analysis.embeddings.spectrum import Array, information_abundance, relative_abundance, spectrum
from fullrank.analysis.inputs.open_input import Input
from fullrank.analysis.inputs.trained_rows import rows_with_touched_slots


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoinedAbundance:
    """Of one field.

    Attributes:
      rows: N, the rows that were trained in every set.
      width: D, the widths of all sets together.
      abundance: Information abundance of `[N, D]`.
      relative: That over min(N, D).
    """

    rows: int
    width: int
    abundance: float
    relative: float


def joined_abundance(given: Input) -> dict[str, JoinedAbundance]:
    """Sets the rows of a field's tables side by side, `[N, d_1 + ... + d_S]`, and takes their information abundance.

    It is what a model can tell apart of the field's values in all of its sets, as in the multi-embedding paper (Guo et
    al. 2024); with one set it is that of the table. A field of fewer than two trained rows is left out.

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
