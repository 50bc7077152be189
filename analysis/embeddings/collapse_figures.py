"""Draws the results of the collapse analysis."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np

from fullrank.analysis.embeddings.collapse_results import Collapse, PartnerAbundance, TableDiversity
from fullrank.analysis.embeddings.table_spectra import TableSpectrum
from fullrank.analysis.figures.abundance import abundance_bars, spectra_heatmap
from fullrank.analysis.figures.matrix import matrix_heatmap


def draw_collapse(found: Collapse, directory: Path) -> list[Path]:
    """Writes the figures: spectra and abundance of each set, diversity between sets, abundance by partner.

    Returns:
      The files.
    """
    files: list[Path] = []
    trained = [table for table in found.tables if table.spectrum.rows]
    for name, run in itertools.groupby(sorted(trained, key=lambda table: table.set), key=lambda table: table.set):
        files += _draw_set(name, list(run), directory)
    diverse = [each for each in found.diversities if each.found.index is not None]
    if diverse:
        files.append(_draw_diversity(diverse, directory / "diversity.png"))
    for partners in found.partners:
        files.append(_draw_partners(partners, directory / f"partners_{_file_name(partners.expert)}.png"))
    return files


def _draw_set(name: str, tables: list[TableSpectrum], directory: Path) -> list[Path]:
    title = name or "all tables"
    ending = f"_{_file_name(name)}.png" if name else ".png"
    spectra, abundance = directory / f"spectra{ending}", directory / f"abundance{ending}"
    spectra_heatmap(
        spectra={table.table: table.spectrum.singular_values for table in tables}, title=title, path=spectra
    )
    numbers = {table.table: (table.spectrum.measures(), table.spectrum.rows) for table in tables}
    abundance_bars(
        abundance={
            name: (measures["relative_abundance"], measures["information_abundance"], rows)
            for name, (measures, rows) in numbers.items()
        },
        title=title,
        path=abundance,
    )
    return [spectra, abundance]


def _draw_diversity(diversities: list[TableDiversity], path: Path) -> Path:
    """One row per table, the least diverse on top, and one column per pair of sets."""
    pairs = list(dict.fromkeys(each.sets for each in diversities))
    values = {table: [np.nan] * len(pairs) for table in dict.fromkeys(each.table for each in diversities)}
    for each in diversities:
        index = each.found.index
        values[each.table][pairs.index(each.sets)] = np.nan if index is None else index
    ranked = sorted(values, key=lambda table: (np.nanmean(values[table]), table))
    matrix_heatmap(
        values=np.array([values[table] for table in ranked]),
        rows=ranked,
        columns=[" - ".join(pair) for pair in pairs],
        title="Diversity between embedding sets",
        scale="1 - mean cosine of principal angles",
        largest=1.0,
        path=path,
        row_axis="table",
        column_axis="pair of sets; without tables whose columns span all of R^N",
    )
    return path


def _draw_partners(partners: PartnerAbundance, path: Path) -> Path:
    """Rows and columns ordered by the number of trained rows, the fewest first."""
    rows = dict(zip(partners.partners, partners.partner_rows, strict=True))

    def order(names: tuple[str, ...]) -> list[int]:
        return sorted(range(len(names)), key=lambda place: (rows[names[place]] or float("inf"), names[place]))

    down, across = order(partners.fields), order(partners.partners)
    matrix_heatmap(
        values=partners.abundance[np.ix_(down, across)],
        rows=[partners.fields[place] for place in down],
        columns=[partners.partners[place] for place in across],
        title=f"Information abundance of sub-embeddings, {partners.expert}",
        scale="IA of the field's table times projection",
        largest=float(np.max(partners.abundance)),
        path=path,
        row_axis="field",
        column_axis="partner (fields of fewest rows first)",
    )
    return path


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
