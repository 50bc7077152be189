"""The Keras metrics: in eager code, in `tf.function`, in `Model.fit`, merged, saved, and at large counts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fullrank.layers.legacy_keras import keras, tfrs
from fullrank.models.metrics import (
    BinaryEvaluator,
    RegressionEvaluator,
    StreamingBinary,
    StreamingRegression,
    StreamingTasks,
)
from fullrank.models.metrics.binary_formulas import STATISTICS


def numbers(metric: Any) -> dict[str, float]:
    return {key: float(value) for key, value in metric.statistics().items()}


def draw(rows: int, *, seed: int = 0, soft: bool = False) -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(seed)
    scores = 1.0 / (1.0 + np.exp(-generator.normal(-2.0, 1.0, rows)))
    labels = scores if soft else (generator.random(rows) < scores).astype(np.float64)
    labels = np.where(generator.random(rows) < 0.1, math.nan, labels)
    return labels, scores, generator.integers(0, 3, rows).astype(np.float64)


def test_four_rows_by_hand() -> None:
    metric = StreamingBinary(name="click")
    metric.update_state([0.0, 0.0, 1.0, 1.0], [0.1, 0.4, 0.35, 0.8])
    result = metric.result()
    assert tuple(result) == metric.keys == tuple(f"click_{key}" for key in STATISTICS)
    assert float(result["click_auc"]) == pytest.approx(0.75)
    loss = -(math.log(0.9) + math.log(0.6) + math.log(0.35) + math.log(0.8)) / 4
    # Python numbers arrive as float32.
    assert float(result["click_log_loss"]) == pytest.approx(loss, rel=1e-6)
    assert float(result["click_ne"]) == pytest.approx(loss / math.log(2.0), rel=1e-6)
    assert float(result["click_bias"]) == pytest.approx(0.825, rel=1e-6)


def test_batches_in_a_graph_equal_the_evaluator() -> None:
    labels, scores, weights = draw(500)
    metric = StreamingBinary(bins=2**14)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float64)] * 3)
    def step(y: Any, p: Any, w: Any) -> Any:
        metric.update_state(y, p, w)
        return metric.result()

    evaluator = BinaryEvaluator(task="click")
    for start in range(0, 500, 150):
        batch = slice(start, start + 150)
        step(labels[batch], scores[batch], weights[batch])
        evaluator.update(labels=labels[batch], scores=scores[batch], weights=weights[batch])
    expected = evaluator.result()
    for key, value in numbers(metric).items():
        assert value == pytest.approx(expected[key], rel=1e-9), key


def test_regression_equals_the_evaluator() -> None:
    labels, scores, weights = draw(300, soft=True)
    metric, evaluator = StreamingRegression(name="spend"), RegressionEvaluator(task="spend")
    metric.update_state(labels * 7.0, scores, weights)
    evaluator.update(labels=labels * 7.0, scores=scores, weights=weights)
    expected = evaluator.result()
    assert tuple(metric.result()) == metric.keys
    for key, value in numbers(metric).items():
        assert value == pytest.approx(expected[key], rel=1e-9), key


@pytest.mark.parametrize("kind", [StreamingBinary, StreamingRegression])
def test_merged_halves_equal_the_whole(kind: Any) -> None:
    labels, scores, weights = draw(400)
    whole, first, second = kind(), kind(), kind()
    whole.update_state(labels, scores, weights)
    first.update_state(labels[:130], scores[:130], weights[:130])
    second.update_state(labels[130:], scores[130:], weights[130:])
    first.merge_state([second])
    for key, value in numbers(whole).items():
        assert numbers(first)[key] == pytest.approx(value, rel=1e-12), key


@pytest.mark.parametrize("kind", [StreamingBinary, StreamingRegression])
def test_reset_forgets_and_empty_is_nan(kind: Any) -> None:
    metric = kind()
    metric.update_state([1.0, 0.0], [0.3, 0.6])
    metric.reset_state()
    assert all(math.isnan(value) for value in numbers(metric).values())
    metric.update_state(np.zeros(0), np.zeros(0))
    assert all(math.isnan(value) for value in numbers(metric).values())


@pytest.mark.parametrize("kind", [StreamingBinary, StreamingRegression])
def test_rows_without_label_leave_no_trace(kind: Any) -> None:
    masked, kept = kind(), kind()
    masked.update_state([1.0, math.nan, 0.0, 1.0], [0.3, math.nan, 0.6, math.nan], [1.0, 2.0, 1.0, 0.0])
    kept.update_state([1.0, 0.0], [0.3, 0.6])
    assert numbers(masked) == pytest.approx(numbers(kept), rel=1e-12)


def test_a_nan_score_shows_in_the_log_loss() -> None:
    metric = StreamingBinary()
    metric.update_state([1.0, 0.0, 1.0], [math.nan, 0.6, 0.7])
    found = numbers(metric)
    assert math.isnan(found["log_loss"])
    assert math.isnan(found["ne"])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32])
def test_low_precision_scores(dtype: Any) -> None:
    # Exact in all three types, 0 and 1 included.
    scores = tf.constant([0.0, 0.25, 0.5, 1.0], dtype)
    metric = StreamingBinary()
    metric.update_state(tf.constant([0, 1, 0, 1], tf.int64), scores, tf.ones(4, dtype))
    found = numbers(metric)
    assert found["auc"] == 0.75
    assert found["mean_prediction"] == 0.4375
    assert found["log_loss"] == pytest.approx((math.log(4) + math.log(2) - 2 * math.log1p(-1e-7)) / 4, rel=1e-12)


def test_mixed_precision_keeps_a_double_state() -> None:
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        metric = StreamingBinary()
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert {variable.dtype for variable in metric.variables} == {tf.float64}
    metric.update_state([1.0, 0.0], [0.75, 0.25])
    assert numbers(metric)["auc"] == 1.0


def test_counts_go_on_beyond_float32() -> None:
    # 2**24 + 1 is not a float32; 3e7 rows of weight 1 must count every one of the thousand added after them.
    metric = StreamingBinary()
    metric.update_state([1.0, 0.0], [0.5, 0.5], [1e7, 2e7])
    for _ in range(10):
        metric.update_state(tf.ones(100), tf.fill([100], 0.5))
    assert float(tf.reduce_sum(metric.variables[0][:2])) == 30_001_000.0
    assert numbers(metric)["base_rate"] == 10_001_000 / 30_001_000


def test_shapes_and_scalar_weights() -> None:
    flat, column = StreamingBinary(), StreamingBinary()
    flat.update_state([1.0, 0.0], [0.75, 0.5], [2.0, 2.0])
    column.update_state([[1.0], [0.0]], [[0.75], [0.5]], 2.0)
    assert numbers(flat) == numbers(column)


def test_other_numbers_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="received 2 labels, 3 predictions, 2 weights"):
        StreamingBinary().update_state([1.0, 0.0], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    "metric", [StreamingBinary(name="buy", prefix="b/", from_logits=True, bins=64), StreamingRegression(name="spend")]
)
def test_serialised_and_back(metric: Any) -> None:
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    assert again.keys == metric.keys


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, math.nan]), st.floats(0.0, 1.0, width=32), st.sampled_from([0.0, 1.5])),
        max_size=30,
    )
)
def test_no_nan_leaks(rows: list[tuple[float, float, float]]) -> None:
    labels, scores, weights = np.array(rows, np.float64).reshape(-1, 3).T
    metric = StreamingBinary(bins=256)
    metric.update_state(labels, scores, weights)
    assert all(np.isfinite(variable.numpy()).all() for variable in metric.variables)
    found = numbers(metric)
    used = ~np.isnan(labels) & (weights > 0)
    assert math.isnan(found["log_loss"]) == (not used.any())
    assert math.isnan(found["auc"]) == (np.unique(labels[used]).size < 2)


class TwoTasks(tfrs.Model):
    """The least model with a metric per task on TensorFlow Recommenders' training step."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2, activation="sigmoid")
        self.task_metrics = [StreamingBinary(name="click"), StreamingBinary(name="buy")]

    def compute_loss(self, inputs: Any, training: bool = False) -> Any:
        features, labels = inputs
        scores = self.dense(features)
        for task, metric in enumerate(self.task_metrics):
            metric.update_state(labels[:, task], scores[:, task])
        return tf.reduce_mean(keras.losses.binary_crossentropy(labels, scores))

    def train_step(self, inputs: Any) -> Any:
        loss = super().train_step(inputs)["loss"]
        return {**self.get_metrics_result(), "loss": loss}

    def test_step(self, inputs: Any) -> Any:
        loss = super().test_step(inputs)["loss"]
        return {**self.get_metrics_result(), "loss": loss}


