"""Losses averaged over observed labels or over the batch: every loss of a task, by hand and in a whole model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import models
from fullrank.data.schema.features import Label
from fullrank.models.objectives.losses import binary_cross_entropy, observed_share
from fullrank.models.options.setting import part_of
from fullrank.trainers.config.objective import ObjectiveConfig

NAN = float("nan")
OPTIONS = models.RankerOptions(
    dropout=0.0,
    unknown_share=0.0,
    tower=(4,),
    interactions=models.InteractionOptions(hidden=(4,), dropout=0.0),
    buckets=4,
)
Build = Callable[..., models.Ranker]


def test_the_sum_over_observed_labels_over_the_batch_by_hand() -> None:
    # Logit 0: ln 2 for each label. Two of four labels, then one of four: 2 ln 2 / 4 and ln 2 / 4.
    labels = tf.constant([[1.0, NAN], [0.0, 1.0], [NAN, NAN], [NAN, NAN]])
    means = binary_cross_entropy(labels=labels, logits=tf.zeros([4, 2]))
    np.testing.assert_allclose(means, [np.log(2), np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(means * observed_share(labels), [np.log(2) / 2, np.log(2) / 4], rtol=1e-6)
    # An example of weight 0 has no label that counts, and weights do not change how many do.
    weights = tf.constant([0.0, 5.0, 5.0, 5.0])
    np.testing.assert_array_equal(observed_share(labels, weights), [0.25, 0.25])
    np.testing.assert_array_equal(observed_share(labels[:, 0]), 0.5)


@pytest.fixture(scope="module")
def build(every_kind: Any) -> Build:
    schema, vocabularies = every_kind
    spend = Label(name="spend", type="value", mean=2.0, positive=0.4, minimum=0.0)
    schema = dataclasses.replace(schema, labels=(*schema.labels, spend))

    def make(
        *, tasks: Any = ("click", "buy"), taught: bool = False, model: dict[str, Any] | None = None, **objective: Any
    ) -> models.Ranker:
        keras.utils.set_random_seed(3)
        wiring = models.single(width=4, experts=("flat",), tasks=tasks, expert_width=6)
        options = dataclasses.replace(OPTIONS, inducing_points=4, **(model or {}))
        given = models.ObjectiveOptions(**objective)
        return models.Ranker(schema, wiring, options, vocabularies=vocabularies, objective=given, taught=taught)

    return make


@pytest.fixture(scope="module")
def batch(make_batch: Any) -> dict[str, tf.Tensor]:
    given: dict[str, tf.Tensor] = make_batch(size=40)
    rows = np.arange(40)
    given["buy"] = tf.where(rows % 10 == 0, given["click"], NAN)  # 4 of 40
    given["spend"] = tf.where(rows % 5 == 0, tf.constant(rows % 3, tf.float32), NAN)  # 8 of 40
    return given


def teach(batch: Any) -> dict[str, tf.Tensor]:
    """Knows three quarters of the clicks and every second purchase: of the labels, rows 0 and 20."""
    rows = tf.range(tf.shape(batch["click"])[0])
    p = 0.2 + 0.6 * tf.cast(rows % 5, tf.float32) / 5.0
    return {"click": tf.where(rows % 4 == 3, NAN, p), "buy": tf.where(rows % 4 < 2, p, NAN)}


def losses(model: models.Ranker, batch: Any) -> Any:
    """The loss of each task; with a teacher also of what is learned from it."""
    targets = model.learning.targets(batch)
    read = model.representation(batch, training=False)
    inputs = model.learning._inputs(batch, read, step=tf.constant(0), training=True)
    return model.objective.losses(model._predict(batch, False), *targets, inputs).numpy()


BUY = np.array([1.0, 4 / 40])


@pytest.mark.parametrize(
    ("share", "given"),
    [
        (BUY, {}),
        (BUY, {"classification": "focal"}),
        (BUY, {"classification": "class_balanced"}),
        (BUY, {"ranking": "pairwise"}),
        (BUY, {"ranking": "listwise"}),
        (BUY, {"ranking": "jrc"}),
        (BUY, {"model": {"head": "gp"}}),
        (BUY, {"model": {"head": "laplace"}}),
        (np.array([1.0, 8 / 40]), {"tasks": ("click", "spend")}),
        (np.array([1.0, 8 / 40]), {"tasks": ("click", "spend"), "model": {"value_loss": "squared"}}),
        (np.array([8 / 40]), {"tasks": ("spend",)}),
    ],
    ids=str,
)
def test_each_loss_is_the_mean_times_the_share(build: Build, batch: Any, share: Any, given: dict[str, Any]) -> None:
    mean, shared = (losses(build(loss_mean=which, **given), batch) for which in ("observed", "batch"))
    assert (mean > 0).all()
    np.testing.assert_allclose(shared, mean * share, rtol=1e-5)


def test_what_a_teacher_gives_counts_where_it_was_given(build: Build, batch: Any) -> None:
    def found(which: Any, distilled: float, residual: float) -> Any:
        model = build(taught=True, loss_mean=which, distillation_weight=distilled, residual_weight=residual)
        model.learn_from(teach)
        return losses(model, batch)

    small = 1e-6  # 0 would leave the heads of the residual out
    plain = found("observed", 0.0, small)
    pseudo, residual = found("observed", 1.0, small) - plain, found("observed", 0.0, 1.0) - plain
    expected = BUY * plain + 2.0 * np.array([0.75, 0.5]) * pseudo + 3.0 * np.array([0.75, 2 / 40]) * residual
    np.testing.assert_allclose(found("batch", 2.0, 3.0), expected, rtol=1e-4)


def test_a_label_weighs_the_same_in_every_batch(build: Build, batch: Any) -> None:
    """Two halves of a batch with unequally many labels: their mean gradient is that of the whole."""
    halves = [{name: values[part] for name, values in batch.items()} for part in (slice(0, 15), slice(15, 30))]
    whole = {name: values[:30] for name, values in batch.items()}
    found = {}
    for which in ("observed", "batch"):
        model = build(loss_mean=which)
        # Weights would be scaled to mean 1 within each half.
        one, two, both = (losses(model, {**part, "weight": tf.ones_like(part["weight"])}) for part in (*halves, whole))
        found[which] = (one + two) / 2 - both
    np.testing.assert_allclose(found["batch"], 0.0, atol=1e-6)
    assert abs(found["observed"][1]) > 1e-4


def test_the_flag_reaches_the_objective() -> None:
    assert part_of(ObjectiveConfig(loss_mean="batch"), of=models.ObjectiveOptions).loss_mean == "batch"
