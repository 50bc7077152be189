"""What a model predicts besides one probability a binary label: conversion chains and real values."""

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
from fullrank.models.learning.objective import ObjectiveInputs
from fullrank.models.objectives import ziln_loss
from fullrank.models.objectives.losses import binary_cross_entropy, squared_error

TASKS = ("click", "buy", "spend", "like")
LABELS = (
    Label(name="click", mean=0.5),
    Label(name="buy", mean=0.1),
    Label(name="spend", type="value", mean=3.0, positive=0.1, minimum=0.0),
    Label(name="like", mean=0.2),
)
# As they are, numbers and histories keep predictions of moved weights far from where a value is cut off.
OPTIONS = models.RankerOptions(
    dropout=0.0,
    unknown_share=0.0,
    numeric="buckets",
    buckets=32,
    sequence_scale=1.0,
    tower=(5,),
    interactions=models.InteractionOptions(hidden=(8,), dropout=0.0, cross_depth=1),
    chain=("click", "buy", "spend"),
)
STEM = models.stem(tasks=TASKS, widths=(4,), expert_width=6)
MMOE = models.mmoe(tasks=(("like", "spend"), ("click",), ("buy",)), width=4, expert_width=6)
SHOPS = ("a", "b")
SCENARIOS = dataclasses.replace(
    models.mmoe(tasks=models.scenario_tasks(TASKS, scenarios=SHOPS), width=4, expert_width=6), scenarios=SHOPS
)
Build = Callable[..., models.Ranker]


@pytest.fixture(scope="module")
def build(every_kind: Any) -> Build:
    """Builds a ranker with labels of its own; its weights are moved, so that no unit rests."""
    schema, vocabularies = every_kind

    def make(
        wiring: models.Wiring, *, labels: tuple[Label, ...] = LABELS, moved: bool = True, **changes: Any
    ) -> models.Ranker:
        keras.utils.set_random_seed(3)
        data = dataclasses.replace(schema, labels=labels)
        model = models.Ranker(data, wiring, dataclasses.replace(OPTIONS, **changes), vocabularies=vocabularies)
        for number, weight in enumerate(model.trainable_weights if moved else ()):
            weight.assign_add(0.1 + tf.random.stateless_normal(weight.shape, (number, 2), stddev=0.3))
        return model

    return make


@pytest.fixture(scope="module")
def batches(make_batch: Any) -> Callable[..., dict[str, tf.Tensor]]:
    def make(*, size: int) -> dict[str, tf.Tensor]:
        draw = np.random.default_rng(4)
        buy = draw.integers(0, 2, size).astype(np.float32)
        spend = np.where(buy > 0, draw.lognormal(1, 1, size), 0).astype(np.float32)
        spend[::5] = np.nan
        batch = dict(make_batch(size=size))
        batch |= {"buy": tf.constant(buy), "spend": tf.constant(spend), "like": tf.constant(1 - buy)}
        return batch

    return make


@pytest.mark.parametrize("wiring", [STEM, MMOE], ids=lambda wiring: wiring.paradigm)
def test_predictions_are_products_along_the_chain(build: Build, batches: Any, wiring: models.Wiring) -> None:
    model, batch = build(wiring), batches(size=20)
    columns = model.head(model.tower(model.representation(batch))).numpy().astype(np.float64)
    column = {name: columns[:, place] for place, name in enumerate(model.outputs.columns)}
    given = {task: 1 / (1 + np.exp(-column[task])) for task in TASKS}
    scale = 0.01 + np.log1p(np.exp(column["spend/scale"]))
    positive = given["click"] * given["buy"] * given["spend"]
    expected = {
        "click": given["click"],
        "buy": given["click"] * given["buy"],
        "spend": positive * np.exp(column["spend/location"] + scale**2 / 2),
        "like": given["like"],
        "buy_given_click": given["buy"],
        "spend_given_buy": given["spend"],
    }
    found = model(batch)
    assert set(found) == {*expected, "spend_q50", "spend_q90"}
    assert tuple(found) == model.outputs.names
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=2e-5, err_msg=name)
    logits = model.logits(batch)
    np.testing.assert_allclose(tf.sigmoid(logits["spend"]).numpy(), positive, rtol=2e-5)
    assert (found["spend_q90"].numpy() >= found["spend_q50"].numpy()).all()


