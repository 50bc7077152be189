"""Time and memory of the spectrum of one large table, and of the two steps that read it again.

A table of 1 M x 64 float32 rows whose singular values fall by a factor of a thousand, a tenth of its rows never
trained. "Spectrum" leaves those rows out; "diversity" compares two such tables. Each figure is measured once, in a
process of its own, whose largest resident size less that before the analysis is the memory. The exact decomposition by
NumPy is there for information.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

import report
from fullrank.analysis import diversity, information_abundance, spectrum

WIDTH = 64
FIGURES = (("spectrum", "s", 10.0), ("diversity", "s", 20.0), ("memory", "GB", 1.0), ("numpy", "s", None))
"""Figure, unit and bound."""


def measured(rows: int) -> dict[str, float]:
    """The figures for one size, and how far the abundance is from that of the exact decomposition."""
    draw = np.random.default_rng(3)
    tables = [draw.standard_normal((rows, WIDTH), np.float32) for _ in range(2)]
    for table in tables:
        table *= 10.0 ** -np.linspace(0, 3, WIDTH, dtype=np.float32)
    trained = draw.random(rows) < 0.9
    before = report.peak_memory()

    start = time.perf_counter()
    found = spectrum(tables[0], rows=trained)
    figures = {"spectrum": time.perf_counter() - start}

    start = time.perf_counter()
    diversity(tables[0], tables[1], rows=trained)
    figures["diversity"] = time.perf_counter() - start
    figures["memory"] = (report.peak_memory() - before) / 1e9

    start = time.perf_counter()
    exact = np.linalg.svd(tables[0][trained], compute_uv=False)
    figures["numpy"] = time.perf_counter() - start
    ours, theirs = information_abundance(found.singular_values), information_abundance(exact)
    figures["difference"] = abs(ours - theirs) / theirs
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measured(int(sys.argv[2]))))
        return
    options = report.arguments("Time and memory of the collapse analysis of a large table.")
    count = 100_000 if options.quick else 1_000_000
    found = report.in_child(__file__, count)
    rows = report.bounded(found, FIGURES, size=f"{count:,} x {WIDTH}")
    rows.append(
        report.compare(
            name="information abundance: relative difference from NumPy's / 1e-6",
            ours=report.Sample((found["difference"],)),
            reference=report.Sample((1e-6,)),
            unit="",
            goal="<= 1",
        )
    )
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
