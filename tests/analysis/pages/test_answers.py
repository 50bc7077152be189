"""The rules by which the five questions are answered."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank.analysis.embeddings.spectrum import spectrum
from fullrank.analysis.embeddings.table_spectra import TableSpectrum
from fullrank.analysis.pages.answers import apart, better, bias_with_reach, kept_rank, reads, right
from fullrank.analysis.pages.scored_sections import group_error, groups_of


def table(name: str, scale: float) -> TableSpectrum:
    """A table of width 8 whose directions but the first are `scale` as long."""
    values = np.random.default_rng(0).normal(size=(500, 8)) * np.array([1.0] + [scale] * 7)
    return TableSpectrum(
        set="set0", table=name, all_rows=500, trained=None, known_by="nothing", spectrum=spectrum(values), weighted=None
    )


def test_rank() -> None:
    assert kept_rank(None).state == "unknown"
    assert kept_rank([table("a", 1.0), table("b", 0.9)]).state == "good"
    some = kept_rank([table("a", 1.0), table("b", 1.0), table("c", 0.01)])
    assert (some.state, some.shown) == ("open", "Mostly")
    assert "set0/c" in some.answer
    assert kept_rank([table("a", 0.01), table("b", 1.0)]).state == "bad"


def test_bias() -> None:
    """Four examples of .5 and two positives: 1, and 1.96 sqrt(4 / 4) / 2 = .98."""
    bias = bias_with_reach(np.array([1.0, 0.0, 1.0, 0.0, np.nan]), np.full(5, 0.5), None)
    assert bias == pytest.approx((1.0, 0.98))
    assert np.isnan(bias_with_reach(np.zeros(3), np.full(3, 0.5), None)).all()
    assert right(None).state == "unknown"
    assert right({"a": (1.01, 0.01)}).state == "good"
    assert right({"a": (1.04, 0.03)}).state == "open"
    found = right({"a": (1.01, 0.01), "b": (0.8, 0.05)})
    assert found.state == "bad"
    assert "b is predicted 0.800" in found.answer
    assert "1 of 2 tasks" in found.answer


def test_groups_that_are_off_although_the_total_is_right() -> None:
    """Predictions of .2 where .1 and .3 come: 14 of 15 groups are off by half the rate, one has both: 14/15 / 2 = .467.

    Chance alone: sqrt(2 / pi * .16 / 6,667) / .2 = .0195. The difference is .447.
    """
    draw = np.random.default_rng(0)
    truth = np.repeat([0.1, 0.3], 50_000)
    labels = (draw.random(100_000) < truth).astype(float)
    flat = 0.2 + 1e-6 * (truth - 0.2)
    assert group_error(labels, flat, None) == pytest.approx(0.447, abs=0.01)
    assert group_error(labels, truth, None) < 0.01
    found = right({"a": (1.0, 0.01)}, errors={"a": group_error(labels, flat, None)})
    assert found.state == "bad"
    assert "groups of similar predictions of a are off by 4" in found.answer


def test_right_probabilities_of_negatives_that_were_sampled() -> None:
    """One negative in 10 is kept with weight 10; without weights the observed rate would be about .5, not .1."""
    draw = np.random.default_rng(0)
    truth = np.repeat([0.05, 0.15], 50_000)
    labels = (draw.random(100_000) < truth).astype(float)
    kept = (labels == 1.0) | (draw.random(100_000) < 0.1)
    labels, truth = labels[kept], truth[kept]
    weights = np.where(labels == 1.0, 1.0, 10.0)
    assert group_error(labels, truth, weights) < 0.05
    assert group_error(labels, truth, None) > 0.5


def test_groups_have_equal_weight() -> None:
    """15 groups of weight 2: fourteen of one example, and one of two positives; 1 and 2^2 / 2 = 2 examples count."""
    groups = groups_of(
        np.array([0.0] * 14 + [1.0, 1.0, 1.0, np.nan]),
        np.arange(18) / 20,
        np.array([2.0] * 14 + [1.0, 1.0, 0.0, 1.0]),
    )
    np.testing.assert_allclose(groups.predicted, [*(np.arange(14) / 20), 14.5 / 20])
    np.testing.assert_allclose(groups.observed, [0.0] * 14 + [1.0])
    np.testing.assert_allclose(groups.weights, 2.0)
    np.testing.assert_allclose(groups.sizes, [1.0] * 14 + [2.0])


def test_tasks() -> None:
    def conflicts(value: float | None) -> dict[str, object]:
        return {"cosines": {"set0": {"a": {"a": 1.0, "b": value}, "b": {"a": value, "b": 1.0}}}}

    assert apart(None, tasks=1, command="x").shown == "One task"
    assert apart(None, tasks=2, command="fullrank conflicts").answer.endswith("fullrank conflicts")
    assert apart(conflicts(0.3), tasks=2, command="").state == "good"
    assert apart(conflicts(None), tasks=2, command="").state == "good"
    found = apart(conflicts(-0.4), tasks=2, command="")
    assert found.state == "bad"
    assert "a and b on set0 have a cosine of -0.40" in found.answer


def test_features() -> None:
    tasks = {"click": {"a": {"increase": 5.0, "reach": 1.0}, "b": {"increase": 0.1, "reach": 0.5}}}
    found = reads({"tasks": tasks}, command="")
    assert found.shown == "1 of 2 features"
    assert found.answer == "Mostly a (+5.0 % NE without it), b (+0.1 % NE without it). Nothing is lost without b."
    assert reads(None, command="do this").state == "unknown"


def test_without_a_baseline_nothing_is_claimed() -> None:
    assert better(None, run="x").state == "unknown"
