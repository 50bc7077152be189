"""The simulated ad platform: its truth, its turnover, and equal luck for every policy."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank.trainers.exploration.platform import AdPlatform, PlatformConfig


def test_the_world_does_not_depend_on_who_asks() -> None:
    one, other = (AdPlatform(PlatformConfig(), seed=3) for _ in range(2))
    other.requests(5)
    first, second = one.requests(7), other.requests(7)
    np.testing.assert_array_equal(first.candidates, second.candidates)
    np.testing.assert_array_equal(first.luck, second.luck)
    np.testing.assert_array_equal(one.rates, other.rates)
    assert not np.array_equal(AdPlatform(PlatformConfig(), seed=4).rates, one.rates)


def test_candidates_are_different_ads_that_are_there() -> None:
    platform = AdPlatform(PlatformConfig(rounds=30, lifetime=6), seed=1)
    for number in (0, 10, 29):
        requests = platform.requests(number)
        assert requests.candidates.shape == (200, 10)
        assert platform.active(number)[requests.candidates].all()
        assert all(len(set(row)) == 10 for row in requests.candidates.tolist())


def test_ads_arrive_and_leave() -> None:
    platform = AdPlatform(PlatformConfig(rounds=30, first_ads=40, new_ads=2, lifetime=20), seed=1)
    assert platform.active(0).sum() == 40
    assert platform.is_new.sum() == 29 * 2
    # After a lifetime all first ads are gone, and there are those of the last 20 rounds.
    assert not platform.active(20)[:40].any()
    assert platform.active(29).sum() == 20 * 2


def test_rates_follow_the_formula() -> None:
    flat = AdPlatform(PlatformConfig(appeal=0.0, quality=0.0, base_rate=0.1), seed=1)
    np.testing.assert_allclose(flat.rates, 0.1)
    own = AdPlatform(PlatformConfig(appeal=0.0, quality=1.0, first_ads=4000, rounds=1), seed=1)
    logits = np.log(own.rates / (1 - own.rates))
    np.testing.assert_allclose(logits[:, 0], logits[:, 1])  # an ad's own part is the same in all segments
    assert logits.std() == pytest.approx(1.0, abs=0.04)
    assert logits.mean() == pytest.approx(np.log(0.05 / 0.95), abs=0.06)
    clicks = flat.requests(0).luck < 0.1
    assert clicks.mean() == pytest.approx(0.1, abs=0.02)


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        PlatformConfig(rounds=0)
    with pytest.raises(ValueError, match="base_rate"):
        PlatformConfig(base_rate=0.0)
    with pytest.raises(ValueError, match="a request needs 10 candidates"):
        AdPlatform(PlatformConfig(rounds=30, lifetime=2), seed=0).requests(29)