def test_the_loss_is_the_sum_of_those_of_the_tasks(build: Build, batches: Any) -> None:
    model, batch = build(STEM), batches(size=20)
    columns = model.head(model.tower(model.representation(batch)))
    column = {name: columns[:, place] for place, name in enumerate(model.outputs.columns)}
    logits, weights = model.logits(batch), batch["weight"]
    losses = [
        binary_cross_entropy(labels=batch[task], logits=logits[task], weights=weights)
        for task in ("click", "buy", "like")
    ]
    spend = ziln_loss(
        labels=batch["spend"],
        logits=logits["spend"],
        location=column["spend/location"],
        scale=0.01 + tf.math.softplus(column["spend/scale"]),
        weights=weights,
    )
    expected = float(tf.add_n([*losses, spend])) / 4
    np.testing.assert_allclose(float(model.compute_loss(batch)), expected, rtol=1e-5)


def test_squared_loss_is_in_units_of_the_mean(build: Build, batches: Any) -> None:
    model, batch = build(models.single(tasks=("spend",), width=4), chain=(), value_loss="squared"), batches(size=20)
    column = model.head(model.tower(model.representation(batch)))[:, 0]
    np.testing.assert_allclose(model(batch)["spend"].numpy(), 3 * column.numpy(), rtol=1e-5)
    expected = squared_error(labels=batch["spend"] / 3, predictions=column, weights=batch["weight"])
    np.testing.assert_allclose(float(model.compute_loss(batch)), float(expected), rtol=1e-5)
    assert model.logits(batch) == {}


@pytest.mark.parametrize("loss", ["ziln", "squared"])
def test_unobserved_values_have_no_gradient(build: Build, batches: Any, loss: Any) -> None:
    model, batch = build(STEM, chain=(), value_loss=loss), batches(size=16)
    batch["spend"] = tf.fill([16], float("nan"))
    with tf.GradientTape() as tape:
        objective = model.compute_loss(batch, training=True)
    gradient = tape.gradient(objective, model.head.kernel).numpy()
    own = np.array([name.startswith("spend") for name in model.outputs.columns])
    np.testing.assert_array_equal(gradient[own], 0.0)
    assert (np.abs(gradient[~own]).max(axis=(1, 2)) > 0).all()


def test_an_unobserved_last_event_trains_nothing_of_its_own(build: Build, batches: Any) -> None:
    model, batch = build(STEM), batches(size=16)
    batch["spend"] = tf.fill([16], float("nan"))
    batch["buy"] = tf.fill([16], float("nan"))
    with tf.GradientTape() as tape:
        objective = model.compute_loss(batch, training=True)
    gradient = tape.gradient(objective, model.head.kernel).numpy()
    places = {name: place for place, name in enumerate(model.outputs.columns)}
    for name in ("buy", "spend", "spend/location", "spend/scale"):
        np.testing.assert_array_equal(gradient[places[name]], 0.0)
    assert np.abs(gradient[places["click"]]).max() > 0


def test_starts_at_the_means(build: Build) -> None:
    biases = build(STEM, moved=False).head.bias.numpy()[:, 0]
    # Given the event before: .5; .1 / .5 = .2; .1 / .1 = 1, held at .99. Then E[spend | > 0] = 3 / .099, with s = 1.
    expected = [0.0, np.log(0.2 / 0.8), np.log(99), np.log(0.2 / 0.8), np.log(3 / 0.099) - 0.5, np.log(np.expm1(0.99))]
    np.testing.assert_allclose(biases, expected, rtol=1e-5)
    plain = build(models.single(tasks=("spend",), width=4), moved=False, chain=())
    # P(spend > 0) = .1 and E[spend | > 0] = 30.
    np.testing.assert_allclose(plain.head.bias.numpy()[:2, 0], [np.log(1 / 9), np.log(30) - 0.5], rtol=1e-5)
    squared = build(models.single(tasks=("spend",), width=4), moved=False, chain=(), value_loss="squared")
    np.testing.assert_allclose(squared.head.bias.numpy(), [[1.0]])


