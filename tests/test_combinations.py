"""What goes together: heads with ranking losses, teachers and scenarios, trained for two steps and served."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from one_user_requests import check_requests

from fullrank import models
from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.layers.legacy_keras import keras
from fullrank.models.objectives import EmaTeacher
from fullrank.models.serving.request_inputs import input_name
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.models.serving.signatures import serving_signatures
from fullrank.trainers.insight.stated_uncertainty import StatedUncertainty
from fullrank.trainers.training.teachers import averaged_weights

IDS = IdMap(kind="identity", size=40)
SCHEMA = Schema(
    name="combined",
    features=(
        Sparse(name="user", side="user", ids=IDS),
        Sparse(name="ad", side="ad", ids=IDS),
        Sparse(name="tab", ids=IdMap(kind="identity", size=4)),
    ),
    labels=(Label(name="click", mean=0.3, observed=1.0), Label(name="like", mean=0.1, observed=1.0)),
    splits=(Split(name="train", shards=(Shard(file="train-0", examples=4000),)),),
)
TASKS = ("click", "like")
TABS = (1, 0)
MMOE = models.mmoe(tasks=TASKS, width=4, experts=("flat",), expert_width=8)
OF_TABS = dataclasses.replace(
    models.stem(tasks=models.scenario_tasks(TASKS, scenarios=TABS), widths=(4,), experts=None, expert_width=8),
    scenarios=TABS,
)
MMOE_OF_TABS = dataclasses.replace(
    models.mmoe(
        tasks=models.scenario_tasks(TASKS, scenarios=TABS), width=4, experts=("flat", "crossnet"), expert_width=8
    ),
    scenarios=TABS,
)
DOMAINS = dataclasses.replace(
    models.stem_al(main="click", auxiliary=("click@0",), widths=(4, 4), expert_width=8), scenarios=TABS
)
OPTIONS = models.RankerOptions(
    tower=(8,),
    dropout=0.2,
    inducing_points=8,
    interactions=models.InteractionOptions(hidden=(8,), dropout=0.0, cross_depth=1),
)
RESIDUALS: dict[str, Any] = {"taught": True, "residual_weight": 0.5, "training_hidden": (4,)}
PAIRS: dict[str, Any] = {"ranking": "pairwise", "ranking_key": "user"}
JRC: dict[str, Any] = {"ranking": "jrc", "training_hidden": (4,)}


def built(
    wiring: models.Wiring = MMOE,
    *,
    taught: bool = False,
    head: Any = "logit",
    schema: Schema = SCHEMA,
    **objective: Any,
) -> models.Ranker:
    scenario = "tab" if wiring.scenarios else None
    return models.Ranker(
        schema,
        wiring,
        dataclasses.replace(OPTIONS, head=head, scenario=scenario),
        objective=models.ObjectiveOptions(**objective),
        taught=taught,
    )


def batch(size: int = 64, *, seed: int = 0) -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(seed)
    user, ad = draw.integers(0, 10, size), draw.integers(0, 20, size)
    chance = np.where((user + ad) % 2, 0.6, 0.1)
    columns = {
        "user": user,
        "ad": ad,
        "tab": draw.integers(0, 4, size),  # 2 and 3 are none of the wiring's scenarios
        "click": (draw.random(size) < chance).astype(np.float32),
        "like": np.where(draw.random(size) < 0.3, np.nan, draw.random(size) < 0.3).astype(np.float32),
    }
    return {name: tf.constant(values) for name, values in columns.items()}


def fused_for_serving(model: models.Ranker) -> models.Ranker:
    """What an export would be made of; writing and replaying it takes longer than all else here."""
    if model.wiring.auxiliary:
        model = model.without(tasks=model.wiring.auxiliary)
    fused = model.merged(table_variables=1)
    fused.precompute()
    return fused


def teach(given: Any) -> dict[str, tf.Tensor]:
    return {task: 0.2 + 0.5 * tf.cast(given["ad"] % 2, tf.float32) for task in TASKS}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wiring", "head", "objective"),
    [
        (MMOE, "gp", PAIRS),
        (MMOE, "gp", {**JRC, **RESIDUALS}),
        (MMOE, "gp", {"classification": "class_balanced", "ranking": "listwise"}),
        (MMOE, "rff_gp", {**PAIRS, **RESIDUALS}),
        (MMOE, "laplace", {**JRC, **RESIDUALS}),
        (MMOE, "dropout", {"classification": "focal", **PAIRS, **RESIDUALS}),
        (OF_TABS, "logit", {**JRC, **RESIDUALS}),
        (MMOE_OF_TABS, "gp", {**PAIRS, **RESIDUALS}),
        (MMOE_OF_TABS, "rff_gp", {}),
        (MMOE_OF_TABS, "laplace", {**JRC, **RESIDUALS}),
        (MMOE_OF_TABS, "dropout", PAIRS),
        (DOMAINS, "gp", PAIRS),
        (DOMAINS, "laplace", JRC),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else getattr(value, "paradigm", value),
)
def test_trains_two_steps_and_serves(wiring: models.Wiring, head: str, objective: dict[str, Any]) -> None:
    model = built(wiring, head=head, **objective)
    if objective.get("taught"):
        model.learn_from(teach)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    losses = model.fit(tf.data.Dataset.from_tensors(batch()).repeat(2), verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.isfinite(weight.numpy()).all(), weight.name
        assert not np.array_equal(weight.numpy(), old), weight.name
    rows = drawn_rows(SCHEMA, number=16, seed=1)
    fused = fused_for_serving(model)
    signatures = serving_signatures(fused, SCHEMA)
    given = {column.name: tf.constant(rows[column.name]) for column in SCHEMA.input_columns}
    assert check_requests(fused, rows) >= {"serving_request"}
    answers = signatures["serving_default"]({input_name(name): value for name, value in given.items()})
    expected_of = model(given, training=False)
    for task in answers:
        expected = expected_of[task]
        np.testing.assert_allclose(answers[task].numpy(), expected.numpy(), rtol=1e-3, atol=1e-5)
    if head != "logit":
        posterior = signatures["posterior"]({input_name(name): value for name, value in given.items()})
        assert set(posterior) == {f"{task}_{part}" for task in answers for part in ("mean", "variance")}
        for task, (mean, variance) in model.logit_distributions(given).items():
            if task not in answers:  # an auxiliary one
                continue
            np.testing.assert_allclose(posterior[f"{task}_mean"].numpy(), mean.numpy(), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(posterior[f"{task}_variance"].numpy(), variance.numpy(), rtol=1e-2, atol=1e-5)
            assert (variance.numpy() > 0).all()
        seeded = {input_name(name): value for name, value in given.items()} | {"seed": tf.constant([3, 4])}
        for task, draw in signatures["thompson"](seeded).items():
            assert ((draw.numpy() > 0) & (draw.numpy() < 1)).all()
            assert (draw.numpy() != answers[task].numpy()).any()


@pytest.mark.parametrize("objective", [{**JRC, **RESIDUALS}, {**PAIRS, **RESIDUALS}], ids=["jrc", "pairwise"])
def test_an_example_trains_the_heads_of_its_own_scenario_alone(objective: dict[str, Any]) -> None:
    model = built(OF_TABS, **objective)
    model.learn_from(teach)
    given = batch() | {"tab": tf.ones([64], tf.int64)}
    assert model.learning.heads is not None
    kernel = model.learning.heads.weights[-2]  # a row for each part and each of click@1, click@0, like@1, like@0
    with tf.GradientTape() as tape:
        loss = model.compute_loss(given, training=True)
    tables = model.table_variables
    found = tape.gradient(loss, [kernel, *tables.values()])
    moved = np.abs(found[0].numpy()[:, :, 0]).max(axis=1).reshape(-1, 4)
    np.testing.assert_array_equal(moved > 0, np.tile([True, False, True, False], (len(moved), 1)))
    for name, gradient in zip(tables, found[1:], strict=True):
        dense = np.zeros(1) if gradient is None else tf.convert_to_tensor(gradient).numpy()
        if name.split("/")[0].endswith("@0"):
            np.testing.assert_array_equal(dense, 0.0)
        else:
            assert np.abs(dense).max() > 0, name


def test_an_unlisted_scenario_trains_the_mean_of_the_heads() -> None:
    model = built(OF_TABS, **RESIDUALS)
    model.learn_from(teach)
    given = batch() | {"tab": tf.fill([64], tf.constant(3, tf.int64))}
    assert model.learning.heads is not None
    heads = model.learning.heads(model.representation(given, training=True))
    own = {part: model.outputs.of_own_scenario(value, given) for part, value in heads.items()}
    for part, value in heads.items():
        assert value.shape == (64, 4)
        expected = np.stack([value[:, :2].numpy().mean(axis=1), value[:, 2:].numpy().mean(axis=1)], axis=1)
        np.testing.assert_allclose(own[part].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_heads_that_only_train_start_at_the_mean_of_their_task() -> None:
    model = built(OF_TABS, **RESIDUALS)
    assert model.learning.heads is not None
    bias = model.learning.heads.weights[-1].numpy()[:, 0].reshape(3, 4)
    logits = [np.log(3 / 7)] * 2 + [np.log(1 / 9)] * 2
    np.testing.assert_allclose(bias, [logits, logits, [-logit for logit in logits]], rtol=1e-5)


def test_a_label_that_is_always_the_same_gives_heads_that_only_train_a_finite_start() -> None:
    schema = dataclasses.replace(SCHEMA, labels=tuple(dataclasses.replace(label, mean=1.0) for label in SCHEMA.labels))
    model = built(OF_TABS, schema=schema, **RESIDUALS)
    assert model.learning.heads is not None
    bias = model.learning.heads.weights[-1].numpy()[:, 0].reshape(3, 4)
    np.testing.assert_allclose(np.abs(bias), np.log((1 - 1e-6) / 1e-6), rtol=1e-5)


@pytest.mark.parametrize("head", ["gp", "rff_gp", "laplace"])
def test_the_moving_average_of_an_uncertain_head_says_what_the_model_says(head: str) -> None:
    model, twin = built(head=head, taught=True), built(head=head)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    callback = EmaTeacher(averaged_weights(twin), averaged_weights(model), decay=0.0)
    model.learn_from(lambda given: twin(given, training=False))
    for inputs, layer in model.trunk.inputs_of_sets.items():
        layer.embeddings.assign_tables(twin.sets[inputs])
    given = batch()
    model.fit(tf.data.Dataset.from_tensors(given).repeat(2), callbacks=[callback], verbose=0)
    for inputs, layer in twin.trunk.inputs_of_sets.items():
        layer.embeddings.assign_tables(model.sets[inputs])
    # A decay of 0 makes the average the last weights; precision and random features are the model's own as well.
    for task, (mean, variance) in model.logit_distributions(given).items():
        theirs = twin.logit_distributions(given)[task]
        np.testing.assert_allclose(theirs[0].numpy(), mean.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(theirs[1].numpy(), variance.numpy(), rtol=1e-3, atol=1e-6)


def test_the_uncertainty_of_tasks_of_scenarios_is_that_of_their_own_examples() -> None:
    stated, given = StatedUncertainty(built(DOMAINS, head="gp"), groups=2), batch()
    stated.add(given)
    found = stated.result()
    for task, tab in (("click", 1), ("click@0", 0)):
        own = given["tab"].numpy() == tab
        groups = found[task]["groups"]
        assert sum(group["examples"] for group in groups) == own.sum()
        positives = sum(group["examples"] * group["observed"] for group in groups)
        assert positives == pytest.approx(given["click"].numpy()[own].sum())
