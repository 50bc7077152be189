"""The Gaussian-process head in a whole model: what it predicts, how it trains, and what its export answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import models
from fullrank.data.schema.features import IdMap, Label, Numeric, NumericStatistics, Sparse
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.layers import calibrated_probability
from fullrank.models.serving import export_model
from fullrank.models.serving.sample_rows import drawn_rows

IDS = IdMap(kind="identity", size=40)
AGE = NumericStatistics(mean=0.0, std=1.0, minimum=-3.0, maximum=3.0, missing=0.0, quantiles=(-3.0, 0.0, 3.0))
SCHEMA = Schema(
    name="uncertain",
    features=(
        Sparse(name="user", side="user", ids=IDS),
        Sparse(name="ad", side="ad", ids=IDS),
        Numeric(name="age", side="user", statistics=AGE),
    ),
    labels=(Label(name="click", mean=0.3, observed=1.0), Label(name="like", mean=0.1, observed=1.0)),
    splits=(Split(name="train", shards=(Shard(file="train-0", examples=4000),)),),
)
WIRING = models.multi_embedding(widths=(4,), experts=(("flat", 0),), tasks=("click", "like"), expert_width=8)


def built(**options: Any) -> models.Ranker:
    interactions = models.InteractionOptions(hidden=(8,), dropout=0.0)
    return models.Ranker(
        SCHEMA,
        WIRING,
        models.RankerOptions(
            dropout=0.0,
            unknown_share=0.0,
            head="gp",
            inducing_points=16,
            tower=(8,),
            interactions=interactions,
            **options,
        ),
    )


def batch(size: int = 256, *, seed: int = 0) -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(seed)
    user, ad = draw.integers(0, 40, size), draw.integers(0, 20, size)
    chance = np.where((user + ad) % 2, 0.6, 0.1)
    return {
        "user": tf.constant(user),
        "ad": tf.constant(ad),
        "age": tf.constant(draw.normal(size=size).astype(np.float32)),
        "click": tf.constant((draw.random(size) < chance).astype(np.float32)),
        "like": tf.constant((draw.random(size) < 0.1).astype(np.float32)),
    }


@pytest.fixture(scope="module")
def trained() -> models.Ranker:
    model = built()
    model.compile(optimizer=tf_adam())
    data = tf.data.Dataset.from_tensors(batch(2048)).repeat(60)
    history = model.fit(data, epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]
    return model


def tf_adam() -> Any:
    from fullrank.layers.legacy_keras import keras

    return keras.optimizers.Adam(0.01)


def test_starts_at_the_base_rates() -> None:
    # Far from any inducing value the mean is the prior's, the logit of .3 and of .1.
    means = {task: mean for task, (mean, _) in built().logit_distributions(batch(16)).items()}
    assert float(tf.reduce_mean(means["click"])) == pytest.approx(np.log(3 / 7), abs=0.2)
    assert float(tf.reduce_mean(means["like"])) == pytest.approx(np.log(1 / 9), abs=0.2)


def test_probability_is_the_expected_one(trained: models.Ranker) -> None:
    given = batch(32, seed=1)
    found, scores, logits = trained.logit_distributions(given), trained(given), trained.logits(given)
    for task, (mean, variance) in found.items():
        expected = calibrated_probability(mean=mean, variance=variance)
        np.testing.assert_allclose(scores[task].numpy(), expected.numpy(), rtol=1e-5)
        np.testing.assert_array_equal(logits[task].numpy(), mean.numpy())
        assert (variance.numpy() > 0).all()


def test_the_loss_is_the_negative_evidence(trained: models.Ranker) -> None:
    # With the means and variances given, each task's loss is -E log Ber(y; sigma(f)) + KL / 4,000.
    given = batch(64, seed=2)
    inside = trained.inside(given)
    labels = tf.stack([given["click"], given["like"]], axis=1)
    losses = trained.objective.losses(inside.predicted, labels, None).numpy()
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    assert inside.predicted.variance is not None
    mean, deviation = inside.predicted.logits.numpy(), np.sqrt(inside.predicted.variance.numpy())
    f = mean[..., None] + deviation[..., None] * nodes
    y = labels.numpy()[..., None]
    likelihood = -(np.logaddexp(0, f) - y * f) @ (weights / weights.sum())
    divergence = trained.head.process.kl_divergence().numpy() / 4000
    np.testing.assert_allclose(losses, -likelihood.mean(axis=0) + divergence, rtol=1e-4)


def test_an_unseen_ad_is_less_certain(trained: models.Ranker) -> None:
    # Ads 20 to 39 were never shown.
    users, age = tf.tile(tf.range(40, dtype=tf.int64), [20]), tf.zeros([800])
    seen = {"user": users, "ad": tf.repeat(tf.range(0, 20, dtype=tf.int64), 40), "age": age}
    unseen = {**seen, "ad": seen["ad"] + 20}
    variances = [trained.logit_distributions(each)["click"][1].numpy().mean() for each in (seen, unseen)]
    assert variances[1] > variances[0]


def test_every_weight_has_a_gradient() -> None:
    model, given = built(), batch(64)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(given, training=True)
    gradients = dict(
        zip([w.name for w in model.trainable_weights], tape.gradient(loss, model.trainable_weights), strict=True)
    )
    assert all(gradient is not None for gradient in gradients.values())


def test_merged_tables_answer_alike(trained: models.Ranker) -> None:
    given, other = batch(32, seed=3), trained.merged(table_variables=1)
    for task, (mean, variance) in other.logit_distributions(given).items():
        own = trained.logit_distributions(given)[task]
        np.testing.assert_allclose(mean.numpy(), own[0].numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(variance.numpy(), own[1].numpy(), rtol=1e-4, atol=1e-6)


def test_the_export_has_a_posterior_and_draws_by_seed(trained: models.Ranker, tmp_path: Path) -> None:
    exported = export_model(trained, output=tmp_path, rows=drawn_rows(SCHEMA, number=40))
    assert {each.signature for each in exported.replayed} >= {"serving_default", "posterior", "thompson"}
    signatures = tf.saved_model.load(str(exported.path)).signatures
    given = {name: value for name, value in batch(50, seed=4).items() if name in ("user", "ad", "age")}
    posterior, scores = signatures["posterior"](**given), signatures["serving_default"](**given)
    assert set(posterior) == {"click_mean", "click_variance", "like_mean", "like_variance"}
    for task, (mean, variance) in trained.logit_distributions(given).items():
        np.testing.assert_allclose(posterior[f"{task}_mean"].numpy(), mean.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(posterior[f"{task}_variance"].numpy(), variance.numpy(), rtol=1e-3, atol=1e-5)
    draws = [signatures["thompson"](**given, seed=tf.constant(seed, tf.int32)) for seed in ([1, 2], [1, 2], [1, 3])]
    np.testing.assert_array_equal(draws[0]["click"].numpy(), draws[1]["click"].numpy())
    assert (draws[0]["click"].numpy() != draws[2]["click"].numpy()).all()
    many = [signatures["thompson"](**given, seed=tf.constant([7, k], tf.int32))["click"].numpy() for k in range(400)]
    # A mean of 400 probabilities: four deviations of at most 1 / sqrt 1,600.
    np.testing.assert_allclose(np.mean(many, axis=0), scores["click"].numpy(), atol=0.1)


def test_a_logit_head_has_no_distribution() -> None:
    model = models.Ranker(SCHEMA, WIRING, models.RankerOptions(dropout=0.0, unknown_share=0.0, tower=()))
    with pytest.raises(ValueError, match="head='gp'"):
        model.logit_distributions(batch(4))


def test_what_a_process_cannot_predict_is_refused() -> None:
    with pytest.raises(ValueError, match="the logit of a product along a chain no normal distribution"):
        built(chain=("click", "like"))