def test_values_of_scenarios(build: Build, batches: Any) -> None:
    model, batch = build(SCENARIOS, scenario="shop"), batches(size=64)
    columns = model.head(model.tower(model.representation(batch))).numpy()
    place = {name: number for number, name in enumerate(model.outputs.columns)}

    def own(part: str) -> np.ndarray[Any, Any]:
        a, b = (columns[:, place[f"{part}@{shop}"]] for shop in SHOPS)
        chosen = np.select([batch["shop"] == b"a", batch["shop"] == b"b"], [a, b], (a + b) / 2)
        return np.asarray(chosen, np.float64)

    positive = 1 / np.prod([1 + np.exp(-own(task)) for task in ("click", "buy", "spend")], axis=0)
    exponent = own("spend/location") + (0.01 + np.log1p(np.exp(own("spend/scale")))) ** 2 / 2
    expected = positive * np.exp(np.minimum(exponent, 80))
    np.testing.assert_allclose(model(batch)["spend"].numpy(), expected, rtol=5e-5)


def test_fits_and_reports(build: Build, batches: Any) -> None:
    model = build(STEM, moved=False)
    model.compile(optimizer=keras.optimizers.Adam(0.02))
    data = tf.data.Dataset.from_tensors(batches(size=64)).repeat(30)
    first = model.evaluate(data.take(1), verbose=0, return_dict=True)
    model.fit(data, epochs=1, verbose=0)
    last = model.evaluate(data.take(1), verbose=0, return_dict=True)
    assert last["loss"] < 0.9 * first["loss"]
    assert last["spend_rmse"] < first["spend_rmse"]
    assert {"click_auc", "buy_auc", "like_ne", "spend_rmse", "spend_mae", "spend_bias"} <= set(last)
    assert "spend_auc" not in last


@pytest.mark.parametrize("gone", [("like",), ("spend",), ("buy", "spend"), ("click", "buy", "spend")])
@pytest.mark.parametrize("wiring", [STEM, MMOE], ids=lambda wiring: wiring.paradigm)
def test_without_the_end_of_the_chain(build: Build, batches: Any, wiring: models.Wiring, gone: tuple[str, ...]) -> None:
    model, batch = build(wiring), batches(size=16)
    left = model.without(tasks=gone)
    found, expected = left(batch), model(batch)
    for task in set(TASKS) - set(gone):
        np.testing.assert_allclose(found[task].numpy(), expected[task].numpy(), rtol=1e-6)
    with pytest.raises(ValueError, match="'spend' cannot be predicted without 'buy', which precedes it"):
        model.without(tasks=("buy",))


def test_merged_tables_are_equal(build: Build, batches: Any) -> None:
    model, batch = build(STEM), batches(size=16)
    other = model.merged(table_variables=1)
    for name, values in model(batch).items():
        np.testing.assert_allclose(other(batch)[name].numpy(), values.numpy(), rtol=1e-6)


