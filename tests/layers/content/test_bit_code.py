"""BitCode: by hand, against NumPy, and against the layers and models that do the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import layers
from fullrank.data import Bits, Label, Schema
from fullrank.layers.content.bit_code import bit_rows, bit_table_rows
from fullrank.models.encoding.encoder import FeatureEncoder


def code_of(bits: Any, *, group: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The output of a layer whose row r holds 10^r, and its input."""
    bits = np.asarray(bits)
    layer = layers.BitCode(1, bits.shape[1], group=group)
    layer(bits)
    layer.set_weights([10.0 ** np.arange(bit_table_rows(bits.shape[1], group=group))[:, np.newaxis]])
    return layer(bits).numpy()[:, 0], bits


def test_single_bits_by_hand() -> None:
    # Bit k of value b reads row 1 + 2 k + b: 0, 1, 1 reads rows 1, 4, 6. Missing bits read row 0, once.
    output, _ = code_of([[0, 1, 1], [-1, -1, -1], [0, 7, 1]], group=1)
    np.testing.assert_allclose(output, [1e1 + 1e4 + 1e6, 1.0, 1e1 + 1e4 + 1e6])


def test_groups_by_hand() -> None:
    # Groups of two and a rest of one: 1, 0 is code 1 + 2 * 0 = 1 (row 1 + 1); 0, 1 is 2 (row 1 + 4 + 2); 1 is row
    # 1 + 8 + 1, the last one of 1 + 4 + 4 + 2. A missing bit makes its group missing, and only that.
    assert bit_table_rows(5, group=2) == 11
    output, _ = code_of([[1, 0, 0, 1, 1], [1, 0, -1, 1, 1], [-1] * 5], group=2)
    np.testing.assert_allclose(output, [1e2 + 1e7 + 1e10, 1e2 + 1e0 + 1e10, 1.0])


@pytest.mark.parametrize("group", [1, 2, 3, 5, 8])
def test_against_numpy(group: int) -> None:
    bits = np.random.default_rng(group).integers(0, 2, size=(40, 13))
    layer = layers.BitCode(4, 13, group=group)
    output = layer(bits).numpy()
    (table,) = layer.get_weights()
    assert len(table) == bit_table_rows(13, group=group)
    used = set()
    for example, expected in zip(bits, output, strict=True):
        total = np.zeros(4)
        for k in range(0, 13, group):
            row = 1 + 2**group * (k // group) + sum(int(bit) << j for j, bit in enumerate(example[k : k + group]))
            used.add(row)
            total += table[row]
        np.testing.assert_allclose(expected, total, rtol=1e-5, atol=1e-7)
    assert max(used) < len(table)


def test_one_group_of_all_bits_is_an_embedding_of_the_number() -> None:
    everything = np.array([[number >> j & 1 for j in range(4)] for number in range(16)])
    layer = layers.BitCode(3, 4, group=4)
    np.testing.assert_array_equal(layer(everything).numpy(), layer.get_weights()[0][1:])


def test_the_binary_digits_of_a_number_are_the_binary_numeral_system() -> None:
    # In base 2 the numeral system orders its rows as bits do, the lowest digit first, and a missing number reads row 0.
    number = layers.MultipleNumeralSystem(3, bases=(2,), bits=4, low=0.0, high=15.0)
    values = np.array([*range(16), np.nan], np.float32)
    expected = number(values).numpy()
    bits = np.array([[value >> j & 1 for j in range(4)] for value in range(16)] + [[-1] * 4])
    code = layers.BitCode(3, 4)
    code(bits)
    code.set_weights(number.get_weights())
    np.testing.assert_allclose(code(bits).numpy(), expected, rtol=1e-6)


def test_a_model_reads_the_same_rows() -> None:
    schema = Schema(name="s", features=(Bits(name="h", length=6),), labels=(Label(name="y"),))
    encoder = FeatureEncoder(schema, vocabularies={})
    bits = tf.constant([[0, 1, 1, 0, 0, 1], [-1] * 6, [0, 5, 1, 0, 0, 1]], tf.int64)
    lookups = encoder({"h": bits})
    np.testing.assert_array_equal(lookups.rows.numpy(), bit_rows(bits).numpy())
    assert encoder.plan.tables[0].rows == bit_table_rows(6)
    embeddings, layer = layers.EmbeddingSet(encoder.plan, 3), layers.BitCode(3, 6)
    found = embeddings(lookups)[:, 0].numpy()
    layer(bits)
    layer.set_weights(embeddings.get_weights())
    np.testing.assert_allclose(found, layer(bits).numpy(), rtol=1e-6)
    np.testing.assert_array_equal(found[1], embeddings.get_weights()[0][0])


def test_near_ids_share_all_rows_but_those_of_the_bits_that_differ() -> None:
    bits = np.random.default_rng(0).integers(0, 2, size=(1, 64))
    other = bits.copy()
    other[0, [3, 40]] ^= 1
    first, second = bit_rows(tf.constant(bits)).numpy(), bit_rows(tf.constant(other)).numpy()
    assert np.flatnonzero(first[0] != second[0]).tolist() == [3, 40]


def test_only_rows_that_were_read_have_a_gradient() -> None:
    layer = layers.BitCode(2, 3)
    bits = tf.constant([[0, 1, 1]], tf.int64)
    layer(bits)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(bits))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.trainable_weights[0])).numpy()
    np.testing.assert_array_equal(gradient[:, 0], [0, 1, 0, 0, 1, 0, 1])


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="Received: bits=0"):
        layers.BitCode(2, 0)
    with pytest.raises(ValueError, match=r"groups of 1 to 16. Received: 8 bits, group=17"):
        layers.BitCode(2, 8, group=17)
    with pytest.raises(ValueError, match=r"takes \[B, 8\] bits. Received: \(1, 4\)"):
        layers.BitCode(2, 8)(tf.zeros([1, 4], tf.int64))
