"""How differently two embedding sets embed a field."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from fullrank.analysis import diversity


def test_principal_angles_by_hand() -> None:
    # Column spaces span(a, b) and span(a, c cos t + b sin t), with a, b, c orthonormal: angles 0 and 90 degrees - t.
    a, b, c = np.eye(5)[:, :1], np.eye(5)[:, 1:2], np.eye(5)[:, 2:3]
    first = np.hstack([a, b])
    second = np.hstack([a, 0.8 * c + 0.6 * b])
    found = diversity(first, second)
    np.testing.assert_allclose(found.cosines, [1.0, 0.6])
    assert found.ranks == (2, 2)
    assert found.index == pytest.approx(1 - 1.6 / 2)
    assert found.at_random == pytest.approx(1 - (2 / 5) ** 0.5)


def test_cosines_are_those_of_scipy() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(60, 4)), draw.normal(size=(60, 7))
    angles = linalg.subspace_angles(first, second)
    found = diversity(first, second)
    np.testing.assert_allclose(found.cosines, np.sort(np.cos(angles))[::-1], atol=1e-10)
    assert found.ranks == (4, 7)


@pytest.mark.parametrize("rows", [100, 60_000])
def test_a_linear_map_changes_nothing_and_orthogonal_spaces_are_most_diverse(rows: int) -> None:
    draw = np.random.default_rng(1)
    basis = np.linalg.qr(draw.normal(size=(rows, 40)))[0]
    first, other = basis[:, :20] @ draw.normal(size=(20, 20)), basis[:, 20:]
    assert diversity(first, first @ draw.normal(size=(20, 20))).index == pytest.approx(0.0, abs=1e-6)
    assert diversity(first, other).index == pytest.approx(1.0, abs=1e-6)


def test_random_tables_are_at_least_as_diverse_as_promised() -> None:
    draw = np.random.default_rng(2)
    found = diversity(draw.normal(size=(400, 16)), draw.normal(size=(400, 16)))
    assert found.index is not None
    assert found.at_random is not None
    assert found.at_random == pytest.approx(0.8)
    assert found.at_random < found.index < found.at_random + 0.1


def test_collapsed_directions_do_not_count() -> None:
    draw = np.random.default_rng(3)
    shared = draw.normal(size=(300, 2))
    first, second = (np.hstack([shared, 1e-6 * draw.normal(size=(300, 6))]) for _ in range(2))
    found = diversity(first, second)
    assert found.ranks == (2, 2)
    assert found.index == pytest.approx(0.0, abs=1e-6)
    assert diversity(first, second, tolerance=0.0).ranks == (8, 8)


def test_only_rows_that_count_are_compared() -> None:
    draw = np.random.default_rng(4)
    first, second = draw.normal(size=(200, 5)), draw.normal(size=(200, 5))
    rows = draw.random(200) < 0.5
    second[rows] = first[rows]
    assert diversity(first, second, rows=rows).index == pytest.approx(0.0, abs=1e-9)
    assert diversity(first, second, rows=~rows).index == diversity(first[~rows], second[~rows]).index


@pytest.mark.parametrize("rows", [0, 3, 4])
def test_a_field_of_few_rows_has_no_verdict(rows: int) -> None:
    draw = np.random.default_rng(5)
    found = diversity(draw.normal(size=(rows, 4)), draw.normal(size=(rows, 4)))
    assert found.index is None
    assert found.at_random is None


def test_a_table_of_zeros_has_no_verdict() -> None:
    assert diversity(np.zeros((9, 2)), np.ones((9, 2))).index is None


def test_tables_of_different_fields_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equal rows. Received: 3 and 4"):
        diversity(np.ones((3, 2)), np.ones((4, 2)))
