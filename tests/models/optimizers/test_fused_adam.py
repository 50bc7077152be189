"""The one-pass Adam takes the same steps as Keras' own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.models.optimizers.fused_adam import FusedAdam, FusedAdamW

PAIRS = [
    (FusedAdam, keras.optimizers.Adam, {}),
    (FusedAdam, keras.optimizers.Adam, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "global_clipnorm": 0.5}),
    (FusedAdam, keras.optimizers.Adam, {"amsgrad": True}),
    (FusedAdamW, keras.optimizers.AdamW, {"weight_decay": 0.1}),
]


def _after_steps(optimizer: keras.optimizers.Optimizer, steps: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A matrix and a table after some steps on dense and sparse gradients."""
    chance = np.random.default_rng(3)
    matrix, table = (tf.Variable(chance.normal(size=(4, 3)).astype(np.float32)) for _ in range(2))
    for step in range(steps):
        dense = tf.constant(chance.normal(size=(4, 3)).astype(np.float32))
        rows = tf.IndexedSlices(dense[:2], tf.constant([step % 4, 2]), tf.constant([4, 3]))
        optimizer.apply_gradients([(dense, matrix), (rows, table)])
    return matrix.numpy(), table.numpy()


@pytest.mark.parametrize(("ours", "keras_own", "arguments"), PAIRS)
def test_it_takes_the_steps_of_keras(ours: type, keras_own: type, arguments: dict[str, float]) -> None:
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    mine = _after_steps(ours(rate, jit_compile=False, **arguments))
    reference = _after_steps(keras_own(rate, jit_compile=False, **arguments))
    for got, wanted in zip(mine, reference, strict=True):
        # Five steps of up to 0.1 in float32, whose operations come in another order.
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_the_first_step_is_the_learning_rate_against_the_sign_of_the_gradient() -> None:
    """After it m / (1 - b1) = g and v / (1 - b2) = g^2, so the step is rate * g / (|g| + tiny)."""
    weight = tf.Variable([1.0, 1.0, 1.0])
    FusedAdam(0.25, epsilon=1e-12, jit_compile=False).apply_gradients([(tf.constant([3.0, -0.01, 0.0]), weight)])
    np.testing.assert_allclose(weight.numpy(), [0.75, 1.25, 1.0], rtol=1e-5)


@pytest.mark.parametrize("strategy", [None, "mirrored"])
def test_it_trains_under_a_strategy_and_in_a_checkpoint(strategy: str | None, tmp_path: object) -> None:
    scope = tf.distribute.MirroredStrategy(["CPU:0"]) if strategy else tf.distribute.get_strategy()
    with scope.scope():
        model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
        model.compile(FusedAdam(0.1, jit_compile=False), "mse")
    x, y = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    path = tf.train.Checkpoint(optimizer=model.optimizer).write(f"{tmp_path}/state")
    fresh = FusedAdam.from_config(model.optimizer.get_config())
    fresh.build(model.trainable_variables)
    tf.train.Checkpoint(optimizer=fresh).read(path).assert_existing_objects_matched()
    assert int(fresh.iterations) == 3
