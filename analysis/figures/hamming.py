"""Hamming distance of HashIDs against the cosine of their vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fullrank.analysis.figures.style import BLUE, GREY, count, figure


def hamming_curve(*, measured: Mapping[str, Any], title: str, path: str | os.PathLike[str]) -> None:
    """Draws the mean distance of each cosine bin, its deviation, and `bits arccos(cosine) / pi` as a line.

    Args:
        measured: results of `fullrank.data.content.hamming`, as plain values.
        title: name of the hashed vectors.
        path: the PNG to write.
    """
    bins, bits = measured["bins"], measured["bits"]
    cosine = np.linspace(-1.0, 1.0, 201)
    with figure(path=path, width=6.5, height=4.5) as axes:
        axes.plot(cosine, bits * np.arccos(cosine) / np.pi, color=GREY, label=f"expected: {bits} arccos(cosine) / π")
        axes.errorbar(
            [entry["cosine"] for entry in bins],
            [entry["distance"] for entry in bins],
            yerr=[entry["deviation"] for entry in bins],
            fmt="o",
            markersize=5,
            capsize=2,
            color=BLUE,
            label="measured: mean ± standard deviation",
        )
        axes.set_xlim(-1.03, 1.03)
        axes.set_ylim(0, bits)
        axes.set_xlabel("cosine of two vectors")
        axes.set_ylabel("bits that differ")
        axes.legend(loc="lower left")
        correlation = measured["rank_correlation"]
        rank = "" if correlation is None else f", rank correlation {correlation:.2f}"
        axes.set_title(f"{title}: {count(measured['pairs'])} pairs{rank}")
