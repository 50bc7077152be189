"""What figures of searches, pairs and gradients show, read from their axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from fullrank.analysis.figures.negative_gradients import negative_gradient_lines
from fullrank.analysis.figures.search import draw_search
from fullrank.analysis.information.correlate import Correlation, Ranked
from fullrank.analysis.information.figures import draw_learned_pairs, draw_pairs
from fullrank.analysis.information.learned_pairs import beside
from fullrank.analysis.information.pair_counts import Pair


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written."""
    figures: list[Figure] = []
    write = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        figures.append(figure)
        write(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def axes_of(figure: Figure) -> list[Any]:
    return list(figure.axes)


def lines_of(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): np.asarray(line.get_ydata(), float).tolist() for line in axes.get_lines()}


def test_a_search_shows_the_best_so_far_and_is_not_stretched_by_a_bad_trial(
    drawn: list[Figure], tmp_path: Path
) -> None:
    values = {5: 0.8, 0: 0.9, 2: 0.95, 3: 0.7, 4: 30.0}
    shares = {"learning_rate": 0.7, "widths": 0.3}
    draw_search(values=values, pruned=[1], importances=shares, maximize=False, path=tmp_path / "search.png")
    left, right = axes_of(drawn[0])
    lines = lines_of(left)
    assert lines["trial"] == [0.9, 0.95, 0.7, 30.0, 0.8]
    assert lines["best so far"] == [0.9, 0.9, 0.7, 0.7, 0.7]
    assert [line.get_xdata().tolist() for line in left.get_lines()[:1]] == [[0, 2, 3, 4, 5]]
    assert len(lines["pruned"]) == 1
    assert left.get_ylim()[0] < 0.7
    assert left.get_ylim()[1] < 30
    assert [bar.get_width() for bar in right.patches] == [0.3, 0.7]
    assert [label.get_text() for label in right.get_yticklabels()] == ["widths", "learning_rate"]


def test_a_search_for_the_largest_of_one_trial_says_that_it_knows_no_importance(
    drawn: list[Figure], tmp_path: Path
) -> None:
    draw_search(values={0: 0.5, 1: 0.4}, pruned=[], importances={}, maximize=True, path=tmp_path / "search.png")
    left, right = axes_of(drawn[0])
    assert set(lines_of(left)) == {"trial", "best so far"}
    assert lines_of(left)["best so far"] == [0.5, 0.5]
    assert [text.get_text() for text in right.texts] == ["too few trials"]
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


PAIRS = (
    Pair(first="shop", second="hour", joint=0.3, interaction=0.2),
    Pair(first="shop", second="age", joint=0.2, interaction=-0.05),
)


def correlation() -> Correlation:
    unread: Any = None
    ranking = tuple(Ranked(name=name, kind="sparse", found=unread) for name in ("age", "alone", "hour", "shop"))
    return Correlation(
        title="planted",
        label="click",
        examples=100,
        positives=40,
        ranking=ranking,
        left_out={},
        pairs=PAIRS,
        learned_pairs={},
        maps={},
        decays=(),
        agreements={},
        behaviour="",
    )


def test_pairs_are_a_symmetric_matrix_in_the_order_of_the_ranking(drawn: list[Figure], tmp_path: Path) -> None:
    draw_pairs(correlation(), path=tmp_path / "pairs.png")
    axes = axes_of(drawn[0])[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["age", "hour", "shop"]
    (image,) = axes.images
    gap = float("nan")
    # In thousandths of a nat; a pair that was not measured is blank, and colours are symmetric about zero.
    np.testing.assert_allclose(
        image.get_array().filled(gap), [[gap, gap, -50.0], [gap, gap, 200.0], [-50.0, 200.0, gap]]
    )
    assert image.get_clim() == (-200.0, 200.0)


def test_learned_pairs_are_points_with_the_names_of_the_strongest(drawn: list[Figure], tmp_path: Path) -> None:
    strengths = {"gwpfm": {frozenset({"shop", "hour"}): 3.0, frozenset({"shop", "age"}): 0.5}}
    learned = beside(PAIRS, strengths)["gwpfm"]
    draw_learned_pairs(learned, expert="gwpfm", label="click", path=tmp_path / "learned.png")
    (axes,) = axes_of(drawn[0])
    points = next(line for line in axes.get_lines() if line.get_marker() == "o")
    found = sorted(zip(points.get_xdata().tolist(), points.get_ydata().tolist(), strict=True))
    assert found == [(-50.0, 0.5), (200.0, 3.0)]
    assert sorted(text.get_text() for text in axes.texts) == ["shop x age", "shop x hour"]
    assert axes.get_ylabel() == "strength that gwpfm learned (1 at the start)"
    # Two pairs have no rank correlation.
    assert axes.get_title(loc="left") == "Pairs: measured information and learned strength"
    ranked = {**learned, "interaction": 0.523}
    draw_learned_pairs(ranked, expert="gwpfm", label="click", path=tmp_path / "learned.png")
    assert axes_of(drawn[1])[0].get_title(loc="left").endswith("strength; rank correlation 0.52")


def test_gradients_of_negatives_leave_out_what_a_logarithm_cannot_show(drawn: list[Figure], tmp_path: Path) -> None:
    gradients = {"bce": [0.2, 0.1, 0.05], "bce + ranking": [0.3, 0.0]}
    negative_gradient_lines(gradients=gradients, base_rate=0.04, task="click", path=tmp_path / "gradients.png")
    (axes,) = axes_of(drawn[0])
    lines = lines_of(axes)
    assert lines["bce"] == [0.2, 0.1, 0.05]
    np.testing.assert_array_equal(lines["bce + ranking"], [0.3, np.nan])
    assert lines["base rate: 0.04"] == [0.04, 0.04]
    assert (axes.get_yscale(), axes.get_title(loc="left")) == ("log", "Gradients of negatives, click")
    assert axes.get_xticks().tolist() == [1, 2, 3]
    for refused in ({"bce": [0.0, -1.0]}, {str(number): [0.1] for number in range(6)}):
        with pytest.raises(ValueError, match=f"one to 5 losses with a positive gradient; received {len(refused)}"):
            negative_gradient_lines(gradients=refused, base_rate=None, task="click", path=tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
