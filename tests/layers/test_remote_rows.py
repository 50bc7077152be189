"""Lookups in tables that parameter servers hold in shards, without a server: shards of one process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.layers.remote_rows import full_name, gather_rows, with_shards

TABLE = np.arange(14, dtype=np.float32).reshape(7, 2)


@pytest.fixture
def shards() -> Any:
    """Seven rows as TensorFlow divides them among three servers: 3, 2, 2."""
    parts = [TABLE[:3], TABLE[3:5], TABLE[5:]]
    variables = [tf.Variable(part, name=f"set0/tables_1/part_{place}") for place, part in enumerate(parts)]
    return tf.__internal__.distribute.ShardedVariable(variables)


def test_rows_come_from_the_shard_that_holds_them(shards: Any) -> None:
    rows = np.array([[0, 6, 3], [4, 2, 6]])
    np.testing.assert_array_equal(gather_rows(shards, tf.constant(rows)), TABLE[rows])
    found = tf.function(gather_rows).get_concrete_function(shards, tf.TensorSpec([None, 3], tf.int64))
    assert found.output_shapes.as_list() == [None, 3, 2]


def test_each_shard_gets_one_slice_for_each_distinct_row(shards: Any) -> None:
    rows = tf.constant([[6, 0, 6], [4, 6, 0]])
    weights = tf.constant([[[1.0], [2.0], [4.0]], [[8.0], [16.0], [32.0]]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weights * gather_rows(shards, rows))
    gradients = tape.gradient(loss, with_shards([shards]))
    assert [slices.values.shape[0] for slices in gradients] == [1, 1, 1]
    # Row 0 has the weights 2 + 32, row 4, the second of its shard, 8, and row 6, the second of its own, 1 + 4 + 16.
    dense = np.concatenate([tf.convert_to_tensor(slices).numpy() for slices in gradients])
    expected = np.zeros((7, 2), np.float32)
    expected[[0, 4, 6]] = [[34.0], [8.0], [21.0]]
    np.testing.assert_array_equal(dense, expected)


def test_a_shard_that_no_row_names_has_no_gradient(shards: Any) -> None:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(gather_rows(shards, tf.constant([1, 1])))
    first, *others = tape.gradient(loss, with_shards([shards]))
    np.testing.assert_array_equal(tf.convert_to_tensor(first), [[0, 0], [2, 2], [0, 0]])
    assert all(slices.values.shape[0] == 0 for slices in others)


def test_a_table_of_this_process_is_gathered_as_ever() -> None:
    variable, rows = tf.Variable(TABLE), tf.constant([[1, 1], [5, 0]])

    def operations(look_up: Any) -> list[str]:
        graph = tf.function(lambda: look_up(variable, rows)).get_concrete_function().graph
        return [operation.type for operation in graph.get_operations()]

    np.testing.assert_array_equal(gather_rows(variable, rows), TABLE[rows.numpy()])
    assert operations(gather_rows) == operations(tf.gather)


def test_a_sharded_variable_has_the_name_of_the_whole(shards: Any) -> None:
    assert full_name(shards) == "set0/tables_1"
    assert full_name(tf.Variable(0.0, name="a/part_of_b")) == "a/part_of_b"
    assert len(with_shards([shards, tf.Variable(0.0)])) == 4
