"""Figures and tables of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from fullrank.analysis.comparisons.paired import wilson_interval
from fullrank.analysis.comparisons.tables import format_table
from fullrank.analysis.figures import reliability_diagram, roc_curve, segment_bars
from fullrank.models.metrics import BinaryEvaluator


@pytest.fixture(scope="module")
def evaluator() -> BinaryEvaluator:
    generator = np.random.default_rng(0)
    logits = generator.normal(-5.0, 1.0, 5000)
    scores = 1.0 / (1.0 + np.exp(-logits))
    evaluator = BinaryEvaluator(task="click", segments=("country",))
    countries = np.array(["de", "fr", "a value with a name far too long for an axis"])[generator.integers(0, 3, 5000)]
    evaluator.update(labels=generator.random(5000) < scores, scores=scores, segments={"country": countries})
    # Six rows of one class: most statistics of theirs are not defined.
    evaluator.update(labels=np.zeros(6), scores=np.full(6, 0.01), segments={"country": ["jp"] * 6})
    return evaluator


def dark_share(path: Path) -> float:
    """Share of pixels that are not white: an empty canvas has none."""
    return float(np.mean(imread(path)[:, :, :3].min(axis=2) < 0.9))


def check(path: Path) -> None:
    assert 0.005 < dark_share(path) < 0.6
    assert sorted(path.parent.iterdir()) == [path]


def test_reliability_diagram(evaluator: BinaryEvaluator, tmp_path: Path) -> None:
    path = tmp_path / "figures" / "reliability.png"
    reliability_diagram(**evaluator.reliability(), task="click", path=path)
    check(path)


@pytest.mark.parametrize(
    ("predicted", "observed"),
    [
        ([0.2, 0.5, 0.9], [0.0, 0.6, 1.0]),  # equal steps on the axes, a group without positives
        ([0.0001, 0.01, 0.1], [0.0, 0.01, 0.2]),  # logarithmic axes over four decades
        ([0.0, 0.01, 0.02], [0.0, 0.0, 0.0]),  # a zero forbids logarithmic axes; no positive at all
        ([0.001, 0.02], [0.0, 0.0]),  # logarithmic axes, no positive at all
        ([0.5], [0.5]),
    ],
)
def test_reliability_diagram_of_any_rates(predicted: list[float], observed: list[float], tmp_path: Path) -> None:
    path = tmp_path / "reliability.png"
    sizes = [100.0] * len(predicted)
    reliability_diagram(mean_prediction=predicted, observed_rate=observed, examples=sizes, task="click", path=path)
    check(path)


def test_roc_curve(evaluator: BinaryEvaluator, tmp_path: Path) -> None:
    path = tmp_path / "roc.png"
    roc_curve(**evaluator.roc(), auc=0.75, examples=2.5e6, positives=1234, task="click", path=path)
    check(path)


@pytest.mark.parametrize("statistic", ["auc", "ne", "bias", "ece", "log_loss"])
def test_segment_bars(evaluator: BinaryEvaluator, statistic: str, tmp_path: Path) -> None:
    result = evaluator.result()
    path = tmp_path / "segments.png"
    segment_bars(
        values=result["segments"]["country"],
        segment="country",
        statistic=statistic,
        overall=result[statistic],
        task="click",
        path=path,
    )
    check(path)


def test_more_segments_make_a_taller_figure_up_to_a_limit(tmp_path: Path) -> None:
    heights = []
    for number in (3, 30, 60):
        values = {str(hour): {"auc": 0.6, "examples": hour} for hour in range(number)}
        path = tmp_path / f"{number}.png"
        segment_bars(values=values, segment="hour", statistic="auc", overall=None, task="click", path=path)
        heights.append(imread(path).shape[0])
    assert heights[0] < heights[1] == heights[2]


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    drawings: list[tuple[Callable[[], None], str]] = [
        (
            lambda: reliability_diagram(mean_prediction=[], observed_rate=[], examples=[], task="buy", path=path),
            "no reliability diagram for task 'buy'",
        ),
        (
            lambda: roc_curve(
                false_positive_rate=[0.0, 1.0],
                true_positive_rate=[math.nan] * 2,
                auc=math.nan,
                examples=5,
                positives=0,
                task="buy",
                path=path,
            ),
            "no ROC curve for task 'buy': its 5 examples are of one class",
        ),
        (
            lambda: segment_bars(values={}, segment="ad", statistic="ne", overall=None, task="buy", path=path),
            "no figure for segment 'ad' of task 'buy'",
        ),
    ]
    for draw, message in drawings:
        with pytest.raises(ValueError, match=message):
            draw()
    assert not path.exists()


def test_a_failed_write_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("fullrank.analysis.figures.style.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        roc_curve(
            false_positive_rate=[0, 1],
            true_positive_rate=[0, 1],
            auc=0.5,
            examples=2,
            positives=1,
            task="click",
            path=tmp_path / "roc.png",
        )
    assert list(tmp_path.iterdir()) == []


def test_figures_leave_matplotlib_as_it_was(evaluator: BinaryEvaluator, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    reliability_diagram(**evaluator.reliability(), task="click", path=tmp_path / "reliability.png")
    assert dict(mpl.rcParams) == before


def test_wilson_interval_by_hand() -> None:
    # z = 2, p = 1/2, n = 12: (1/2 + 1/6 -+ 2 sqrt(1/48 + 1/144)) / (4/3) = 1/2 -+ 1/4.
    lower, upper = wilson_interval(rate=[0.5, 0.0, 1.0], examples=[12, 12, 12], z=2.0)
    np.testing.assert_allclose(lower, [0.25, 0.0, 0.75], atol=1e-12)
    np.testing.assert_allclose(upper, [0.75, 0.25, 1.0], atol=1e-12)


def test_format_table() -> None:
    rows: list[dict[str, object]] = [
        {"task": "click", "auc": 0.75, "examples": 1234567, "ece": 0.00123},
        {"task": "buy\nlater", "auc": None, "examples": 5, "ece": math.nan},
    ]
    assert format_table(rows=rows, columns=["task", "auc", "examples", "ece", "gauc"]) == (
        "task          auc   examples      ece  gauc\n"
        "---------  ------  ---------  -------  ----\n"
        "click      0.7500  1,234,567  0.00123     -\n"
        "buy later       -          5        -     -"
    )


def test_format_table_without_rows() -> None:
    assert format_table(rows=[], columns=["task", "auc"]) == "task  auc\n----  ---"
