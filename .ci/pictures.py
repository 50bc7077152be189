"""Draws the pictures of the documentation into docs/pictures, each from a function of its name.

Usage: `pictures.py` for all of them, `pictures.py flow stem` for some, `--png=FOLDER` for raster copies to look at.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "agg")
import matplotlib as mpl
import matplotlib.pyplot as plt

import picture_concepts
import picture_features
import picture_models
from sources import ROOT

PICTURES: Mapping[str, Callable[[], Any]] = {
    "flow": picture_models.flow,
    "stem": picture_models.stem,
    "numeral_systems": picture_features.numeral_systems,
    "temporal_interest": picture_features.temporal_interest,
    "collapse": picture_concepts.collapse,
    "field_parts": picture_concepts.field_parts,
    "residual_quantisation": picture_concepts.residual_quantisation,
    "residual_target": picture_concepts.residual_target,
    "exposure_recency": picture_concepts.exposure_recency,
}


def draw(name: str, folder: Path, *, kind: str = "svg") -> None:
    """Draws one picture as `folder/name.kind`, the same bytes every time with the same version of matplotlib."""
    with mpl.rc_context({"svg.hashsalt": name, "font.size": 9.5, "savefig.dpi": 110}):
        figure = PICTURES[name]()
        figure.savefig(folder / f"{name}.{kind}", metadata={"Date": None} if kind == "svg" else None)
        plt.close(figure)


def main(root: Path, arguments: list[str]) -> int:
    """Draws what the arguments name; returns the exit code."""
    raster = [argument.removeprefix("--png=") for argument in arguments if argument.startswith("--png=")]
    names = [argument for argument in arguments if not argument.startswith("--")] or list(PICTURES)
    unknown = sorted(set(names) - set(PICTURES))
    if unknown:
        print(f"there is no picture {unknown[0]!r}; known: {', '.join(PICTURES)}", file=sys.stderr)
        return 2
    folder = Path(raster[0]) if raster else root / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        draw(name, folder, kind="png" if raster else "svg")
    return 0


if __name__ == "__main__":
    sys.exit(main(ROOT, sys.argv[1:]))