def test_fit_logs_every_task_and_statistic(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(64, 3)).astype(np.float32)
    labels = (features[:, :2] + generator.normal(size=(64, 2)) > 0).astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices((features, labels)).batch(16)
    model = TwoTasks()
    model.compile(keras.optimizers.legacy.SGD(0.1))
    callbacks = [
        keras.callbacks.TensorBoard(tmp_path, profile_batch=0),
        keras.callbacks.EarlyStopping("val_click_ne", mode="min", patience=5),
    ]
    history = model.fit(batches, validation_data=batches, epochs=2, verbose=0, callbacks=callbacks).history
    expected = {f"{split}{task}_{key}" for split in ("", "val_") for task in ("click", "buy") for key in STATISTICS}
    assert expected <= set(history)
    # An epoch's validation is its own: the last one's equals an evaluation afterwards.
    evaluated = model.evaluate(batches, verbose=0, return_dict=True)
    assert evaluated["click_auc"] == pytest.approx(history["val_click_auc"][-1])
    assert evaluated["buy_auc"] != evaluated["click_auc"]
    events = EventAccumulator(str(tmp_path / "validation"))
    events.Reload()
    assert {"epoch_click_auc", "epoch_buy_ne"} <= set(events.Tags()["tensors"])


def test_in_compile() -> None:
    model = keras.Sequential([keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", weighted_metrics=[StreamingBinary(name="click")])
    history = model.fit(np.ones((8, 2)), np.arange(8) % 2, sample_weight=np.arange(8), verbose=0).history
    # Weights 0 to 7; the odd rows are positives and weigh 16 of 28.
    assert history["click_base_rate"] == [pytest.approx(16 / 28)]


@pytest.mark.parametrize("weighted", [False, True])
def test_all_tasks_at_once_equal_one_metric_a_task(weighted: bool) -> None:
    draw = np.random.default_rng(0)
    names = ("click", "buy", "never")
    together = StreamingTasks(names)
    alone = [StreamingBinary(name=name) for name in names]
    for _ in range(3):
        labels = (draw.random((50, 3)) < 0.3).astype(np.float32)
        labels[draw.random((50, 3)) < 0.2] = np.nan
        labels[:, 2] = np.nan
        scores = draw.random((50, 3)).astype(np.float32)
        weights = draw.random(50).astype(np.float32) if weighted else None
        together.update_state(labels, scores, weights)
        for task, metric in enumerate(alone):
            metric.update_state(labels[:, task], scores[:, task], weights)
    found = together.result()
    assert tuple(found) == together.keys
    for metric in alone:
        for key, expected in metric.result().items():
            np.testing.assert_allclose(float(found[key]), float(expected), rtol=1e-12)
    together.reset_state()
    assert all(np.isnan(float(value)) for value in together.result().values())


def test_all_tasks_at_once_from_a_config_and_in_a_graph() -> None:
    metric = StreamingTasks.from_config(StreamingTasks(("a", "b"), bins=64).get_config())

    @tf.function(input_signature=[tf.TensorSpec([None, 2])] * 2)
    def update(labels: tf.Tensor, scores: tf.Tensor) -> None:
        metric.update_state(labels, scores)

    update(tf.constant([[0.0, 1.0], [1.0, 0.0]]), tf.constant([[0.1, 0.4], [0.35, np.nan]]))
    found = tf.function(metric.result)()
    assert float(found["a_auc"]) == 1.0
    assert np.isnan(float(found["b_log_loss"]))
