"""Every public layer keeps the same promises: one test per promise, on the table of `conformance_rows`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from conformance_rows import EVERY_ROW, ROWS, Row, called
from fullrank import layers


def test_every_public_layer_has_a_row() -> None:
    public = {
        value for value in vars(layers).values() if isinstance(value, type) and issubclass(value, keras.layers.Layer)
    }
    assert public == set(ROWS)


@EVERY_ROW
@pytest.mark.parametrize("batch", [1, 6])
def test_shape_and_dtype(row: Row, batch: int) -> None:
    output = called(row.make(), row.inputs(batch))
    assert tuple(output.shape) == tuple(batch if n is None else n for n in row.shape)
    assert output.dtype == row.dtype
    assert np.isfinite(output.numpy()).all()


@EVERY_ROW
def test_graph_with_unknown_batch_equals_eager(row: Row) -> None:
    layer, inputs = row.make(), row.inputs(6)
    eager = called(layer, inputs)
    unknown = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), inputs)
    graph = tf.function(lambda *given: called(layer, given), input_signature=unknown)
    np.testing.assert_allclose(graph(*inputs).numpy(), eager.numpy(), rtol=1e-5, atol=1e-6)
    assert graph.get_concrete_function().output_shapes.as_list()[1:] == list(row.shape[1:])
    one = row.inputs(1)
    np.testing.assert_allclose(graph(*one).numpy(), called(layer, one).numpy(), rtol=1e-5, atol=1e-6)


@EVERY_ROW
def test_config_and_weights_rebuild_the_layer(row: Row) -> None:
    layer, inputs = row.make(), row.inputs(5)
    expected = called(layer, inputs)
    copy = layer.__class__.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    called(copy, inputs)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(called(copy, inputs).numpy(), expected.numpy())


@EVERY_ROW
def test_saved_model_equals_the_layer(row: Row, tmp_path: Path) -> None:
    layer, inputs = row.make(), row.inputs(5)
    expected = called(layer, inputs)
    unknown = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), inputs)
    module = tf.Module()
    module.layer = layer
    module.score = tf.function(lambda *given: called(layer, given), input_signature=unknown, autograph=False)
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={})
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.score(*inputs).numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)


@EVERY_ROW
def test_gradient_reaches_every_weight(row: Row) -> None:
    layer, inputs = row.make(), row.inputs(8)
    called(layer, inputs)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(tf.cast(called(layer, inputs), tf.float32) - 0.3))
    gradients = tape.gradient(loss, layer.trainable_weights)
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.name
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).sum() > 0, weight.name


@EVERY_ROW
def test_same_seed_same_weights(row: Row) -> None:
    def weights() -> list[np.ndarray[Any, Any]]:
        keras.utils.set_random_seed(7)
        layer = row.make()
        called(layer, row.inputs(2))
        return layer.get_weights()  # type: ignore[no-any-return]

    for first, second in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@EVERY_ROW
def test_usable_in_a_functional_model(row: Row, tmp_path: Path) -> None:
    inputs = row.inputs(6)
    if isinstance(inputs[0], layers.Lookups):
        given = tf.nest.map_structure(lambda t: keras.Input(t.shape[1:], dtype=t.dtype), inputs[0])
        symbolic, flat = (given,), tf.nest.flatten(given)
    else:
        symbolic = tuple(keras.Input(t.shape[1:], dtype=t.dtype) for t in inputs)
        flat = list(symbolic)
    model = keras.Model(flat, called(row.make(), symbolic))
    expected = model(tf.nest.flatten(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(tf.nest.flatten(inputs)).numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)
