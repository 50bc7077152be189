"""Off-policy estimates: by hand, against what a known world gives, and what cannot be estimated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fullrank.analysis.comparisons.paired import paired_difference
from fullrank.analysis.comparisons.paired_gain import paired_gain
from fullrank.analysis.policies.exposure_replay import exposure_replay
from fullrank.analysis.policies.off_policy import (
    PolicyValue,
    independent_difference,
    on_policy_value,
    policy_values,
    value_difference,
    widened,
)


def test_by_hand() -> None:
    # Weights .5/.5 = 1, 1/.5 = 2, 0/.25 = 0; rewards 1, 1, 1.
    found = policy_values(
        rewards=[1, 1, 1],
        logged=[0.5, 0.5, 0.25],
        target=[0.5, 1.0, 0.0],
        model_logged=[0.5, 0.5, 0.5],
        model_target=[0.25, 0.5, 0.75],
    )
    assert found["ips"].value == pytest.approx(1.0)
    assert found["snips"].value == pytest.approx(1.0)
    # (.25 + 1 * .5 + .5 + 2 * .5 + .75 + 0) / 3
    assert found["dr"].value == pytest.approx(1.0)
    assert found["ips"].effective == pytest.approx(9 / 5)
    # Terms 1, 2, 0: standard deviation 1, error 1 / sqrt(3).
    assert found["ips"].high - 1.0 == pytest.approx(1.959964 / 3**0.5, rel=1e-6)
    # All rewards are equal, so self-normalising leaves nothing uncertain.
    assert found["snips"].high == pytest.approx(1.0)


def test_the_logged_policy_itself_has_the_mean_reward() -> None:
    rewards = np.array([0.0, 1.0, 1.0, 0.0])
    found = policy_values(rewards=rewards, logged=[0.3, 0.7, 0.2, 1.0], target=[0.3, 0.7, 0.2, 1.0])
    mean = on_policy_value(rewards=rewards)
    assert found["ips"] == found["snips"] == mean
    assert mean.effective == 4.0
    assert set(found) == {"ips", "snips"}


def world(rows: int, seed: int) -> dict[str, Any]:
    """Two actions; the second is worth .6 against .2. The log takes it with probability .25, the target with .8."""
    draw = np.random.default_rng(seed)
    action = draw.random(rows) < 0.25
    reward = (draw.random(rows) < np.where(action, 0.6, 0.2)).astype(float)
    return {
        "rewards": reward,
        "logged": np.where(action, 0.25, 0.75),
        "target": np.where(action, 0.8, 0.2),
        "model_logged": np.where(action, 0.5, 0.3),  # a wrong model: the doubly robust estimate stays right
        "model_target": np.full(rows, 0.8 * 0.5 + 0.2 * 0.3),
    }


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_intervals_cover_the_truth_as_often_as_they_say(name: str) -> None:
    truth = 0.8 * 0.6 + 0.2 * 0.2
    found = [policy_values(**world(2_000, seed))[name] for seed in range(400)]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert covered == pytest.approx(0.95, abs=0.033)  # three standard errors of 400 draws
    assert np.mean([each.value for each in found]) == pytest.approx(truth, abs=0.005)


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        policy_values(rewards=[1.0], logged=[0.0], target=[0.5])
    with pytest.raises(ValueError, match=r"\[N\]"):
        policy_values(rewards=[1.0, 2.0], logged=[0.5], target=[0.5])
    with pytest.raises(ValueError, match="both model_logged and model_target"):
        policy_values(rewards=[1.0], logged=[0.5], target=[0.5], model_logged=[0.1])
    two: dict[str, Any] = {"rewards": [1.0, 0.0], "logged": [0.5, 0.5], "target": [0.5, 0.5]}
    # One model value for all rows would be spread over them.
    for short in ({"model_logged": [0.1], "model_target": [0.1, 0.2]}, {"model_logged": 0.1, "model_target": 0.1}):
        with pytest.raises(ValueError, match=r"one value for each row.* for rewards \(2,\)"):
            policy_values(**two, **short)
    with pytest.raises(ValueError, match=r"model_target must be finite\. Received: nan in row 1, and 1 such rows"):
        policy_values(**two, model_logged=[0.1, 0.2], model_target=[0.1, np.nan])
    with pytest.raises(ValueError, match=r"rewards must be finite\. Received: inf in row 0"):
        policy_values(**{**two, "rewards": [np.inf, 0.0]})
    with pytest.raises(ValueError, match=r"N >= 1"):
        on_policy_value(rewards=[])


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, -0.5, float("nan")])
def test_a_level_is_a_share_and_no_percentage(confidence: float) -> None:
    rows: dict[str, Any] = {"rewards": [1.0, 0.0], "logged": [0.5, 0.5], "target": [0.5, 0.5]}
    calls = (
        lambda: policy_values(**rows, confidence=confidence),
        lambda: value_difference(**rows, baseline=[0.5, 0.5], confidence=confidence),
        lambda: on_policy_value(rewards=[1.0, 0.0], confidence=confidence),
        lambda: paired_difference(values=[1.0, 2.0], baseline=[0.0, 0.0], confidence=confidence),
        lambda: paired_gain(labels=[1, 0], baseline=[0.5, 0.5], predictions=[0.6, 0.4], confidence=confidence),
        lambda: exposure_replay(requests=[1], repeated=[True], baseline=[0.1], scores=[0.1], confidence=confidence),
    )
    for call in calls:
        with pytest.raises(ValueError, match="confidence must lie between 0 and 1") as caught:
            call()
        assert ("give 0.95" in str(caught.value)) == (confidence == 95)


def test_a_single_row_has_no_interval() -> None:
    found = on_policy_value(rewards=[1.0])
    assert found.value == 1.0
    assert np.isnan([found.low, found.high]).all()


def test_a_policy_that_never_meets_the_log_has_no_value() -> None:
    found = policy_values(rewards=[1.0, 0.0], logged=[0.5, 0.5], target=[0.0, 0.0])
    assert found["ips"].value == 0.0
    assert np.isnan(found["snips"].value)
    assert found["ips"].effective == 0.0


def test_difference_of_policies_that_share_their_rows() -> None:
    # Rows (reward, p): (1, .5), (0, .5), (1, .5), (0, .5). Target takes the first two: 1 / 2; baseline all: 1 / 2.
    shared: dict[str, Any] = {"rewards": [1, 0, 1, 0], "logged": [0.5] * 4}
    found = value_difference(**shared, target=[1, 1, 0, 0], baseline=[1, 1, 1, 1])
    assert found.value == pytest.approx(0.0)
    # Influences: target +-1 on the first two rows, baseline +-.5 on all, so .5, -.5, -.5, .5; error sqrt(.25 / 3).
    assert found.high == pytest.approx(1.959964 * (0.25 / 3) ** 0.5, rel=1e-5)
    assert found.effective == pytest.approx(2.0)
    same = value_difference(**shared, target=[0.3] * 4, baseline=[0.6] * 4)
    assert (same.value, same.low, same.high) == pytest.approx((0.0, 0.0, 0.0))


def test_no_reward_among_few_rows_does_not_mean_no_value() -> None:
    # Wilson's upper end for 0 of n: z^2 / (n + z^2).
    none = policy_values(rewards=[0.0] * 20, logged=[0.5] * 20, target=[0.5] * 20)["snips"]
    assert (none.value, none.high) == (0.0, 0.0)
    wide = widened(none)
    assert wide.value == 0.0
    assert wide.low == pytest.approx(0.0, abs=1e-12)
    assert wide.high == pytest.approx(1.959964**2 / (20 + 1.959964**2), rel=1e-5)
    # An interval that is wider already stays as it is.
    kept = PolicyValue(value=0.5, low=0.0, high=1.0, effective=400.0)
    assert widened(kept) == kept
    assert np.isnan(widened(PolicyValue(value=0.0, low=0.0, high=0.0, effective=0.0)).high)


def test_difference_of_independent_logs_by_hand() -> None:
    # Down: from .5 to .2 and up to .1 above .3, so hypot(.3, .1); up: hypot(.4, .2).
    one = PolicyValue(value=0.5, low=0.2, high=0.9, effective=10.0)
    other = PolicyValue(value=0.3, low=0.1, high=0.4, effective=5.0)
    found = independent_difference(one, other)
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - 0.1**0.5)
    assert found.high == pytest.approx(0.2 + 0.2**0.5)
    assert found.effective == 5.0
