"""The results of the collapse analysis: spectra, diversity between sets, sub-embeddings by partner."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fullrank.analysis.embeddings.diversity import Diversity, diversity, pair_projections, partner_singular_values
from fullrank.analysis.embeddings.spectrum import information_abundance
from fullrank.analysis.embeddings.table_spectra import TableSpectrum, table_spectra
from fullrank.analysis.inputs.open_input import Input
from fullrank.analysis.inputs.variables import Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TableDiversity:
    """The difference between two sets' embeddings of one field."""

    table: str
    sets: tuple[str, str]
    found: Diversity

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        return {
            "table": self.table,
            "sets": list(self.sets),
            "ranks": list(self.found.ranks),
            "cosines": [float(value) for value in self.found.cosines],
            "diversity": self.found.index,
            "diversity_at_random": self.found.at_random,
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PartnerAbundance:
    """Information abundance of `E_i W_{i->j}`: row i is a field with a table, column j any field.

    Attributes:
      expert: The expert whose first cross layer holds the projections.
      set: The set that it reads.
      fields: Names of the rows.
      partners: Names of the columns.
      partner_rows: Trained rows of each partner's table; `None` for a partner without one.
      abundance: `[fields, partners]`.
    """

    expert: str
    set: str
    fields: tuple[str, ...]
    partners: tuple[str, ...]
    partner_rows: tuple[int | None, ...]
    abundance: Array

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        return {**dataclasses.asdict(self), "abundance": [[float(value) for value in row] for row in self.abundance]}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Collapse:
    """The result of a collapse analysis."""

    given: Input
    tables: tuple[TableSpectrum, ...]
    diversities: tuple[TableDiversity, ...]
    partners: tuple[PartnerAbundance, ...]

    def to_json(self) -> dict[str, Any]:
        """All numbers, as in `collapse.json`."""
        return {
            "input": self.given.path,
            "kind": self.given.kind,
            "weights": self.given.read,
            "tables": [found.to_json() for found in self.tables],
            "diversity": [found.to_json() for found in self.diversities],
            "by_partner": [found.to_json() for found in self.partners],
        }


def analyse_collapse(
    given: Input, *, frequencies: Mapping[str, Array] | None = None, initial: Input | None = None
) -> Collapse:
    """Analyses every table of an input; at most two of its variables are in memory at a time.

    Args:
      given: The tables from `open_input`.
      frequencies: Name of a table, or `set/table` -> how often each row was looked up in training, `[N]`.
      initial: The same model before training.

    Raises:
      ValueError: If arguments do not fit together, or a table holds NaN or infinite numbers.
    """
    tables = table_spectra(given, frequencies=frequencies, initial=initial)
    return Collapse(
        given=given,
        tables=tuple(tables),
        diversities=tuple(_diversities(given, tables)),
        partners=tuple(_partners(given, tables)),
    )


def _diversities(given: Input, tables: Sequence[TableSpectrum]) -> list[TableDiversity]:
    spectra = {(found.set, found.table): found for found in tables}
    found = []
    for first, second in itertools.combinations([source for source in given.sources if source.set], 2):
        places = {table.name: table for table in second.tables}
        shared = [(table, places[table.name]) for table in first.tables if table.name in places]
        if first.set == second.set or not shared:
            continue
        one, other = first.variable.read(), second.variable.read()
        for left, right in shared:
            masks = (spectra[first.set, left.name].trained, spectra[second.set, left.name].trained)
            known = [mask for mask in masks if mask is not None]
            compared = diversity(
                one[left.start : left.start + left.rows],
                other[right.start : right.start + right.rows],
                rows=np.logical_and.reduce(known) if known else None,
            )
            found.append(TableDiversity(table=left.name, sets=(first.set, second.set), found=compared))
    return found


def _partners(given: Input, tables: Sequence[TableSpectrum]) -> list[PartnerAbundance]:
    found = []
    for cross, variables in given.crosses:
        spectra = {each.table: each.spectrum for each in tables if each.set == cross.set and each.spectrum.rows}
        factors = [np.asarray(variable.read(), np.float64) for variable in variables]
        kernel = factors[0] if len(factors) == 1 else factors[0] @ factors[1]
        # The projections are of fields, which are not the rows of a table that is narrower than its set.
        wide = {name: each for name, each in spectra.items() if each.width * len(cross.fields) == len(kernel)}
        of_field = [wide.get(table) if table is not None else None for table in cross.tables]
        projections = pair_projections(kernel, fields=len(cross.fields))
        rows = [
            [information_abundance(values) for values in partner_singular_values(own, projections[place])]
            for place, own in enumerate(of_field)
            if own is not None
        ]
        if rows:
            found.append(
                PartnerAbundance(
                    expert=cross.expert,
                    set=cross.set,
                    fields=tuple(f for f, own in zip(cross.fields, of_field, strict=True) if own is not None),
                    partners=cross.fields,
                    partner_rows=tuple(None if own is None else own.rows for own in of_field),
                    abundance=np.array(rows),
                )
            )
    return found