def test_many_tasks_are_one_graph(build: Build, batches: Any) -> None:
    tasks = tuple(f"t{number}" for number in range(128))
    labels = tuple(Label(name=task, type="value" if n % 4 == 3 else "binary") for n, task in enumerate(tasks))

    def operations(count: int) -> int:
        used = tasks[:count]
        model = build(models.mmoe(tasks=(used,), width=4), labels=labels[:count], chain=used[:3])
        graph = tf.function(lambda batch: model.outputs.predictions(model._predict(batch, False)))
        concrete = graph.get_concrete_function(model.example_batch())
        return len(concrete.graph.get_operations())

    assert operations(128) - operations(8) < 0.05 * operations(8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chain": ("click",)}, "joins two or more different tasks"),
        ({"chain": ("click", "click")}, "joins two or more different tasks"),
        ({"chain": ("click", "view")}, "names view, but the tasks are click, buy, spend, like"),
        ({"chain": ("click", "spend", "buy")}, "only the last task can be a value"),
        ({"value_loss": "squared"}, "take --value_loss=ziln"),
        ({"chain": (), "task_weights": "uncertainty"}, "never negative"),
    ],
)
def test_refuses(build: Build, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(STEM, **changes)


def test_refuses_values_below_zero_and_names_in_use(build: Build) -> None:
    negative = (Label(name="profit", type="value", mean=1.0, minimum=-5.0),)
    with pytest.raises(ValueError, match="profit fall below 0, which no log-normal has: use --value_loss=squared"):
        build(models.single(tasks=("profit",)), labels=negative, chain=())
    taken = (*LABELS, Label(name="buy_given_click"))
    with pytest.raises(ValueError, match=r"\['buy_given_click'\] would have the names of tasks"):
        build(models.single(tasks=[label.name for label in taken]), labels=taken)


def test_an_export_keeps_what_stands_before_the_main_task(build: Build) -> None:
    first = models.stem_al(main="click", auxiliary=("buy",), widths=(4, 3), expert_width=6)
    assert build(first, chain=("click", "buy")).without(tasks=("buy",)).options.chain == ()
    with pytest.raises(ValueError, match="'buy' cannot be predicted without 'click'"):
        build(dataclasses.replace(first, auxiliary=("click",)), chain=("click", "buy"))


@pytest.mark.parametrize("value_loss", ["ziln", "squared"])
def test_a_ranking_loss_orders_values(build: Build, batches: Any, value_loss: Any) -> None:
    """`(1 - w) L + w L_pairs` on log means or, with squared error, on values in units of their mean; pLTV of §6.1."""
    batch, chain = batches(size=24), OPTIONS.chain if value_loss == "ziln" else ()
    plain = build(MMOE, value_loss=value_loss, chain=chain)
    weights = plain.get_weights()
    schema, options = plain.schema, plain.options
    objective = models.ObjectiveOptions(ranking="pairwise", ranking_weight=0.25, ranking_key="user")
    model = models.Ranker(schema, MMOE, options, vocabularies=plain.vocabularies, objective=objective)
    model.set_weights(weights)
    predicted = plain._predict(batch, False)
    labels = plain.outputs.rows.labels(batch)
    place = MMOE.tasks.index("spend")
    means = plain(batch)["spend"].numpy().astype(np.float64)
    scores = np.log(means) if value_loss == "ziln" else means / 3.0  # the schema's mean
    spend, user, w = batch["spend"].numpy(), batch["user"].numpy(), batch["weight"].numpy()
    total = count = 0.0
    for i in range(24):
        for j in range(24):
            if spend[i] > spend[j] and user[i] == user[j] != -1:
                total += w[i] * w[j] * np.log1p(np.exp(scores[j] - scores[i]))
                count += w[i] * w[j]
    assert count > 0
    own = plain.objective.losses(predicted, labels, batch["weight"])[place]
    inputs = ObjectiveInputs({}, keys=batch["user"])
    found = model.objective.losses(predicted, labels, batch["weight"], inputs)[place]
    assert float(found) == pytest.approx(0.75 * float(own) + 0.25 * total / count, rel=1e-4)


def test_a_model_of_values_alone_takes_the_pairwise_loss(build: Build, batches: Any) -> None:
    wiring = models.single(tasks=("spend",), width=4, experts=("flat",), expert_width=6)
    plain = build(wiring, chain=())
    given: dict[str, Any] = {"vocabularies": plain.vocabularies}
    objective = models.ObjectiveOptions(ranking="pairwise")
    model = models.Ranker(plain.schema, wiring, plain.options, objective=objective, **given)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    losses = model.fit(tf.data.Dataset.from_tensors(batches(size=64)).repeat(30), epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    for objective in (models.ObjectiveOptions(ranking="listwise"), models.ObjectiveOptions(classification="focal")):
        with pytest.raises(ValueError, match="The pairwise ranking loss also orders real values"):
            models.Ranker(plain.schema, wiring, plain.options, objective=objective, **given)
