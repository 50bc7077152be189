"""Distributions of logits where examples belong to scenarios: whose they are, and what they follow from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import models
from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.layers.uncertainty.task_logits import GaussianLogits
from fullrank.models.heads.task_outputs import TaskOutputs
from fullrank.models.learning.label_counts import LabelCounts

TABS = (1, 0)
SCHEMA = Schema(
    name="tabs",
    features=(
        Sparse(name="ad", side="ad", ids=IdMap(kind="identity", size=40)),
        Sparse(name="tab", ids=IdMap(kind="identity", size=4)),
    ),
    labels=(Label(name="click", mean=0.3, observed=1.0), Label(name="like", mean=0.1, observed=0.5)),
    splits=(Split(name="train", shards=(Shard(file="train-0", examples=4000),)),),
)
TASKS = ("click", "like")
HEADS = models.scenario_tasks(TASKS, scenarios=TABS)
WIRING = dataclasses.replace(models.mmoe(tasks=HEADS, width=4, experts=("flat",), expert_width=8), scenarios=TABS)
DOMAINS = dataclasses.replace(
    models.stem_al(main="click", auxiliary=("click@0",), widths=(4, 4), expert_width=8), scenarios=TABS
)


def built(head: Any, wiring: models.Wiring = WIRING) -> models.Ranker:
    interactions = models.InteractionOptions(hidden=(8,), dropout=0.0, cross_depth=1)
    options = models.RankerOptions(
        head=head, scenario="tab", tower=(8,), dropout=0.2, inducing_points=8, interactions=interactions
    )
    return models.Ranker(SCHEMA, wiring, options)


def batch(size: int = 64, *, tabs: tuple[int, ...] = (0, 1, 2, 3)) -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(0)
    like = np.where(draw.random(size) < 0.5, np.nan, draw.random(size) < 0.3)
    columns = {
        "ad": draw.integers(0, 20, size),
        "tab": draw.choice(tabs, size),
        "click": (draw.random(size) < 0.4).astype(np.float32),
        "like": like.astype(np.float32),
    }
    return {name: tf.constant(values) for name, values in columns.items()}


def test_by_hand() -> None:
    # click@1 ~ N(1, .5), click@0 ~ N(-2, 1.5): tab 1 has the first, tab 0 the second, and tab 7 the mixture: mean -.5,
    # variance (.5 + 1.5) / 2 + (1.5^2 + 1.5^2) / 2 = 3.25; in training 1. Divergences of .1 + .2 and .3 + .4 a task.
    outputs = TaskOutputs(SCHEMA, WIRING, models.RankerOptions(head="gp", scenario="tab"))
    found = GaussianLogits(tf.constant([[1.0, -2.0, 0.0, 4.0]] * 3), tf.constant([[0.5, 1.5, 0.2, 0.4]] * 3))
    given = {"tab": tf.constant([1, 0, 7], tf.int64)}
    divergence = tf.constant([0.1, 0.2, 0.3, 0.4])
    served = outputs.uncertain(found, given, divergence=divergence, training=False)
    assert served.variance is not None
    assert served.divergence is not None
    np.testing.assert_allclose(served.logits, [[1.0, 0.0], [-2.0, 4.0], [-0.5, 2.0]], rtol=1e-6)
    np.testing.assert_allclose(served.variance, [[0.5, 0.2], [1.5, 0.4], [3.25, 4.3]], rtol=1e-6)
    np.testing.assert_allclose(served.divergence, [0.3, 0.7], rtol=1e-6)
    learned = outputs.uncertain(found, given, divergence=divergence, training=True)
    assert learned.variance is not None
    np.testing.assert_allclose(learned.variance, [[0.5, 0.2], [1.5, 0.4], [1.0, 0.3]], rtol=1e-6)


@pytest.mark.parametrize("head", ["gp", "laplace"])
def test_an_example_trains_its_own_head_and_is_answered_by_it(head: str) -> None:
    model, given = built(head), batch(tabs=(1,))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(given, training=True)
        # Priors belong to every head; what the examples say does not.
        loss -= tf.reduce_sum(model.head.divergence()) / 2.0
    gradient = tape.gradient(loss, model.tower.trainable_weights[0])
    moved = [np.abs(row.numpy()).max() > 0 for row in tf.unstack(gradient)]
    assert moved == [True, False, True, False]
    every = model.head(model.tower(model.representation(given)))
    for place, (mean, variance) in enumerate(model.logit_distributions(given).values()):
        np.testing.assert_array_equal(mean.numpy(), every.mean[:, 2 * place].numpy())
        np.testing.assert_array_equal(variance.numpy(), every.variance[:, 2 * place].numpy())


@pytest.mark.parametrize("head", ["laplace", "rff_gp"])
def test_precision_follows_from_a_scenarios_own_labels(head: str) -> None:
    model, given = built(head), batch()
    model.compute_loss(given, training=True)
    tab, like = given["tab"].numpy(), given["like"].numpy()
    seen = [
        (tab == 1).sum(),
        (tab == 0).sum(),
        ((tab == 1) & ~np.isnan(like)).sum(),
        ((tab == 0) & ~np.isnan(like)).sum(),
    ]
    np.testing.assert_array_equal(model.head._seen.numpy(), seen)
    alone = built(head)
    alone.set_weights(model.get_weights())
    before = alone.head.last.weights
    old = [weight.numpy() for weight in before]
    alone.compute_loss(batch(tabs=(2, 3)), training=True)  # of no scenario: nothing is learned of any head's width
    for weight, value in zip(before, old, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, rtol=1e-6)


def test_shares_are_counted() -> None:
    # Of 30 labels 20 are the first head's; one more is spread evenly: 20.5 / 31 and 10.5 / 31.
    counts = LabelCounts(2, scenarios=2)
    np.testing.assert_allclose(counts.share(), [0.5, 0.5])
    counts.observe(tf.constant([15, 0]), tf.constant([15, 15]))
    counts.observe(tf.constant([5, 10]), tf.constant([15, 15]))
    np.testing.assert_allclose(counts.share(), [20.5 / 31, 10.5 / 31], rtol=1e-6)


def test_a_domains_divergence_is_divided_by_its_own_labels() -> None:
    # 4,000 examples have a click; of the batch's, a share is of each domain.
    model, given = built("gp", DOMAINS), batch()
    model.compute_loss(given, training=True)
    tab = given["tab"].numpy()
    number = np.array([4000 * ((tab == s).sum() + 0.5) / 65 for s in TABS])
    found = model._predict(given, True).divergence
    assert found is not None
    np.testing.assert_allclose(found, model.head.process.kl_divergence() / number, rtol=1e-5)


def test_a_tasks_divergence_is_that_of_all_its_heads() -> None:
    model, given = built("gp"), batch()
    model.compute_loss(given, training=True)
    kl = model.head.process.kl_divergence().numpy()
    expected = [(kl[0] + kl[1]) / 4000, (kl[2] + kl[3]) / 2000]
    found = model._predict(given, True).divergence
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-5)
