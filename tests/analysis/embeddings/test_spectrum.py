"""Singular spectra of tables, and the numbers taken from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from fullrank import analysis
from fullrank.analysis import spectrum as spectrum_of
from fullrank.analysis.embeddings.spectrum import EXACT_ELEMENTS, Spectrum, isotropic_abundance, output_rank
from fullrank.analysis.inputs.variables import changed_rows, touched_rows


def rotated(values: Any, *, rows: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """A table `[rows, d]` with given singular values and random singular vectors."""
    draw = np.random.default_rng(seed)
    left = np.linalg.qr(draw.normal(size=(rows, len(values))))[0]
    right = np.linalg.qr(draw.normal(size=(len(values), len(values))))[0]
    table: np.ndarray[Any, Any] = (left * np.asarray(values)) @ right
    return table


@pytest.mark.parametrize("name", analysis.__all__)
def test_every_name_is_there(name: str) -> None:
    assert callable(getattr(analysis, name))


def test_a_table_worked_out_by_hand() -> None:
    # Two orthogonal columns, of length 5 and 12, and one of zeros: sigma = 12, 5, 0.
    found = spectrum_of(np.array([[3.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 12.0, 0.0]]))
    np.testing.assert_allclose(found.singular_values, [12, 5, 0], atol=1e-12)
    # IA = 17/12; p = 12/17, 5/17; squares 144, 25: their sum 169; fourth powers 20736 + 625 = 21361.
    entropy = -(12 / 17) * np.log(12 / 17) - (5 / 17) * np.log(5 / 17)
    assert found.measures() == {
        "information_abundance": pytest.approx(17 / 12),
        "relative_abundance": pytest.approx(17 / 36),
        "effective_rank": pytest.approx(np.exp(entropy)),
        "participation_ratio": pytest.approx(169**2 / 21361),
        "stable_rank": pytest.approx(169 / 144),
    }
    assert analysis.effective_rank(found.singular_values) == pytest.approx(np.exp(stats.entropy([12, 5])))


@pytest.mark.parametrize("rows", [100, 40_000])  # by an exact decomposition, and by its second moments
def test_one_direction_gives_one_and_orthonormal_columns_give_the_width(rows: int) -> None:
    assert (rows * 32 > EXACT_ELEMENTS) == (rows == 40_000)
    draw = np.random.default_rng(1)
    one = spectrum_of(np.outer(draw.normal(size=rows), draw.normal(size=32))).measures()
    all_alike = spectrum_of(np.linalg.qr(draw.normal(size=(rows, 32)))[0]).measures()
    for name in ("information_abundance", "effective_rank", "participation_ratio", "stable_rank"):
        assert one[name] == pytest.approx(1.0, abs=1e-5)
        assert all_alike[name] == pytest.approx(32.0)
    assert one["relative_abundance"] == pytest.approx(1 / 32, abs=1e-6)
    assert all_alike["relative_abundance"] == pytest.approx(1.0)


def test_large_tables_have_the_spectrum_of_an_exact_decomposition() -> None:
    values = 10.0 ** -np.linspace(0, 6, 30)
    table = rotated(values, rows=50_000)
    found = spectrum_of(table)
    assert table.size > EXACT_ELEMENTS
    # The squares carry relative errors of 1e-16 of the largest one: at 1e-6 of sigma_1 that is about 1e-4.
    np.testing.assert_allclose(found.singular_values, values, rtol=1e-3)
    exact = np.linalg.svd(table, full_matrices=False)[2]
    np.testing.assert_allclose(np.abs(np.sum(found.directions[:, :10] * exact.T[:, :10], axis=0)), 1.0, atol=1e-6)
    single = spectrum_of(table.astype(np.float32))
    assert analysis.information_abundance(single.singular_values) == pytest.approx(values.sum(), rel=1e-5)


def test_cardinality_bounds_information_abundance_but_not_its_share() -> None:
    found = spectrum_of(np.eye(3, 16)).measures()
    assert found["information_abundance"] == pytest.approx(3.0)
    assert found["relative_abundance"] == pytest.approx(1.0)


@pytest.mark.parametrize("rows", [300, 60_000])
def test_rows_that_were_never_trained_hide_a_collapse_unless_they_are_left_out(rows: int) -> None:
    draw = np.random.default_rng(2)
    trained = draw.random(rows) < 0.3
    table = draw.uniform(-0.05, 0.05, (rows, 20))
    table[trained] = np.outer(draw.normal(size=trained.sum()), draw.normal(size=20)) * 0.01
    everything, left = spectrum_of(table), spectrum_of(table, rows=trained)
    assert everything.measures()["information_abundance"] > 8
    assert left.measures()["information_abundance"] == pytest.approx(1.0, abs=1e-5)
    assert (everything.rows, left.rows) == (rows, trained.sum())


@pytest.mark.parametrize("rows", [200, 60_000])
def test_weights_count_a_row_as_often_as_it_is_looked_up(rows: int) -> None:
    draw = np.random.default_rng(3)
    table, counts = draw.normal(size=(rows, 20)), draw.integers(0, 4, rows)
    weighted, repeated = spectrum_of(table, weights=counts), spectrum_of(np.repeat(table, counts, axis=0))
    np.testing.assert_allclose(weighted.singular_values, repeated.singular_values, rtol=1e-9)
    some = draw.random(rows) < 0.5
    both = spectrum_of(table, rows=some, weights=counts)
    np.testing.assert_allclose(both.singular_values, spectrum_of(table[some], weights=counts[some]).singular_values)


@pytest.mark.parametrize("table", [np.zeros((4, 3)), np.zeros((0, 3))])
def test_a_table_without_anything_in_it_has_no_direction(table: np.ndarray[Any, Any]) -> None:
    found = spectrum_of(table)
    assert isinstance(found, Spectrum)
    assert set(found.measures().values()) == {0.0}


def test_tiny_and_huge_tables_do_not_under_or_overflow() -> None:
    for scale in (1e-30, 1e30):
        found = spectrum_of(np.diag([4.0, 2.0, 1.0]).astype(np.float32) * np.float32(scale)).measures()
        assert found["information_abundance"] == pytest.approx(1.75)
        assert found["participation_ratio"] == pytest.approx(21**2 / 273)


def test_invalid_tables_rows_and_weights() -> None:
    table = np.ones((4, 2))
    with pytest.raises(ValueError, match=r"two axes, rows and width\. Received: shape \(4,\)"):
        spectrum_of(np.ones(4))
    with pytest.raises(ValueError, match=r"rows must be 4 booleans\. Received: int64"):
        spectrum_of(table, rows=np.arange(4))
    with pytest.raises(ValueError, match=r"weights must be 4 numbers\. Received: shape \(3,\)"):
        spectrum_of(table, weights=np.ones(3))
    with pytest.raises(ValueError, match="weights must be finite and not negative"):
        spectrum_of(table, weights=np.array([1, 1, 1, -1]))
    for bad in (np.nan, np.inf):
        for rows in (4, 2**20):
            table = np.ones((rows, 2), np.float32)
            table[1, 1] = bad
            with pytest.raises(ValueError, match="not finite"):
                spectrum_of(table)


def test_sub_embeddings_collapse_with_the_projection() -> None:
    draw = np.random.default_rng(4)
    table = draw.normal(size=(500, 6))
    kernel = draw.normal(size=(12, 12))  # two fields of width 6
    kernel[:6, 6:] = np.outer(draw.normal(size=6), draw.normal(size=6))  # what field 0 shows to field 1: one direction
    projections = analysis.pair_projections(kernel, fields=2)
    np.testing.assert_array_equal(projections[0, 1], kernel[:6, 6:])
    found = analysis.partner_singular_values(table, projections[0])
    for partner in range(2):
        exact = np.linalg.svd(table @ projections[0, partner], compute_uv=False)
        np.testing.assert_allclose(found[partner], exact, atol=1e-10)
    assert analysis.information_abundance(found[1]) == pytest.approx(1.0)
    assert analysis.information_abundance(found[0]) > 2
    with pytest.raises(ValueError, match=r"cross matrix of 5 fields is \[F d, F d\]. Received: shape \(12, 12\)"):
        analysis.pair_projections(kernel, fields=5)


def test_slots_tell_which_rows_were_trained() -> None:
    momentum = np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(touched_rows(momentum), [False, True, True])
    accumulator = np.full((4, 2), 0.1, np.float32)
    accumulator[2, 1] = 0.3
    np.testing.assert_array_equal(touched_rows(accumulator), [False, False, True, False])
    # Another initial value is known by the rows that share it; a smallest value of one row is just that.
    np.testing.assert_array_equal(touched_rows(np.array([0.7, 0.9, 0.7])), [False, True, False])
    np.testing.assert_array_equal(touched_rows(np.array([0.7, 0.9, 0.8])), [True, True, True])
    np.testing.assert_array_equal(touched_rows(np.array([0.0, 0.9, 0.8])), [False, True, True])
    assert touched_rows(np.zeros((0, 3))).shape == (0,)


def test_initial_values_tell_which_rows_were_trained() -> None:
    initial = np.ones((3, 2), np.float32)
    values = initial.copy()
    values[1, 0] += 1e-6
    np.testing.assert_array_equal(changed_rows(values, initial), [False, True, False])


def test_isotropic_abundance_in_its_limits_and_against_drawn_tables() -> None:
    # Square: the mean of a quarter circle's distances on [0, 2] is 8 / (3 pi), and the largest is 2.
    assert isotropic_abundance(rows=30, width=30) == pytest.approx(30 * 4 / (3 * np.pi), rel=1e-3)
    assert isotropic_abundance(rows=10**9, width=16) == pytest.approx(16, rel=1e-3)
    assert isotropic_abundance(rows=0, width=16) == 0.0
    draw = np.random.default_rng(0)
    for rows, width in ((400, 16), (16, 400), (1000, 64), (64, 64)):
        drawn = [
            spectrum_of(draw.uniform(-1, 1, size=(rows, width))).measures()["information_abundance"] for _ in range(5)
        ]
        assert np.mean(drawn) == pytest.approx(isotropic_abundance(rows=rows, width=width), rel=0.05)


def test_output_rank_leaves_the_mean_out() -> None:
    draw = np.random.default_rng(1)
    # Two directions of equal size around a large mean: effective rank 2, where the mean alone would be nearly all.
    sample = 100.0 + draw.normal(size=(5000, 2)) @ np.eye(2, 8)
    assert output_rank(sample) == pytest.approx(2.0, rel=1e-3)
    assert output_rank(np.full((10, 3), 7.0)) == 0.0
