"""Adding up the slices of equal ids, by both ways and without a copy of the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from fullrank.models.optimizers import base, lazy_adam, rows


def _slices(values: Any, indices: Any, table_rows: int | None) -> Any:
    shape = None if table_rows is None else tf.constant([table_rows, *values.shape[1:]])
    return tf.IndexedSlices(tf.constant(values), tf.constant(indices), shape)


def _as_dict(slices: Any) -> dict[int, Any]:
    indices = slices.indices.numpy().tolist()
    assert len(set(indices)) == len(indices)
    return dict(zip(indices, slices.values.numpy(), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    indices=st.lists(st.integers(0, 9), max_size=30),
    width=st.sampled_from([1, 3, 8, 32, 40, 64, 67]),
    dtype=st.sampled_from([np.int32, np.int64]),
)
def test_both_ways_equal_a_loop_and_each_other(indices: list[int], width: int, dtype: Any) -> None:
    ids = np.array(indices, dtype)
    values = np.random.default_rng(len(indices)).normal(size=(len(ids), width)).astype(np.float32)
    by_table = _as_dict(rows._by_table(_slices(values, ids, 10), 10))
    by_unique = _as_dict(rows._by_unique(_slices(values, ids, 10)))
    assert by_table.keys() == by_unique.keys() == set(indices)
    for row in set(indices):
        np.testing.assert_array_equal(by_table[row], by_unique[row])
        np.testing.assert_allclose(by_table[row], values[ids == row].sum(axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
@pytest.mark.parametrize("table_rows", [None, 5, 50, 1 << 20])
def test_any_rank_and_any_known_or_unknown_number_of_rows(shape: tuple[int, ...], table_rows: int | None) -> None:
    ids = np.array([4, 0, 4, 4, 1, 0, 3])
    values = np.arange(7 * int(np.prod(shape)), dtype=np.float32).reshape(7, *shape)
    summed = rows.sum_duplicates(_slices(values, ids, table_rows))
    assert summed.values.shape[1:] == shape
    assert summed.indices.dtype == tf.int64
    expected = {row: values[ids == row].sum(axis=0) for row in (0, 1, 3, 4)}
    found = _as_dict(summed)
    assert found.keys() == expected.keys()
    for row, value in expected.items():
        np.testing.assert_array_equal(found[row], value)


def test_slices_of_unknown_shape() -> None:
    """What is left of a gradient that was summed over replicas."""

    @tf.function(input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int64)])
    def total(values: Any, indices: Any) -> Any:
        summed = rows.sum_duplicates(tf.IndexedSlices(values, indices, tf.constant([100, 3])))
        return summed.values, summed.indices

    values, indices = total(tf.constant([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]), tf.constant([7, 7], tf.int64))
    np.testing.assert_array_equal(values.numpy(), [[1, 3, 3]])
    assert indices.numpy().tolist() == [7]
    assert total(tf.zeros([0, 3]), tf.zeros([0], tf.int64))[0].shape == (0, 3)


@pytest.mark.parametrize("count", [3, 300])
def test_batches_of_unknown_size_choose_when_they_run(count: int) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, 16]), tf.TensorSpec([None], tf.int64)])
    def total(values: Any, indices: Any) -> Any:
        summed = rows.sum_duplicates(tf.IndexedSlices(values, indices, tf.constant([100, 16])))
        assert summed.values.shape.as_list() == [None, 16]
        return summed.values, summed.indices

    operations = {operation.type for operation in total.get_concrete_function().graph.get_operations()}
    assert operations & {"If", "StatelessIf"}
    ids = np.random.default_rng(0).integers(0, 100, count)
    values, indices = total(tf.ones([count, 16]), tf.constant(ids))
    expected = np.bincount(ids, minlength=100)
    np.testing.assert_array_equal(values.numpy()[:, 0], expected[indices.numpy()])
    assert len(indices) == np.count_nonzero(expected)


@pytest.mark.parametrize(("width", "pieces"), [(1, 1), (16, 1), (31, 1), (32, 2), (64, 4), (48, 2), (37, 1), (128, 8)])
def test_wide_rows_are_cut_below_32_columns(width: int, pieces: int) -> None:
    # 64 = 4 x 16 because 2 x 32 is still wide; 37 has no divisor.
    assert rows._pieces(width) == pieces


def test_large_table_gets_neither_a_branch_nor_a_dense_operation() -> None:
    table = tf.Variable(tf.zeros([rows._LARGEST_DENSE_SUM + 1, 4]))
    optimizer = lazy_adam.LazyAdam()
    optimizer.build([table])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def step(ids: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(tf.gather(table, ids) - 1.0))
        optimizer.apply_gradients([(tape.gradient(loss, table), table)])

    graph = step.get_concrete_function(tf.TensorSpec([None], tf.int64)).graph
    sized = [op.name for op in graph.get_operations() for out in op.outputs if out.shape[:1] == table.shape[:1]]
    types = [operation.type for operation in graph.get_operations()]
    assert not sized
    assert not {"If", "StatelessIf"} & set(types)
    # Summed once, by us, and not again by Keras.
    assert types.count("Unique") == 1
    assert "UnsortedSegmentSum" not in types
    step(tf.constant([1, 1, 5], tf.int64))
    assert np.flatnonzero(table.numpy().any(axis=1)).tolist() == [1, 5]


def test_per_row_broadcasts() -> None:
    assert base.per_row(tf.ones([3]), tf.ones([3, 2, 4])).shape == (3, 1, 1)
    assert base.per_row(tf.ones([3]), tf.ones([3])).shape == (3,)
