"""The strengths that a model learned for pairs of fields, and the information of the pairs ([Tencent] §4.3, §7.1)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fullrank.analysis.information.decay import rank_correlation
from fullrank.analysis.information.pair_counts import Pair

Strengths = dict[str, dict[frozenset[str], float]]
"""Expert -> pair of features -> strength, 1 for a pair that training did not change."""


def read_strengths(file: str | Path) -> Strengths:
    """Reads the `pairs` of a file of `fullrank inspect-run --json`.

    Raises:
      ValueError: If the file holds none.
    """
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        found = {
            str(expert): {frozenset((str(p["first"]), str(p["second"]))): float(p["strength"]) for p in pairs}
            for expert, pairs in content["pairs"].items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"--learned_pairs={file}: expected a file that `fullrank inspect-run --json` wrote."
        ) from error
    if not found:
        raise ValueError(
            f"--learned_pairs={file}: the run has no expert with a strength per pair. Experts that have one: gwpfm, "
            "fwfm, fmfm, fvfm."
        )
    return found


def beside(pairs: Sequence[Pair], strengths: Strengths) -> dict[str, dict[str, Any]]:
    """Expert -> how its strengths agree with what was measured.

    Args:
      pairs: Measured pairs.
      strengths: What experts learned; pairs of fields that were not measured do not count.

    Returns:
      For each expert the `pairs` that both know, with `first`, `second`, `strength`, `joint` and `interaction`, and
      Spearman's rank correlation of the strength with each of the two, `None` where it is undefined.
    """
    found = {}
    for expert, of_pair in strengths.items():
        both = [
            {**pair.to_json(), "strength": of_pair[frozenset((pair.first, pair.second))]}
            for pair in pairs
            if frozenset((pair.first, pair.second)) in of_pair
        ]
        known = {
            name: np.array([row[name] for row in both], np.float64) for name in ("strength", "joint", "interaction")
        }
        found[expert] = {
            "pairs": both,
            "joint": rank_correlation(known["strength"], known["joint"]),
            "interaction": rank_correlation(known["strength"], known["interaction"]),
        }
    return found
