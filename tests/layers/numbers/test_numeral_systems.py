"""Multiple Numeral Systems: the paper's example, digits against Python's own arithmetic, and the map to integers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from fullrank import layers
from fullrank.layers.numbers.numeral_systems import (
    digit_rows,
    digits_of,
    passed_edges,
    reached_edges,
    scaled_integers,
    table_rows,
)


def digits(value: int, *, base: int, bits: int) -> list[int]:
    """Digits, highest first, from the rows that one base gives."""
    rows = digit_rows(tf.constant([value], tf.int64), bases=(base,), bits=bits).numpy()[0]
    return [int(row - 1 - base * place) for place, row in enumerate(rows)][::-1]


def test_the_papers_example() -> None:
    # 51 = 32 + 16 + 2 + 1 = 27 + 2 * 9 + 2 * 3 + 0
    assert digits(51, base=2, bits=6) == [1, 1, 0, 0, 1, 1]
    assert digits(51, base=3, bits=6) == [1, 2, 2, 0]


def test_127_and_128_share_no_binary_digit_but_one_ternary_digit() -> None:
    # 127 = 11201 and 128 = 11202 in base 3: all but the last digit are the same.
    assert all(a != b for a, b in zip(digits(127, base=2, bits=8), digits(128, base=2, bits=8), strict=True))
    ternary = digits(127, base=3, bits=8), digits(128, base=3, bits=8)
    assert ternary == ([0, 1, 1, 2, 0, 1], [0, 1, 1, 2, 0, 2])


@pytest.mark.parametrize(
    ("base", "bits", "count"), [(2, 8, 8), (3, 8, 6), (10, 8, 3), (3, 1, 1), (4, 8, 4), (2, 31, 31)]
)
def test_number_of_digits(base: int, bits: int, count: int) -> None:
    assert digits_of(base=base, bits=bits) == count


def test_rows_of_the_table() -> None:
    # missing + 2 * 8 + 3 * 6 + 10 * 3
    assert table_rows(bases=(2, 3, 10), bits=8) == 1 + 16 + 18 + 30


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**20 - 1), st.integers(2, 12))
def test_digits_spell_the_number(value: int, base: int) -> None:
    spelled = 0
    for digit in digits(value, base=base, bits=20):
        assert 0 <= digit < base
        spelled = spelled * base + digit
    assert spelled == value


def test_bases_do_not_share_rows_and_missing_has_its_own() -> None:
    rows = digit_rows(tf.constant([0, 1, 2, 3, -1], tf.int64), bases=(2, 3), bits=2).numpy()
    # Base 2 owns rows 1-4 (two digits), base 3 rows 5-10 (two digits).
    np.testing.assert_array_equal(rows, [[1, 3, 5, 8], [2, 3, 6, 8], [1, 4, 7, 8], [2, 4, 5, 9], [0, 0, 0, 0]])


def test_linear_map_by_hand() -> None:
    # 0..10 to 0..15: 4 -> 6, 5 -> 7.5 which rounds to the even 8; outside is clipped; NaN is missing.
    values = tf.constant([[0.0], [4.0], [5.0], [10.0], [-3.0], [99.0], [float("nan")]], tf.float64)
    integers = scaled_integers(values, tf.constant([[0.0, 10.0]], tf.float64), bits=4).numpy()[:, 0]
    np.testing.assert_array_equal(integers, [0, 6, 8, 15, 0, 15, -1])


def test_quantile_map_spreads_a_skewed_number_evenly() -> None:
    skewed = np.exp(3 * np.random.default_rng(0).normal(size=4000)).astype(np.float32)
    knots = np.quantile(skewed, np.linspace(0, 1, 257)).astype(np.float32)
    integers = scaled_integers(
        tf.constant(skewed[:, None], tf.float64), tf.constant(knots[None], tf.float64), bits=8
    ).numpy()[:, 0]
    counts = np.bincount(integers // 32, minlength=8)
    assert counts.min() > 0.9 * 500
    assert counts.max() < 1.1 * 500


def test_coinciding_knots_keep_the_order() -> None:
    knots = tf.constant([[0.0, 0.0, 0.0, 1.0, 2.0]], tf.float64)
    values = tf.constant([[-1.0], [0.0], [0.5], [1.0], [2.0]], tf.float64)
    # Places 0..4 of 5 knots; 0 lies on places 0, 1, 2 and maps to 1; times 100 / 4 (bits 7: 127 / 4).
    integers = scaled_integers(values, knots, bits=7).numpy()[:, 0]
    np.testing.assert_array_equal(integers, [0, 32, 79, 95, 127])


def test_what_lies_beyond_coinciding_ends_maps_to_the_ends() -> None:
    knots = tf.constant([[1.0, 1.0, 2.0, 5.0, 5.0]], tf.float64)
    values = tf.constant([[-np.inf], [0.0], [1.0], [5.0], [7.0], [np.inf]], tf.float64)
    # The first and the last two places lie together: their middles are .5 and 3.5 of 4, times 127 / 4.
    integers = scaled_integers(values, knots, bits=7).numpy()[:, 0]
    np.testing.assert_array_equal(integers, [0, 0, 16, 111, 127, 127])


def test_layer_sums_digit_rows_by_hand() -> None:
    # 5 of 0..7 in base 2 is 101: rows 1 + 1, 3 + 0, 5 + 1; row r holds 10^r. A missing number reads row 0, once.
    layer = layers.MultipleNumeralSystem(1, bases=(2,), bits=3, low=0.0, high=7.0)
    layer(tf.zeros([1]))
    layer.set_weights([10.0 ** np.arange(7)[:, None]])
    output = layer(tf.constant([5.0, float("nan")])).numpy()[:, 0]
    np.testing.assert_allclose(output, [1e2 + 1e3 + 1e6, 1.0])


def test_near_numbers_have_near_embeddings() -> None:
    layer = layers.MultipleNumeralSystem(64, bases=(2, 3), bits=8, low=0.0, high=255.0)
    embedded = layer(tf.range(256, dtype=tf.float32)).numpy()
    distance = np.linalg.norm(embedded[:, None] - embedded[None], axis=-1)
    assert np.diagonal(distance, 1).mean() < 0.8 * np.diagonal(distance, 100).mean()


@pytest.mark.parametrize("knots", [(1.0,), (2.0, 1.0)])
def test_knots_that_make_no_map(knots: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="do not decrease"):
        layers.MultipleNumeralSystem(4, knots=knots)


@pytest.mark.parametrize(("base", "bits"), [(1, 8), (2, 0), (2, 32)])
def test_invalid_numeral_systems(base: int, bits: int) -> None:
    with pytest.raises(ValueError, match="base >= 2 and 1 to 31 bits"):
        digits_of(base=base, bits=bits)


def test_summing_the_digits_of_every_integer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = tf.constant([[0.1, 3.0], [float("nan"), 0.5], [0.1, -1.0], [0.99, 0.0]])
    layer = layers.MultipleNumeralSystem(3, bases=(2, 3, 5), bits=6)

    def outputs() -> tuple[np.ndarray, np.ndarray]:
        with tf.GradientTape() as tape:
            embedded = layer(values)
            loss = tf.reduce_sum(tf.square(embedded - 0.1))
        gradient = tape.gradient(loss, layer.trainable_variables[0])
        return embedded.numpy(), tf.convert_to_tensor(gradient).numpy()

    summed = outputs()
    monkeypatch.setattr("fullrank.layers.numbers.multiple_numeral_system._SUMMED_BITS", 0)
    looked_up = outputs()
    for one, other in zip(summed, looked_up, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bits", [4, 12], ids=["summed", "looked up"])
def test_the_missing_row_gets_the_gradient_of_one_row(bits: int) -> None:
    # d sum(e) / d row: 1 for every row that is read, however many digits a known number has.
    layer = layers.MultipleNumeralSystem(1, bases=(2, 3), bits=bits)
    layer(tf.zeros([1]))
    with tf.GradientTape() as tape:
        output = tf.reduce_sum(layer(tf.constant([float("nan")])))
    gradient = tf.convert_to_tensor(tape.gradient(output, layer.trainable_variables[0])).numpy()[:, 0]
    np.testing.assert_array_equal(gradient, [1.0] + [0.0] * (len(gradient) - 1))


@pytest.mark.parametrize("dtype", [tf.float64, tf.int32, tf.int64])
def test_neighbours_above_24_bits_keep_codes_of_their_own(dtype: tf.DType) -> None:
    layer = layers.MultipleNumeralSystem(1, bases=(2,), bits=31, low=0.0, high=2.0**31 - 1)
    layer(tf.zeros([1], dtype))
    # Digit k of value 1 reads row 2 k + 2, which holds k: the sum is the sum of the places of the ones.
    layer.set_weights([np.array([[row // 2 - 1.0 if row % 2 == 0 and row else 0.0] for row in range(63)])])
    values = [2**30, 2**30 + 1, 2**30 + 2, 2**31 - 2, 2**31 - 1]
    output = layer(tf.constant(values, dtype)).numpy()[:, 0]
    np.testing.assert_array_equal(output, [30.0, 30.0, 31.0, sum(range(1, 31)), sum(range(31))])
    integers = layer._integers(tf.constant(values, dtype)).numpy()[:, 0]
    np.testing.assert_array_equal(integers, values)


@pytest.mark.parametrize(("dtype", "bits"), [(tf.float32, 25), (tf.float16, 12), (tf.bfloat16, 9)])
def test_a_type_that_cannot_hold_the_range_is_refused(dtype: tf.DType, bits: int) -> None:
    layers.MultipleNumeralSystem(1, bits=bits - 1)(tf.zeros([1], dtype))
    with pytest.raises(ValueError, match=f"'digits'.*float64 or as integers.*Received: bits={bits}, {dtype.name}"):
        layers.MultipleNumeralSystem(1, bits=bits, name="digits")(tf.zeros([1], dtype))


@pytest.mark.parametrize("bases", [(), (2, 2), (2, 3, 2)])
def test_no_base_or_one_twice_is_refused(bases: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"each once\. Received: bases="):
        layers.MultipleNumeralSystem(1, bases=bases)


@pytest.mark.parametrize("knots", [(0.0, float("inf")), (-1e39, 1e39), (0.0, float("nan"))])
def test_knots_that_are_not_numbers_are_rejected(knots: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="Received: "):
        layers.MultipleNumeralSystem(1, knots=knots)


EDGES = np.array([[-np.inf, -1.0, 0.0, 0.0, 0.5, np.inf], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]], np.float32)


@pytest.mark.parametrize("number", [1, 2, 3, 6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reached_and_passed_edges_are_numpys(number: int, dtype: Any) -> None:
    edges = EDGES[:, :number].astype(dtype)
    values = np.array([-np.inf, -2.0, -1.0, -0.0, 0.0, 0.1, 0.25, 0.5, 3.0, np.inf], np.float32).astype(dtype)
    both = tf.constant(np.stack([values, values], axis=1))
    sides: tuple[tuple[Any, Literal["left", "right"]], ...] = ((reached_edges, "right"), (passed_edges, "left"))
    for found, side in sides:
        expected = np.stack([np.searchsorted(each, values, side=side) for each in edges], axis=1)
        np.testing.assert_array_equal(found(both, tf.constant(edges)).numpy(), expected)
    assert (reached_edges(tf.fill([1, 2], tf.constant(np.nan, dtype)), tf.constant(edges)).numpy() == 0).all()


@pytest.mark.parametrize("number", [7, 8, 31, 257])
def test_reached_and_passed_edges_of_random_ones_with_ties(number: int) -> None:
    draw = np.random.default_rng(number)
    edges = np.sort(draw.integers(-40, 40, (3, number)) / 8, axis=1).astype(np.float32)
    values = (draw.integers(-50, 50, (500, 3)) / 8).astype(np.float32)
    sides: tuple[tuple[Any, Literal["left", "right"]], ...] = ((reached_edges, "right"), (passed_edges, "left"))
    for found, side in sides:
        expected = np.stack([np.searchsorted(edges[k], values[:, k], side=side) for k in range(3)], axis=1)
        np.testing.assert_array_equal(found(tf.constant(values), tf.constant(edges)).numpy(), expected)
