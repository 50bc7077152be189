"""Labels that few examples have: a head is as sure as these examples alone would make it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import models
from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.models.heads.uncertain import LaplaceHeads

IDS = IdMap(kind="identity", size=40)
WIRING = models.multi_embedding(widths=(4,), experts=(("flat", 0),), tasks=("click", "like"), expert_width=8)
HEADS = ("gp", "laplace", "rff_gp")
ROWS = 400


def schema(*, examples: int, observed: float | None) -> Schema:
    return Schema(
        name="sparse",
        features=(Sparse(name="user", side="user", ids=IDS), Sparse(name="ad", side="ad", ids=IDS)),
        labels=(Label(name="click", mean=0.3, observed=1.0), Label(name="like", mean=0.1, observed=observed)),
        splits=(
            Split(name="train", shards=(Shard(file="train-0", examples=examples),)),
            Split(name="validation", shards=(Shard(file="validation-0", examples=10 * examples),)),
        ),
    )


def built(head: Any, *, examples: int, observed: float | None, **more: Any) -> models.Ranker:
    options = models.RankerOptions(
        dropout=0.0,
        unknown_share=0.0,
        head=head,
        inducing_points=8,
        tower=(8,),
        interactions=models.InteractionOptions(hidden=(8,), dropout=0.0),
    )
    return models.Ranker(schema(examples=examples, observed=observed), WIRING, options, **more)


def batch() -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """400 examples of which 20 have a label `like`, and these 20 alone."""
    draw = np.random.default_rng(0)
    columns: dict[str, np.ndarray[Any, Any]] = {
        "user": draw.integers(0, 40, ROWS),
        "ad": draw.integers(0, 40, ROWS),
        "click": (draw.random(ROWS) < 0.3).astype(np.float32),
        "like": (draw.random(ROWS) < 0.4).astype(np.float32),
    }
    few = np.sort(draw.permutation(ROWS)[:20])
    alone = {name: tf.constant(values[few]) for name, values in columns.items()}
    columns["like"][np.setdiff1d(np.arange(ROWS), few)] = np.nan
    return {name: tf.constant(values) for name, values in columns.items()}, alone


@pytest.mark.parametrize("head", HEADS)
def test_a_sparse_label_is_learned_as_from_its_examples_alone(head: str) -> None:
    """4,000 examples of which 5 % have the label are 200 that all have it: in loss, gradients and precision."""
    given, alone = batch()
    sparse, full = built(head, examples=4000, observed=0.05), built(head, examples=200, observed=1.0)
    sparse.set_weights([weight + 0.01 for weight in sparse.get_weights()])
    full.set_weights(sparse.get_weights())
    for weight in (w for model in (sparse, full) for w in model.head.weights if "started" in w.name):
        weight.assign(1.0)  # the first batch would place the inducing points
    found = []
    for model, rows in ((sparse, given), (full, alone)):
        with tf.GradientTape() as tape:
            predicted = model._predict(rows, True)
            targets = model.learning.targets(rows)
            loss = model.objective.losses(predicted, *targets)[1]
        own = model.head.trainable_weights
        found.append([loss, *(tf.convert_to_tensor(each) for each in tape.gradient(loss, own))])
        model.compute_loss(rows, training=True)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)
    mean, variance = (each.numpy() for each in sparse.logit_distributions(alone)["like"])
    np.testing.assert_allclose(full.logit_distributions(alone)["like"][0], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(full.logit_distributions(alone)["like"][1], variance, rtol=1e-3)


@pytest.mark.parametrize("head", HEADS)
def test_n_is_that_of_the_training_split_and_of_each_task(head: str) -> None:
    model = built(head, examples=4000, observed=0.05)
    np.testing.assert_array_equal(model.head._labels, [4000, 200])
    np.testing.assert_array_equal(built(head, examples=4000, observed=None).head._labels, [4000, 4000])
    np.testing.assert_array_equal(built(head, examples=4000, observed=0.0).head._labels, [4000, 1])
    named = built(head, examples=4000, observed=0.05, train_split="validation")
    np.testing.assert_array_equal(named.head._labels, [40000, 2000])
    other = built(head, examples=4000, observed=0.05, train_split="elsewhere")
    np.testing.assert_array_equal(other.head._labels, [40000, 2000])


def test_class_balance_counts_labels_too() -> None:
    objective = models.ObjectiveOptions(classification="class_balanced", balance=0.999)
    model = built("logit", examples=4000, observed=0.05, objective=objective)
    # (1 - .999) / (1 - .999^n) of 20 and 180 labels.
    expected = [1e-3 / (1 - 0.999**20), 1e-3 / (1 - 0.999**180)]
    found = model.objective._binary._of_class
    assert found is not None
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-5)


def test_precision_of_sparse_labels_by_hand() -> None:
    # x~ = (2, 1), w = 0, p (1 - p) = .3 * .7 = .21. Batches of 60 with 60 and 10 labels, N = 100 and 15.
    # The first task: 60, then 40 of the 60 stay and 60 are added: 100. The second: 10, then 5 of 10 stay: 15.
    # A third batch without a label of the second task leaves that one at 15.
    heads = LaplaceHeads([0, 0], base_rates=[0.3, 0.3], random_features=None, labels=[100, 15])
    inputs = tf.fill([60, 1, 1], 2.0)
    heads(inputs)
    kernel, bias = heads.last.trainable_weights
    kernel.assign(tf.zeros_like(kernel))
    bias.assign(tf.zeros_like(bias))
    x = np.array([2.0, 1.0])
    some = np.stack([np.ones(60), np.arange(60) < 10], axis=1).astype(np.float32)
    none = some * [1.0, 0.0]
    for weights, numbers in ((some, (60, 10)), (7.0 * some, (100, 15)), (none, (100, 15))):
        heads.observe(inputs, tf.constant(weights, tf.float32))
        for task, number in enumerate(numbers):
            precision = np.eye(2) + 0.21 * number * np.outer(x, x)
            np.testing.assert_allclose(heads(inputs).variance[0, task], x @ np.linalg.inv(precision) @ x, rtol=1e-4)
        np.testing.assert_allclose(heads._seen, numbers)


def test_weights_say_how_labels_share_n() -> None:
    """The scale of the sample weights does not make the posterior surer; their ratios count."""
    inputs = tf.constant(np.random.default_rng(1).normal(size=(30, 1, 3)), tf.float32)
    weights = np.linspace(0.5, 2.0, 30)[:, None]
    variances = []
    for given in (weights, 10 * weights, np.ones([30, 1])):
        heads = LaplaceHeads([0], base_rates=[0.3], random_features=None, labels=[1000])
        heads(inputs)
        heads.last.set_weights([np.zeros_like(w) if w.shape[-1] == 1 else w for w in heads.last.get_weights()])
        heads.observe(inputs, tf.constant(given, tf.float32))
        variances.append(heads(inputs).variance.numpy())
    np.testing.assert_allclose(variances[0], variances[1], rtol=1e-5)
    assert np.abs(variances[0] / variances[2] - 1).max() > 0.01


def test_the_schema_may_not_know() -> None:
    without = dataclasses.replace(schema(examples=1, observed=1.0), splits=())
    model = models.Ranker(
        without, WIRING, models.RankerOptions(dropout=0.0, unknown_share=0.0, head="laplace", tower=())
    )
    np.testing.assert_array_equal(model.head._labels, [1_000_000, 1_000_000])
