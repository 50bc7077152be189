"""Joint probabilities along a chain, in logits: by hand, against plain products, and where floats come to their end."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fullrank.layers import ConversionChain


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def test_by_hand() -> None:
    # q = 1/2, 1/3, 3/4: p = 1/2, 1/6, 1/8, whose odds are 1, 1/5 and 1/7.
    z = tf.constant([[0.0, np.log(1 / 2), np.log(3)]], tf.float32)
    np.testing.assert_allclose(ConversionChain()(z).numpy(), [np.log([1, 1 / 5, 1 / 7])], rtol=1e-6, atol=1e-7)


def test_equals_the_slow_product() -> None:
    z = np.random.default_rng(0).normal(scale=3, size=(200, 4)).astype(np.float32)
    p = np.ones((200, 4))
    for k in range(4):
        for j in range(k + 1):
            p[:, k] *= sigmoid(z[:, j])
    f = ConversionChain()(tf.constant(z)).numpy()
    np.testing.assert_allclose(f, np.log(p) - np.log1p(-p), rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(f[:, 0], z[:, 0])


@given(z=arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32)))
def test_never_more_likely_than_the_event_before(z: np.ndarray) -> None:
    f = ConversionChain()(tf.constant(z)).numpy()
    assert np.isfinite(f).all()
    assert (f[:, 1:] <= f[:, :-1] + 1e-6 * np.abs(f[:, :-1]) + 1e-6).all()


def test_gradients_at_the_ends_of_float() -> None:
    ends = (-80.0, 80.0, 0.0)
    z = tf.Variable([[a, b, c] for a in ends for b in ends for c in ends])
    with tf.GradientTape() as tape:
        f = ConversionChain()(z)
    jacobian = tape.batch_jacobian(f, z).numpy()
    assert np.isfinite(f.numpy()).all()
    # df_k/dz_j = (1 - q_j) / (1 - p_k), and 0 for what comes later in the chain.
    assert ((jacobian >= 0) & (jacobian <= 1 + 1e-6)).all()
    for earlier, later in ((0, 1), (0, 2), (1, 2)):
        assert (jacobian[:, earlier, later] == 0).all()
    # Three sure events: 1 - p_2 is three times 1 - q, so each z matters a third.
    sure = z.numpy().tolist().index([80.0, 80.0, 80.0])
    thirds = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(jacobian[sure], thirds, rtol=1e-5)
