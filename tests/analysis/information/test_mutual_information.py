"""Mutual information of counts, its bias and its chance level."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import expected_mutual_information

from fullrank.analysis.information.mutual_information import (
    chance_information,
    information,
    miller_madow_bias,
    mutual_information,
    permuted_information,
)

TABLES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=8).filter(
    lambda rows: sum(map(sum, rows)) > 0
)


def by_hand(table: np.ndarray) -> float:
    """The sum as it is printed, over cells that occur."""
    total = table.sum()
    return math.fsum(
        table[x, y] / total * math.log(table[x, y] * total / (table[x].sum() * table[:, y].sum()))
        for x, y in np.ndindex(*table.shape)
        if table[x, y]
    )


def test_a_table_computed_by_hand() -> None:
    """Shares .4 .1 / .1 .4: margins are all 1/2, so MI = .8 ln 1.6 + .2 ln .4 = .376003 - .183258 = .192745."""
    assert mutual_information([[4, 1], [1, 4]]) == pytest.approx(0.1927448, abs=1e-7)
    assert mutual_information([[5, 0], [0, 5]]) == pytest.approx(math.log(2), abs=1e-15)
    assert mutual_information([[2, 4], [1, 2]]) == pytest.approx(0.0, abs=1e-15)


@given(TABLES)
def test_it_equals_the_sum_as_printed_and_scikit_learn(rows: list[tuple[int, int]]) -> None:
    table = np.array(rows)
    x, y = (np.repeat(values, table.ravel()) for values in np.indices(table.shape).reshape(2, -1))
    assert float(mutual_information(table)) == pytest.approx(by_hand(table), abs=1e-12)
    assert float(mutual_information(table)) == pytest.approx(max(0.0, mutual_info_score(x, y)), abs=1e-12)


def test_large_counts_lose_nothing() -> None:
    """11 million examples that depend by 6e-12 nats."""
    table = np.array([[5_000_000, 500_000], [4_000_000, 400_010]])
    assert float(mutual_information(table)) == pytest.approx(by_hand(table), abs=1e-14)


def test_many_tables_at_once_and_sums_of_probabilities() -> None:
    draw = np.random.default_rng(0)
    tables = draw.random((3, 4, 5, 2))
    found = mutual_information(tables)
    assert found.shape == (3, 4)
    assert found[1, 2] == pytest.approx(by_hand(tables[1, 2]), abs=1e-14)
    assert np.isnan(mutual_information(np.zeros((2, 2))))
    assert np.isnan(miller_madow_bias(np.zeros((2, 2))))


def test_bias_of_first_order() -> None:
    """Three values and two labels, all six cells occur: (6 - 3 - 2 + 1) / (2 * 12) = 1/12."""
    assert miller_madow_bias([[1, 1], [2, 2], [3, 3]]) == pytest.approx(1 / 12)
    # Probabilities that spread half as much as labels are half as biased.
    assert miller_madow_bias([[1, 1], [2, 2], [3, 3]], noise=0.5) == pytest.approx(1 / 24)


def test_chance_is_the_mean_over_all_permutations() -> None:
    """Six examples have 6!/(2! 4!) = 15 different label vectors, each as often among the permutations."""
    x = np.array([0, 0, 0, 1, 1, 2])
    values = []
    for ones in itertools.combinations(range(6), 2):
        table = np.zeros((3, 2), int)
        np.add.at(table, (x, np.isin(np.arange(6), ones).astype(int)), 1)
        values.append(by_hand(table))
    assert chance_information(np.array([[3, 0], [1, 1], [0, 1]])) == pytest.approx(np.mean(values), abs=1e-14)


@given(TABLES)
def test_chance_equals_scikit_learns_expectation(rows: list[tuple[int, int]]) -> None:
    table = np.array(rows)
    table = table[table.sum(1) > 0]
    # A label of one value has no information, by any permutation; scikit-learn takes its logarithm.
    expected = expected_mutual_information(table, int(table.sum())) if table.sum(0).all() else 0.0
    assert chance_information(table) == pytest.approx(expected, abs=1e-11)


def test_independent_columns_have_none_on_average() -> None:
    """400 draws of 50 values and 2,000 independent labels: plug-in is biased by about 49 / 4,000."""
    draw = np.random.default_rng(1)
    plugin, corrected, first_order = [], [], []
    for _ in range(400):
        table = np.zeros((50, 2), np.int64)
        np.add.at(table, (draw.integers(0, 50, 2000), (draw.random(2000) < 0.3).astype(int)), 1)
        plugin.append(float(mutual_information(table)))
        corrected.append(plugin[-1] - chance_information(table))
        first_order.append(plugin[-1] - float(miller_madow_bias(table)))
    error = np.std(corrected) / 20
    assert abs(np.mean(corrected)) < 3 * error
    assert abs(np.mean(first_order)) < 3 * error + 0.02 * 49 / 4000  # of first order only
    assert np.mean(plugin) == pytest.approx(49 / 4000, rel=0.05)


def test_permutations_spread_around_chance_and_cover_independent_columns() -> None:
    draw = np.random.default_rng(2)
    inside = 0
    for trial in range(60):
        table = np.zeros((20, 2), np.int64)
        np.add.at(table, (draw.integers(0, 20, 500), (draw.random(500) < 0.2).astype(int)), 1)
        found = information(table, draws=100, seed=trial)
        inside += found.low <= found.plugin <= found.high
        assert found.low < found.chance < found.high
    assert inside >= 52  # 95 % of 60 are 57
    drawn = permuted_information(table, draws=4000, seed=3)
    assert drawn.mean() == pytest.approx(chance_information(table), abs=4 * drawn.std() / 4000**0.5)


def test_dependence_is_distinguished_from_chance() -> None:
    found = information(np.array([[900, 100], [700, 300]]), draws=200, seed=1)
    assert (found.examples, found.values) == (2000, 2)
    assert found.corrected > found.high - found.chance > 0
    assert found.p_value == pytest.approx(1 / 201)
    constant = information(np.array([[900, 100], [0, 0]]), draws=20, seed=1)
    assert (constant.values, constant.plugin, constant.chance) == (1, 0.0, 0.0)
    assert constant.p_value == 1.0
    empty = information(np.zeros((2, 2), np.int64), draws=20, seed=1)
    assert empty.to_json()["plugin"] is None


@pytest.mark.parametrize("counts", [[[1.0, 2.0]], [[1, 2, 3]], [[-1, 2]], [1, 2]])
def test_other_counts_are_refused(counts: list[float]) -> None:
    with pytest.raises(ValueError, match=r"whole numbers \[R, 2\]"):
        chance_information(counts)


def test_an_interval_needs_draws() -> None:
    with pytest.raises(ValueError, match="draws >= 20"):
        information(np.array([[1, 2]]), draws=5, seed=1)
