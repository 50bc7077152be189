"""The cheaper heads that know how sure they are, in a model: by hand, in training, through commands and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ran_commands import run

from fullrank import models
from fullrank.data import prepare, read_schema
from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.layers import calibrated_probability
from fullrank.layers.legacy_keras import keras
from fullrank.models.heads.uncertain import DropoutHeads, LaplaceHeads
from fullrank.models.serving.request_inputs import input_name
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.trainers import evaluate, export, train

IDS = IdMap(kind="identity", size=40)
SCHEMA = Schema(
    name="uncertain",
    features=(Sparse(name="user", side="user", ids=IDS), Sparse(name="ad", side="ad", ids=IDS)),
    labels=(Label(name="click", mean=0.3, observed=1.0), Label(name="like", mean=0.1, observed=1.0)),
    splits=(Split(name="train", shards=(Shard(file="train-0", examples=4000),)),),
)
WIRING = models.multi_embedding(widths=(4,), experts=(("flat", 0),), tasks=("click", "like"), expert_width=8)
HEADS = ("laplace", "rff_gp", "dropout")


def built(head: Any, **options: Any) -> models.Ranker:
    interactions = models.InteractionOptions(hidden=(8,), dropout=0.0)
    given = {"inducing_points": 32, "tower": (8,), "dropout": 0.2 if head == "dropout" else 0.0, **options}
    return models.Ranker(SCHEMA, WIRING, models.RankerOptions(head=head, interactions=interactions, **given))


def batch(size: int = 256, *, seed: int = 0) -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(seed)
    user, ad = draw.integers(0, 40, size), draw.integers(0, 20, size)
    chance = np.where((user + ad) % 2, 0.6, 0.1)
    return {
        "user": tf.constant(user),
        "ad": tf.constant(ad),
        "click": tf.constant((draw.random(size) < chance).astype(np.float32)),
        "like": tf.constant((draw.random(size) < 0.1).astype(np.float32)),
    }


@pytest.fixture(scope="module", params=HEADS)
def trained(request: pytest.FixtureRequest) -> models.Ranker:
    model = built(request.param)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    data = tf.data.Dataset.from_tensors(batch(2048)).repeat(30)
    history = model.fit(data, epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]
    return model


def test_precision_forgets_beyond_the_number_of_examples() -> None:
    # x~ = (2, 1) in batches of 60 labels of N = 100. Nothing is learned and w = 0, so p (1 - p) = .3 * .7 = .21.
    # One batch: 60. Two: 40 of the 60 stay, 100 in all. Three: 40 of the 100 stay, 100 in all.
    heads = LaplaceHeads([0], base_rates=[0.3], random_features=None, labels=[100])
    inputs = tf.fill([60, 1, 1], 2.0)
    heads(inputs)
    kernel, bias = heads.last.trainable_weights
    kernel.assign(tf.zeros_like(kernel))
    bias.assign(tf.zeros_like(bias))
    x = np.array([2.0, 1.0])
    for number in (60, 100, 100):
        found = heads(inputs, training=True)
        heads.observe(inputs, tf.ones([60, 1]))
        np.testing.assert_array_equal(found.variance, np.zeros([60, 1]))
        precision = np.eye(2) + 0.21 * number * np.outer(x, x)
        np.testing.assert_allclose(heads(inputs).variance[0], x @ np.linalg.inv(precision) @ x, rtol=1e-4)


def test_each_task_has_its_own_posterior() -> None:
    """Two tasks on one tower, and on towers of their own, are what each of them is alone."""
    draw = np.random.default_rng(0)
    inputs = tf.constant(draw.normal(size=(50, 2, 3)), tf.float32)
    both = LaplaceHeads([0, 1, 1], base_rates=[0.3, 0.1, 0.1], random_features=None, labels=[1000] * 3)
    both(inputs)
    both.observe(inputs, tf.ones([50, 3]))
    values = {weight.name.split("/")[-1]: weight.numpy() for weight in both.last.weights}
    for task, tower in enumerate((0, 1, 1)):
        one = LaplaceHeads([0], base_rates=[(0.3, 0.1, 0.1)[task]], random_features=None, labels=[1000])
        own = inputs[:, tower : tower + 1]
        one(own)
        for weight in one.last.trainable_weights:
            weight.assign(values[weight.name.split("/")[-1]][task : task + 1])
        one.observe(own, tf.ones([50, 1]))
        for mine, theirs in zip(one(own), both(inputs), strict=True):
            np.testing.assert_allclose(mine[:, 0], theirs[:, task], rtol=1e-4)


def test_dropout_by_all_masks() -> None:
    # Two units, so four masks, each with the product of its probabilities.
    heads = DropoutHeads([0], base_rates=[0.2], rate=0.4)
    h = np.array([1.5, -0.5])
    heads(tf.constant(h[None, None], tf.float32))
    w = heads.logits.kernel.numpy()[0, :, 0]
    masks = np.array([[a, b] for a in (0, 1) for b in (0, 1)])
    chance = np.prod(np.where(masks, 0.6, 0.4), axis=1)
    f = (masks * w * h / 0.6).sum(axis=1) + np.log(0.2 / 0.8)
    found = heads(tf.constant(h[None, None], tf.float32))
    np.testing.assert_allclose(found.mean, [[chance @ f]], rtol=1e-5)
    np.testing.assert_allclose(found.variance, [[chance @ (f - chance @ f) ** 2]], rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_starts_near_the_base_rates_and_every_weight_has_a_gradient(head: str) -> None:
    model, given = built(head), batch(64)
    means = {task: float(tf.reduce_mean(mean)) for task, (mean, _) in model.logit_distributions(given).items()}
    assert means["click"] == pytest.approx(np.log(3 / 7), abs=0.5)
    assert means["like"] == pytest.approx(np.log(1 / 9), abs=0.5)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(given, training=True)
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None, weight.name
        values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
        assert np.isfinite(values.numpy()).all(), weight.name


@pytest.mark.parametrize("head", ["laplace", "rff_gp"])
def test_training_minimises_cross_entropy_and_penalty(head: str) -> None:
    model, given = built(head), batch(64)
    predicted = model._predict(given, True)
    labels = tf.stack([given["click"], given["like"]], axis=1)
    found = model.objective.losses(predicted, labels, None).numpy()
    f, y = predicted.logits.numpy(), labels.numpy()
    entropy = (np.logaddexp(0, f) - y * f).mean(axis=0)
    squares = sum((weight.numpy() ** 2).reshape(2, -1).sum(axis=1) for weight in model.head.last.trainable_weights)
    np.testing.assert_allclose(found, entropy + 0.5 * squares / 4000, rtol=1e-5)


def test_probability_is_the_expected_one(trained: models.Ranker) -> None:
    given = batch(32, seed=1)
    found, scores = trained.logit_distributions(given), trained(given)
    # Dropping units of a tower in which none is above 0 changes nothing.
    sure = np.zeros([32, 2], bool)
    if isinstance(trained.head, DropoutHeads):
        sure = (trained.tower(trained.representation(given)).numpy() == 0).all(axis=2)
    for task, (mean, variance) in found.items():
        expected = calibrated_probability(mean=mean, variance=variance)
        np.testing.assert_allclose(scores[task].numpy(), expected.numpy(), rtol=1e-5)
        tower = trained.outputs.tower_of[trained.outputs.tasks.index(task)]
        np.testing.assert_array_equal(variance.numpy() == 0, sure[:, tower])


def test_the_precision_is_that_of_one_pass(trained: models.Ranker) -> None:
    if isinstance(trained.head, DropoutHeads):
        pytest.skip("dropout keeps no precision")
    np.testing.assert_array_equal(trained.head._seen, [4000, 4000])


def test_copies_answer_alike(trained: models.Ranker) -> None:
    given = batch(32, seed=3)
    own = trained.logit_distributions(given)
    for other in (trained.merged(table_variables=1), trained.without(tasks=["like"])):
        for task, found in other.logit_distributions(given).items():
            np.testing.assert_allclose(found[0].numpy(), own[task][0].numpy(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(found[1].numpy(), own[task][1].numpy(), rtol=1e-3, atol=1e-6)


def test_what_they_cannot_predict_is_refused() -> None:
    with pytest.raises(ValueError, match="head='laplace' gives a normal distribution to the logit of one probability"):
        built("laplace", chain=("click", "like"))
    with pytest.raises(ValueError, match="dropout > 0 and a tower"):
        built("dropout", dropout=0.0)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("records") / "records"
    assert run(prepare, "--dataset=synthetic", "--rows=3000", f"--output={output}") == 0
    return output


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_from_records_to_a_posterior(head: str, records: Path, tmp_path: Path) -> None:
    flags = ["--model=me", "--widths=4", "--experts=flat:0", "--tower=8", "--hidden=8", "--epochs=2", "--dropout=0.1"]
    flags += ["--batch_size=256", "--progress=none", "--notensorboard", "--inducing_points=16", f"--head={head}"]
    assert run(train, f"--data={records}", f"--output={tmp_path / 'run'}", *flags) == 0
    assert run(evaluate, f"--run={tmp_path / 'run'}", f"--json={tmp_path / 'eval.json'}") == 0
    assert run(export, f"--run={tmp_path / 'run'}", f"--output={tmp_path / 'serving'}") == 0
    signatures = tf.saved_model.load(str(tmp_path / "serving" / "1")).signatures
    schema = read_schema(records)
    rows = drawn_rows(schema, number=3)
    given = {input_name(column.name): tf.constant(rows[column.name]) for column in schema.input_columns}
    task = next(label.name for label in schema.labels if label.type == "binary")
    posterior, scores = signatures["posterior"](**given), signatures["serving_default"](**given)
    mean, variance = posterior[f"{task}_mean"], posterior[f"{task}_variance"]
    assert (variance.numpy() > 0).all()
    expected = calibrated_probability(mean=mean, variance=variance)
    np.testing.assert_allclose(scores[task].numpy(), expected.numpy(), rtol=1e-4)
    draws = [
        signatures["thompson"](**given, seed=tf.constant(s, tf.int32))[task].numpy() for s in ([1, 2], [1, 2], [1, 3])
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all()
