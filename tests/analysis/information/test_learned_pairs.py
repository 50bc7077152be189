"""Learned strengths beside measured pairs, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fullrank.analysis.information.learned_pairs import beside, read_strengths
from fullrank.analysis.information.pair_counts import Pair

PAIRS = (
    Pair(first="a", second="b", joint=0.3, interaction=0.2),
    Pair(first="a", second="c", joint=0.2, interaction=-0.1),
    Pair(first="b", second="c", joint=0.1, interaction=0.1),
    Pair(first="b", second="x", joint=0.9, interaction=0.9),
)


def test_ranks_agree_or_not() -> None:
    strengths = {
        "gwpfm": {frozenset("ab"): 3.0, frozenset("ac"): 2.0, frozenset("bc"): 1.0, frozenset("cz"): 9.0},
        "flat": {frozenset("ab"): 1.0, frozenset("ac"): 1.0, frozenset("bc"): 1.0},
    }
    found = beside(PAIRS, strengths)
    # Ranks of strength 3, 2, 1; of joint 3, 2, 1; of interaction 3, 1, 2: 1 - 6 (0 + 1 + 1) / (3 * 8) = .5.
    assert found["gwpfm"]["joint"] == pytest.approx(1.0)
    assert found["gwpfm"]["interaction"] == pytest.approx(0.5)
    assert [pair["strength"] for pair in found["gwpfm"]["pairs"]] == [3.0, 2.0, 1.0]
    assert found["flat"]["joint"] is None


def test_a_file_of_inspect_run(tmp_path: Path) -> None:
    file = tmp_path / "parts.json"
    file.write_text(json.dumps({"pairs": {"gwpfm": [{"first": "b", "second": "a", "strength": 2.5}]}}))
    assert read_strengths(file) == {"gwpfm": {frozenset("ab"): 2.5}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "expected a file that `fullrank inspect-run --json` wrote"),
        ("{}", "expected a file that `fullrank inspect-run --json` wrote"),
        ("[1]", "expected a file that `fullrank inspect-run --json` wrote"),
        ('{"pairs": {"gwpfm": [{"first": "a"}]}}', "expected a file that `fullrank inspect-run --json` wrote"),
        ('{"pairs": {}}', "no expert with a strength per pair"),
    ],
)
def test_another_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "parts.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_strengths(file)
