"""Rows of tables in fewer bytes, against a slow reference that quantises one number after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fullrank import layers
from fullrank.layers.embedding import compact_rows
from fullrank.layers.embedding.compact_rows import CompactRows, int8_rows
from fullrank.layers.embedding.lookup_plan import Field, LookupPlan, Lookups, Table

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).tiny)


def reference(values: np.ndarray[Any, Any]) -> tuple[list[list[int]], list[float]]:
    """Codes and scales of rows, in Python's own numbers."""
    codes, scales = [], []
    for row in values.tolist():
        largest = max(abs(value) for value in row)
        scale = float(np.float32(largest) / np.float32(127))
        if scale < SMALLEST:
            scales.append(0.0)
            codes.append([0] * len(row))
            continue
        scales.append(scale)
        codes.append([max(-127, min(127, round(value / scale))) for value in row])
    return codes, scales


def test_rows_are_those_of_the_reference() -> None:
    draw = np.random.default_rng(2)
    values = (draw.normal(size=(300, 8)) * 10.0 ** draw.integers(-6, 6, (300, 1))).astype(np.float32)
    codes, scales = int8_rows(values)
    expected, of_rows = reference(values)
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(scales[:, 0], np.array(of_rows, np.float32))
    # A quotient that lies between two whole numbers may be rounded to either in float32.
    different = codes != np.array(expected)
    assert different.mean() < 1e-3
    assert np.abs(codes.astype(int) - expected).max() <= 1


@settings(max_examples=60)
@given(
    arrays.arrays(
        np.float32, (3, 4), elements=st.floats(-LARGEST, LARGEST, width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_half_a_scale_is_the_largest_error(values: np.ndarray[Any, Any]) -> None:
    codes, scales = int8_rows(values)
    back = codes.astype(np.float32) * scales
    assert np.isfinite(back).all()
    wide = np.abs(back.astype(np.float64) - values)
    bound = np.where(scales > 0, scales.astype(np.float64) / 2, 127 * SMALLEST)
    assert (wide <= bound * (1 + 1e-4)).all()


@pytest.mark.parametrize(
    ("row", "codes"),
    [
        ([0.0, 0.0, -0.0], [0, 0, 0]),
        ([1e-40, 0.0, 1e-45], [0, 0, 0]),
        ([LARGEST, -LARGEST, 0.0], [127, -127, 0]),
        ([LARGEST, 1.0, 0.0], [127, 0, 0]),
        ([127.0, -63.0, 1.0], [127, -63, 1]),
    ],
    ids=["zeros", "too small", "largest", "an outlier", "exact"],
)
def test_rows_at_the_edges(row: list[float], codes: list[int]) -> None:
    table = tf.Variable(np.array([row], np.float32))
    compact = CompactRows(table, "int8")
    np.testing.assert_array_equal(compact.stored.numpy()[0], codes)
    back = compact.gather(tf.constant([0])).numpy()
    assert np.isfinite(back).all()
    if codes[0]:
        np.testing.assert_allclose(back[0, 0], row[0], rtol=1e-6)
    else:
        np.testing.assert_array_equal(back[0], 0.0)


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_refused(dtype: Any, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_rows, "_CHUNK", 4)
    values = np.zeros((11, 2), np.float32)
    values[9, 1] = value
    with pytest.raises(ValueError, match=f"Row 9 of items holds {value}, which cannot be stored in fewer bytes"):
        CompactRows(tf.Variable(values, name="items"), dtype)


def test_bfloat16_refuses_what_it_would_round_to_an_infinity() -> None:
    with pytest.raises(ValueError, match="Row 0 of items holds inf"):
        CompactRows(tf.Variable([[LARGEST]], name="items"), "bfloat16")


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_parts_and_sizes(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_rows, "_CHUNK", 3)
    values = np.random.default_rng(1).normal(size=(10, 16)).astype(np.float32)
    compact = CompactRows(tf.Variable(values), dtype)
    assert compact.size == (10 * (16 + 4) if dtype == "int8" else 10 * 16 * 2)
    part = compact.part(2, 9)
    assert part.dtype == tf.float32
    np.testing.assert_allclose(part, values[2:9], atol=0.02)
    np.testing.assert_array_equal(tf.cast(compact.gather(tf.range(2, 9)), tf.float32), part)


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_a_set_reads_the_compact_rows(dtype: Any) -> None:
    tables = (Table(name="a", rows=5), Table(name="b", rows=7))
    fields = (Field(name="a", table="a"), Field(name="b", table="b", lookups=2, weighted=True))
    given = LookupPlan.ordered(tables=tables, fields=fields)
    embeddings = layers.EmbeddingSet(given, 4, table_variables=1, initial_scale=1.0, seed=3)
    lookups = Lookups(
        rows=tf.constant([[4, 0, 6], [0, 1, 1]]), weights=tf.constant([[0.5, 2.0], [1.0, 0.0]]), sequences={}
    )
    exact = embeddings(lookups).numpy()
    (table,) = embeddings.variables_of_tables
    rounded = CompactRows(table, dtype).part(0, 12)
    embeddings.compact(dtype)
    compact = embeddings(lookups).numpy()
    assert 0 < np.abs(compact - exact).max() < 0.03
    np.testing.assert_array_equal(embeddings.table("b"), rounded[5:])
    # A set whose float32 rows are the rounded ones answers alike.
    other = layers.EmbeddingSet(given, 4, table_variables=1)
    other(lookups)
    other.assign_tables(embeddings)
    np.testing.assert_allclose(other(lookups), compact, atol=1e-6)
