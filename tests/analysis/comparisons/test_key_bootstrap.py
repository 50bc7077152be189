"""Bootstrap over keys: the slow form, what is not defined, and how often its intervals cover."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from fullrank.analysis.comparisons.key_bootstrap import LEAST_KEYS, RatioIntervals, ratio_intervals
from fullrank.trainers.evaluation.configs import EvaluateConfig

Array = np.ndarray[Any, Any]


def found(a: Array, b: Array, groups: Array, keys: Array, **more: Any) -> RatioIntervals:
    given: dict[str, Any] = {"confidence": 0.95, "draws": 300, "seed": 0, "least_keys": 2, **more}
    return ratio_intervals(groups=groups, keys=keys, numerators=a, denominators=b, **given)


def test_it_equals_the_slow_form() -> None:
    draw = np.random.default_rng(3)
    keys, groups = draw.integers(0, 25, 300), draw.integers(0, 3, 300)
    a, b = draw.random(300), 0.5 + draw.random(300)
    fast = found(a, b, groups, keys, draws=40, seed=11, confidence=0.8, together=0.9)

    def by_key(values: Array, rows: Array) -> Array:
        return np.bincount(keys[rows], values[rows], minlength=25)

    draw = np.random.default_rng(11)
    times = [np.bincount(draw.integers(0, 25, 25), minlength=25) for _ in range(40)]
    parts = [groups == 0, groups == 1, groups == 2, np.ones(300, bool)]
    studentised, errors = np.empty((40, 4)), np.empty(4)
    for place, rows in enumerate(parts):
        top, bottom = by_key(a, rows), by_key(b, rows)
        r = top.sum() / bottom.sum()
        np.testing.assert_allclose(fast.ratio[place], r)
        errors[place] = np.sqrt(((top - r * bottom) ** 2).sum()) / bottom.sum()
        for number, many in enumerate(times):
            drawn = (many * top).sum() / (many * bottom).sum()
            error = np.sqrt((many * (top - drawn * bottom) ** 2).sum()) / (many * bottom).sum()
            studentised[number, place] = abs(drawn - r) / error
    # Of 40 values the .8 quantile lies between the 32nd and the 33rd: .8 * 39 = 31.2; the .9 one at 35.1.
    np.testing.assert_allclose(fast.reach, np.sort(studentised, axis=0)[32] * errors)
    np.testing.assert_allclose(fast.together[:3], np.sort(studentised[:, :3].max(axis=1))[36] * errors[:3])
    assert np.isnan(fast.together[3])
    np.testing.assert_array_equal(fast.keys, [len(np.unique(keys[rows])) for rows in parts])


def test_what_is_not_defined_has_no_interval() -> None:
    ones, few = np.ones(40), np.arange(40) % 2
    keys = np.arange(40)
    # 20 keys each: one less is too few.
    assert np.isfinite(found(ones, ones + few, few, keys, least_keys=20).reach).all()
    np.testing.assert_array_equal(np.isnan(found(ones, ones, few, keys, least_keys=21).reach), [True, True, False])
    # Nothing in the denominator of the second group.
    empty = found(ones, 1.0 - few, few, keys)
    np.testing.assert_array_equal(np.isnan(empty.ratio), [False, True, False])
    np.testing.assert_array_equal(np.isnan(empty.reach), [False, True, False])
    # One key holds all of the numerator: a third of the draws do without it, and their error is 0.
    lonely = found((keys == 3).astype(float), ones, np.zeros(40, int), keys)
    assert np.isfinite(lonely.ratio).all()
    # Equal sums: nothing is uncertain.
    same = found(ones, ones, few, keys)
    np.testing.assert_array_equal(same.reach, 0.0)
    np.testing.assert_array_equal(same.together[:2], 0.0)


def test_nearly_equal_models_keep_their_digits() -> None:
    """Differences of 1e-9 of a loss: squares of losses would lose them."""
    draw = np.random.default_rng(0)
    b, change, keys = 1.0 + draw.random(200), draw.normal(size=200), np.arange(200) // 2
    one, other = (found(b * (1 + size * change), b, np.zeros(200, int), keys).reach[-1] for size in (1e-3, 1e-9))
    np.testing.assert_allclose(other / one, 1e-6, rtol=1e-2)


def test_chunks_of_draws_do_not_change_them(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    given = draw.random(100), 1.0 + draw.random(100), draw.integers(0, 2, 100), np.arange(100) // 2
    whole = found(*given)
    monkeypatch.setattr("fullrank.analysis.comparisons.key_bootstrap._CHUNK", 7 * 50)
    for one, other in zip(whole, found(*given), strict=True):
        np.testing.assert_allclose(one, other)


RARE, FREQUENT = -3.5, -2.0  # logits: about 5 % and 17 % of the rows are positive


def users(draw: np.random.Generator, number: int, base: float) -> tuple[Array, Array, Array]:
    """Log losses of a model and of its baseline over the rows of some users; rows per user are long-tailed."""
    rows = np.maximum(1, draw.lognormal(1.2, 1.1, number).astype(int))
    key = np.repeat(np.arange(number), rows)
    taste = draw.normal(0, 0.8, number)[key]
    z = base + taste + draw.normal(0, 0.7, key.size)
    y = draw.random(key.size) < 1 / (1 + np.exp(-z))
    old = z - 0.6 * taste + draw.normal(0, 0.6, key.size)
    new = z - 0.3 * taste + draw.normal(0, 0.3, key.size)
    loss = [np.logaddexp(0, f) - y * f for f in (new, old)]
    return key, loss[0], loss[1]


@functools.cache
def truth(base: float) -> float:
    """The ratio over very many users; its own error is below a hundredth of what 60 keys reach."""
    _, new, old = users(np.random.default_rng(99), 1_000_000, base)
    return float(new.sum() / old.sum())


def covered(base: float, *, number: int, segments: int, runs: int) -> dict[str, float]:
    """How often intervals hold the truth: of each segment, of all segments at once, and of the worst by either."""
    hits: dict[str, list[Any]] = {"each": [], "all at once": [], "worst": [], "worst taken alone": []}
    for run in range(runs):
        key, new, old = users(np.random.default_rng((run, number)), number, base)
        now = found(new, old, key % segments, key, draws=400, seed=run)
        error = np.abs(now.ratio - truth(base))[:-1]
        worst = int(np.argmax(now.ratio[:-1]))
        hits["each"].append(np.mean(error <= now.reach[:-1]))
        hits["all at once"].append((error <= now.together[:-1]).all())
        hits["worst"].append(error[worst] <= now.together[worst])
        hits["worst taken alone"].append(error[worst] <= now.reach[worst])
    return {name: float(np.mean(values)) for name, values in hits.items()}


# Standard error of 1,000 runs: 0.7 % for one interval; less for segments, which are counted each.
RUNS = 1000


@pytest.mark.parametrize(("number", "base"), [(LEAST_KEYS, FREQUENT), (LEAST_KEYS, RARE), (60, FREQUENT), (60, RARE)])
def test_intervals_cover_what_they_say(number: int, base: float) -> None:
    assert 0.93 <= covered(base, number=number, segments=1, runs=RUNS)["each"] <= 0.97


def test_fewer_keys_cover_less_which_is_why_they_have_no_interval() -> None:
    assert covered(RARE, number=LEAST_KEYS // 3, segments=1, runs=RUNS)["each"] < 0.93


def test_the_worst_of_many_segments_is_covered_by_what_holds_for_all() -> None:
    rates = covered(FREQUENT, number=10 * 30, segments=10, runs=400)
    assert 0.93 <= rates["each"] <= 0.97
    assert rates["all at once"] >= 0.93
    assert rates["worst"] >= rates["all at once"]
    assert rates["worst taken alone"] < rates["all at once"]


def repeats(draw: np.random.Generator, number: int) -> tuple[Array, Array, Array]:
    """Repeated exposures among what a model and its baseline would show to some users, who differ in their share."""
    rows = np.maximum(1, draw.lognormal(1.2, 1.1, number).astype(int))
    key = np.repeat(np.arange(number), rows)
    share = draw.beta(1, 3, number)[key]
    old, kept, other = draw.random((3, key.size)) < np.stack([share, np.full(key.size, 0.6), 0.85 * share])
    new = np.where(draw.random(key.size) < 0.6, old & kept, other)
    return key, new.astype(float), old.astype(float)


@pytest.mark.parametrize("number", [LEAST_KEYS, 60])
def test_a_ratio_of_counts_is_covered_too(number: int) -> None:
    _, new, old = repeats(np.random.default_rng(99), 1_000_000)
    truth_of_counts, hits = new.sum() / old.sum(), []
    for run in range(800):
        key, new, old = repeats(np.random.default_rng((run, number)), number)
        now = found(new, old, np.zeros_like(key), key, draws=400, seed=run)
        hits.append(abs(now.ratio[-1] - truth_of_counts) <= now.reach[-1])
    assert 0.93 <= np.mean(hits) <= 0.97


def test_the_flag_knows_the_least_number_of_keys() -> None:
    assert EvaluateConfig(run="run").min_segment_keys == LEAST_KEYS
    with pytest.raises(ValueError, match="min_segment_keys"):
        EvaluateConfig(run="run", min_segment_keys=LEAST_KEYS - 1)
