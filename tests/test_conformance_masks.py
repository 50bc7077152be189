"""Every public layer that reads a history takes any length of it, and nothing from masked places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from conformance_rows import EVERY_ROW, ROWS, Inputs, Row, called, name_of
from fullrank import layers


@EVERY_ROW
def test_unknown_sizes_pass_where_they_are_not_needed(row: Row) -> None:
    """A batch, and a history, of any size: the graph of `[None, None, ...]` is built from a layer that is."""
    layer, inputs = row.make(), row.inputs(6)
    eager = called(layer, inputs)
    sequences = any(t.dtype.is_bool for t in tf.nest.flatten(inputs))
    if sequences:
        of_history = [t.shape[:2] == [6, 4] for t in inputs]
        specs = [
            tf.TensorSpec([None, None, *t.shape[2:]] if long else [None, *t.shape[1:]], t.dtype)
            for t, long in zip(inputs, of_history, strict=True)
        ]
        graph = tf.function(lambda *given: called(layer, given), input_signature=specs, autograph=False)
        np.testing.assert_allclose(graph(*inputs).numpy(), eager.numpy(), rtol=1e-5, atol=1e-6)


MASKED = [row for row in ROWS.values() if any(t.dtype.is_bool for t in tf.nest.flatten(row.inputs(1)))]


@pytest.mark.parametrize("row", MASKED, ids=name_of)
@pytest.mark.parametrize(
    ("junk", "compiled"), [(float("nan"), False), (-float("inf"), False), (float("nan"), True)], ids=str
)
def test_what_stands_at_masked_places_does_not_matter(row: Row, junk: float, compiled: bool) -> None:
    """Neither to the output nor to a gradient, that of the masked places being exactly 0."""
    layer, inputs = row.make(), row.inputs(6)
    called(layer, inputs)
    (mask,) = (t for t in inputs if t.dtype.is_bool)
    masked = [t.dtype.is_floating and t.shape[:2] == mask.shape for t in inputs]

    def filled(value: float) -> Inputs:
        return tuple(
            tf.where(mask[..., tf.newaxis] if t.shape.rank == 3 else mask, t, value) if here else t
            for t, here in zip(inputs, masked, strict=True)
        )

    @tf.function(jit_compile=compiled)
    def run(*given: tf.Tensor) -> Any:
        sources = [t for t in given if t.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            output = called(layer, given)
            loss = tf.reduce_sum(tf.square(output - 0.3))
        gradients = tape.gradient(loss, [*sources, *layer.trainable_weights], unconnected_gradients="zero")
        return output, [tf.convert_to_tensor(gradient) for gradient in gradients]

    expected, found = run(*filled(0.0)), run(*filled(junk))
    for one, other in zip(tf.nest.flatten(expected), tf.nest.flatten(found), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    behaviours = next(gradient for gradient, t in zip(found[1], inputs, strict=False) if t.shape.rank == 3)
    assert (behaviours.numpy()[~mask.numpy()] == 0).all()
    if not isinstance(layer, layers.MeanAggregator):
        nothing = ~mask.numpy().any(axis=1)
        assert nothing.any()
        assert (found[0].numpy()[nothing] == 0).all()
