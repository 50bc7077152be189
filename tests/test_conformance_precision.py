"""Every public layer computes in the precision it is told, and gives each weight its gradient in it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from conformance_rows import EVERY_ROW, ROWS, Row, called, name_of

LOW_ROWS = [row for row in ROWS.values() if row.low == tf.bfloat16 and not row.exact]


@EVERY_ROW
def test_mixed_bfloat16_computes_low_and_keeps_weights_high(row: Row) -> None:
    full = row.make()
    expected = called(full, row.inputs(6))
    low = row.make(dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    called(low, row.inputs(6))
    low.set_weights(full.get_weights())
    output = called(low, row.inputs(6))
    assert output.dtype == row.low
    assert all(weight.dtype == tf.float32 for weight in low.weights)
    scale = float(tf.reduce_max(tf.abs(expected)))
    np.testing.assert_allclose(tf.cast(output, tf.float32).numpy(), expected.numpy(), atol=0.04 * max(scale, 0.1))


@pytest.mark.parametrize("row", LOW_ROWS, ids=name_of)
def test_mixed_bfloat16_multiplies_no_matrices_in_float32(row: Row) -> None:
    layer, inputs = row.make(dtype=keras.mixed_precision.Policy("mixed_bfloat16")), row.inputs(6)
    called(layer, inputs)
    graph = tf.function(lambda *given: called(layer, given), autograph=False).get_concrete_function(*inputs).graph
    products = [op for op in graph.get_operations() if op.type in ("MatMul", "BatchMatMulV2", "Einsum")]
    assert not [op.name for op in products if op.get_attr("T") == tf.float32]


@EVERY_ROW
def test_mixed_bfloat16_gives_each_weight_its_gradient(row: Row) -> None:
    """A large batch: what is summed over it in bfloat16 itself comes out several times too small."""
    keras.utils.set_random_seed(0)
    full, low = row.make(), row.make(dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    inputs = row.inputs(2048)
    gradients = []
    for layer in (full, low):
        called(layer, inputs)
        layer.set_weights(full.get_weights())
        with tf.GradientTape() as tape:
            output = tf.cast(called(layer, inputs), tf.float32)
            # Not the plain sum, which a layer normalisation keeps constant.
            loss = tf.reduce_sum(output * tf.linspace(0.5, 1.5, output.shape[-1]))
        gradients.append([tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, layer.trainable_weights)])
    # A weight that the output does not depend on, as the bias of attention's keys, has rounding for its gradient.
    nothing = 1e-3 * max((np.linalg.norm(gradient) for gradient in gradients[0]), default=0.0)
    for weight, expected, found in zip(full.trainable_weights, *gradients, strict=True):
        # Products on processors without AVX-512 are off by up to .23, others by less than .1; a sum that is several
        # times too small is off by more than .5.
        assert np.linalg.norm(found - expected) <= 0.3 * np.linalg.norm(expected) + nothing, weight.name


@pytest.mark.parametrize("row", [row for row in ROWS.values() if not row.single], ids=name_of)
def test_float64_computes_in_float64(row: Row) -> None:
    """No operation has a result of lower precision, on the way to an output of float64."""
    layer = row.make(dtype="float64")
    inputs = tf.nest.map_structure(lambda t: tf.cast(t, tf.float64) if t.dtype.is_floating else t, row.inputs(6))
    output = called(layer, inputs)
    assert output.dtype == (tf.int64 if row.dtype.is_integer else tf.float64)
    assert all(weight.dtype == tf.float64 for weight in layer.weights)
    graph = tf.function(lambda *given: called(layer, given), autograph=False).get_concrete_function(*inputs).graph
    low = {tf.float32, tf.float16, tf.bfloat16}
    assert not [op.name for op in graph.get_operations() if any(result.dtype in low for result in op.outputs)]
