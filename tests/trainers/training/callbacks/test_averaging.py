"""Averaged weights: their recurrence by hand, what is validated and kept, and that trained weights come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.trainers.training.callbacks.averaging import AveragedWeights


class Seen(keras.callbacks.Callback):
    """Notes a weight after every step, and what it is at the end of an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[float] = []
        self.validated: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Notes the trained weight."""
        self.trained.append(float(self.model.weights[0][0, 0]))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes the weight that is kept as the best."""
        self.validated.append(float(self.model.weights[0][0, 0]))


@pytest.mark.parametrize("validated", [False, True])
def test_averages_follow_their_recurrence_and_trained_weights_come_back(validated: bool) -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, input_shape=(1,))])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    # As in a training that starts from another run, which has its weights and its steps of the optimiser.
    averaged = AveragedWeights(model.weights, decay=0.25, steps=lambda: int(model.optimizer.iterations) - 1000)
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(1000)
    model.weights[0].assign_add([[1.0]])
    start = float(model.weights[0][0, 0])
    batches = tf.data.Dataset.from_tensor_slices((np.ones((3, 1, 1), np.float32), np.full((3, 1, 1), 5, np.float32)))
    seen = Seen()
    callbacks = [averaged.follow, averaged.enter, seen, averaged.leave]
    model.fit(batches, epochs=2, callbacks=callbacks, validation_data=batches if validated else None, verbose=0)
    average, expected = start, []
    for step, weight in enumerate(seen.trained):
        decay = min(0.25, (2 + step) / (11 + step))  # .1818, .25, .25, ...
        average = decay * average + (1 - decay) * weight
        expected.append(average)
    assert seen.validated == pytest.approx([expected[2], expected[5]], rel=1e-5)
    # The step after a validation starts from the trained weight: w <- w - .1 * 2 (w - 5).
    assert seen.trained[3] == pytest.approx(seen.trained[2] - 0.2 * (seen.trained[2] - 5), rel=1e-5)
    assert float(model.weights[0][0, 0]) == seen.trained[-1]
    assert float(averaged.averages[0][0, 0]) == pytest.approx(expected[-1], rel=1e-5)


def test_several_steps_per_call_decay_as_often() -> None:
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, input_shape=(1,))])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", steps_per_execution=3)
    start = float(model.weights[0][0, 0])
    averaged = AveragedWeights(model.weights, decay=0.9, steps=lambda: int(model.optimizer.iterations))
    batches = tf.data.Dataset.from_tensor_slices((np.ones((6, 1, 1), np.float32), np.full((6, 1, 1), 5, np.float32)))
    seen = Seen()
    model.fit(batches, callbacks=[averaged.follow, seen], verbose=0)
    # The decays of the first six steps: 2/11 * 3/12 * 4/13 = 2/143, and 5/14 * 6/15 * 7/16 = 1/16.
    first = 2 / 143 * start + 141 / 143 * seen.trained[0]
    assert float(averaged.averages[0][0, 0]) == pytest.approx(first / 16 + 15 / 16 * seen.trained[1], rel=1e-5)


def test_a_run_keeps_the_averages_and_leaves_tables_as_they_are(toy_records: Path, tmp_path: Path) -> None:
    from small_runs import small

    from fullrank.trainers.training.load_run import load_run
    from fullrank.trainers.training.train_model import train_model

    found = {}
    for name, decay in (("last", None), ("zero", 0.0), ("most", 0.99)):
        config = small(toy_records, tmp_path / name, epochs=1, deterministic=True, ema_decay=decay)
        train_model(config)
        found[name] = load_run(tmp_path / name).model
    # An average without memory is the last weight.
    for last, zero in zip(found["last"].weights, found["zero"].weights, strict=True):
        np.testing.assert_array_equal(last.numpy(), zero.numpy())
    for last, most in zip(found["last"].table_variables.values(), found["most"].table_variables.values(), strict=True):
        np.testing.assert_array_equal(last.numpy(), most.numpy())
    kernels = [next(w for w in model.trainable_weights if "kernel" in w.name) for model in found.values()]
    assert np.abs(kernels[0] - kernels[2]).max() > 0
