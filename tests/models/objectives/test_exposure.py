"""Repetitive exposure: history, weights, and what ranking by score shows again ([Tencent] §6.2)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data.exposures.history import exposure_history
from fullrank.models.objectives import exposure_weights, repetition_weights

NAN = float("nan")


def test_history_by_hand() -> None:
    # tau = 1 / ln 2 days, so that a day halves. User a, ad x: days 0, 1, 3. The second saw 1 exposure, now worth 1/2;
    # the third (1/2 + 1) / 4 = 3/8.
    day = 86_400
    history = exposure_history(
        users=["a", "a", "b", "a", "a"],
        ads=["x", "x", "x", "y", "x"],
        times=np.array([3 * day, 0, 1 * day, 1 * day, 1 * day]),
        tau_days=1 / np.log(2),
    )
    np.testing.assert_array_equal(history.earlier_count, [2, 0, 0, 0, 1])
    np.testing.assert_allclose(history.decayed_count, [3 / 8, 0, 0, 0, 1 / 2])
    np.testing.assert_allclose(history.gap_days, [2, NAN, NAN, NAN, 1])


def test_history_equals_the_double_loop() -> None:
    generator = np.random.default_rng(0)
    users, ads = generator.integers(0, 12, 400), generator.integers(0, 3, 400).astype(str)
    times = generator.integers(0, 60, 400) * 20_000_000 + 1_700_000_000_000  # with ties; milliseconds
    history = exposure_history(users=users, ads=ads, times=times, tau_days=0.7, units_per_day=86_400_000)
    for i in range(400):
        earlier = [j for j in range(400) if users[j] == users[i] and ads[j] == ads[i] and (times[j], j) < (times[i], i)]
        days = [(times[i] - times[j]) / 86_400_000 for j in earlier]
        assert history.earlier_count[i] == len(earlier)
        np.testing.assert_allclose(history.decayed_count[i], np.sum(np.exp(-np.array(days) / 0.7)), rtol=1e-12)
        np.testing.assert_allclose(history.gap_days[i], min(days) if days else NAN)


def test_long_history_neither_overflows_nor_forgets() -> None:
    # A thousand exposures in the same second count fully; a gap of 10^6 days forgets them all.
    history = exposure_history(users=[1] * 1001, ads=[1] * 1001, times=[0] * 1000 + [86_400 * 10**6], tau_days=1.0)
    np.testing.assert_array_equal(history.decayed_count[:1000], np.arange(1000))
    assert history.decayed_count[1000] == 0.0
    assert history.earlier_count[1000] == 1000


def test_history_without_columns_or_with_bad_ones() -> None:
    assert [len(column) for column in exposure_history(users=[], ads=[], times=[])] == [0, 0, 0]
    with pytest.raises(ValueError, match="received 1 times and 2 users"):
        exposure_history(users=[1, 2], ads=[1, 2], times=[0])
    with pytest.raises(ValueError, match="1 are NaN"):
        exposure_history(users=[1, 2], ads=[1, 2], times=[0.0, NAN])
    with pytest.raises(ValueError, match="one user and one ad"):
        exposure_history(users=[1, 2], ads=[1], times=[0, 1])
    with pytest.raises(ValueError, match="tau_days"):
        exposure_history(users=[1], ads=[1], times=[0], tau_days=0.0)


def test_repetition_weights_by_hand() -> None:
    # alpha = 1/2, tau = 1 / ln 2. Count 3 (with the present one 4), gap 1: (4 + 1/2) / 2 = 2.25, literally
    # (4 + 1) / 2 = 2.5; without the present one (3 + 1/2) / 2 = 1.75. Count 0.1, gap 9: below 1, hence 1 (literally
    # (1.1 + 9) / 2 = 5.05, the old repeat weighing most). A first exposure has 1.
    count, gap = tf.constant([3.0, 0.1, 0.0]), tf.constant([1.0, 9.0, NAN])
    tau = 1 / float(np.log(2))
    np.testing.assert_allclose(repetition_weights(count=count, gap_days=gap, tau_days=tau), [2.25, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(repetition_weights(count=count, gap_days=gap, recency="gap"), [2.5, 5.05, 1], rtol=1e-6)
    np.testing.assert_allclose(
        repetition_weights(count=count, gap_days=gap, tau_days=tau, include_current=False), [1.75, 1, 1], rtol=1e-6
    )
    with pytest.raises(ValueError, match="recency"):
        repetition_weights(count=count, gap_days=gap, recency="days")  # type: ignore[arg-type]


def test_exposure_weights_by_hand() -> None:
    # Negatives weigh 1 and 3, so positives 2; what was not observed weighs nothing.
    labels, repetition = tf.constant([0.0, 0.0, 1.0, NAN]), tf.constant([1.0, 3.0, 9.0, 9.0])
    np.testing.assert_array_equal(exposure_weights(labels=labels, repetition=repetition), [1, 3, 2, 0])
    # With weights 3 and 1 the mean over negatives is (3 * 1 + 1 * 3) / 4 = 1.5.
    weights = tf.constant([3.0, 1.0, 2.0, 1.0])
    given = exposure_weights(labels=labels, repetition=repetition, weights=weights)
    np.testing.assert_array_equal(given, [3, 3, 3, 0])


@pytest.mark.parametrize("weighted", [False, True])
def test_share_of_positives_stays(weighted: bool) -> None:
    generator = np.random.default_rng(1)
    labels = (generator.random(3000) < 0.03).astype(np.float32)
    repetition = tf.constant(1 + generator.exponential(3, 3000), tf.float32)
    own = generator.random(3000).astype(np.float32) if weighted else np.ones(3000, np.float32)
    given = (
        exposure_weights(
            labels=tf.constant(labels), repetition=repetition, weights=tf.constant(own) if weighted else None
        )
        .numpy()
        .astype(np.float64)
    )
    assert abs(np.sum(given * labels) / np.sum(given) - np.average(labels, weights=own)) < 1e-6


def test_positives_alone_keep_their_weight() -> None:
    given = exposure_weights(labels=tf.ones(2), repetition=tf.constant([4.0, 1.0]))
    np.testing.assert_array_equal(given, [1.0, 1.0])
