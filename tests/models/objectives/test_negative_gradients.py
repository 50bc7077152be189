"""The callback that follows the gradients of negatives, and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from matplotlib.image import imread

from fullrank.analysis.figures import negative_gradient_lines
from fullrank.models.objectives import classification_and_ranking
from fullrank.models.objectives.losses import binary_cross_entropy
from fullrank.trainers.training.callbacks.measures import NegativeGradients


def entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return binary_cross_entropy(labels=labels, logits=logits)


def combined(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return classification_and_ranking(labels=labels, logits=logits, ranking_weight=0.2)


class Linear(keras.Model):
    """The logit is `w x + b`."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1, bias_initializer="zeros", kernel_initializer="zeros")

    def logits(self, batch: dict[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        return {"click": self.dense(batch["x"][:, tf.newaxis])[:, 0]}

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = entropy(batch["click"], self.logits(batch)["click"])
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


def rare_clicks() -> dict[str, tf.Tensor]:
    """40 of 8,000 clicked; x tells a little."""
    labels = (np.arange(8000) < 40).astype(np.float32)
    x = np.random.default_rng(0).normal(size=8000).astype(np.float32) + 0.8 * labels
    return {"click": tf.constant(labels), "x": tf.constant(x)}


def test_trained_to_the_base_rate_cross_entropy_leaves_negatives_little_and_ranking_more() -> None:
    batch = rare_clicks()
    model = Linear()
    model.compile(keras.optimizers.Adam(0.3))
    callback = NegativeGradients(batch, task="click", losses={"bce": entropy, "combined": combined})
    data = tf.data.Dataset.from_tensors(batch).repeat()
    history = model.fit(data, steps_per_epoch=60, epochs=5, callbacks=[callback], verbose=0).history
    alone, both = history["negative_gradient/bce"], history["negative_gradient/combined"]
    # Trained to the base rate, sum p = sum y: the mean p of negatives is a little below 0.5 %.
    assert alone[-1] == pytest.approx(0.005, rel=0.1)
    assert np.mean(tf.sigmoid(model.logits(batch)["click"])) == pytest.approx(0.005, rel=0.02)
    assert both[-1] / alone[-1] >= 5


def test_values_by_hand() -> None:
    # Untrained: all logits 0. Cross entropy: 1/2 on each negative. Three examples, one positive: ranking gives each of
    # the two negatives 3 * 1/2 / 2, and 0.8 * 1/2 + 0.2 * 3/4 = 0.55.
    batch = {"click": tf.constant([1.0, 0.0, 0.0]), "x": tf.constant([1.0, 2.0, 3.0])}
    callback = NegativeGradients(batch, task="click", losses={"bce": entropy, "combined": combined})
    callback.set_model(Linear())
    logs: dict[str, Any] = {}
    callback.on_epoch_end(0, logs)
    assert list(logs) == ["negative_gradient/bce", "negative_gradient/combined"]
    np.testing.assert_allclose(list(logs.values()), [0.5, 0.55], rtol=1e-6)
    callback.on_epoch_end(0, None)


def test_figure(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "gradients.png"
    fading = 0.005 + 0.5 * np.exp(-np.arange(20) / 2)
    negative_gradient_lines(
        gradients={"BCE": fading, "0.8 BCE + 0.2 ranking": 0.8 * fading + 0.1, "with a zero": [0.1, 0.0, 0.2]},
        base_rate=0.005,
        task="click",
        path=path,
    )
    assert 0.005 < float(np.mean(imread(path)[:, :, :3].min(axis=2) < 0.9)) < 0.6
    assert list(path.parent.iterdir()) == [path]
    negative_gradient_lines(gradients={"BCE": [0.5]}, base_rate=None, task="click", path=path)
    with pytest.raises(ValueError, match="received 1 losses"):
        negative_gradient_lines(gradients={"BCE": [0.0]}, base_rate=None, task="click", path=path)
