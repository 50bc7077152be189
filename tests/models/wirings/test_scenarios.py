"""One model of several scenarios: an example is answered by the tower of its own, and trains no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import models
from fullrank.models.wirings.pruning import without_tasks

TASKS, SHOPS = ("click", "buy"), ("a", "b")
OPTIONS = models.RankerOptions(
    dropout=0.0,
    unknown_share=0.0,
    tower=(5,),
    interactions=models.InteractionOptions(hidden=(8,), dropout=0.0, cross_depth=1),
    scenario="shop",
)
HEADS = models.scenario_tasks(TASKS, scenarios=SHOPS)
MMOE = dataclasses.replace(models.mmoe(tasks=HEADS, width=4, expert_width=6), scenarios=SHOPS)
STEM = dataclasses.replace(models.stem(tasks=HEADS, widths=(4,), levels=2, expert_width=6), scenarios=SHOPS)
Build = Callable[..., models.Ranker]


@pytest.fixture(scope="module")
def build(every_kind: Any) -> Build:
    schema, vocabularies = every_kind

    def make(wiring: models.Wiring, options: models.RankerOptions = OPTIONS) -> models.Ranker:
        keras.utils.set_random_seed(3)
        model = models.Ranker(schema, wiring, options, vocabularies=vocabularies)
        for number, weight in enumerate(model.trainable_weights):
            weight.assign_add(0.1 + tf.random.stateless_normal(weight.shape, (number, 2), stddev=0.3))
        return model

    return make


def test_names_of_the_heads() -> None:
    assert HEADS == ("click@a", "click@b", "buy@a", "buy@b")
    assert MMOE.heads == HEADS
    assert MMOE.tasks == TASKS
    assert without_tasks(MMOE, tasks=("buy",)).heads == ("click@a", "click@b")
    assert MMOE.describe().startswith("MMoE: 1 set(s), H = 6, softmax gate, 2 scenarios\n")


def test_an_example_is_answered_by_its_scenario(build: Build, make_batch: Any) -> None:
    model, batch = build(MMOE), make_batch(size=64)
    every = model.head(model.tower(model.representation(batch))).numpy()
    for place, task in enumerate(TASKS):
        expected = [
            {b"a": row[2 * place], b"b": row[2 * place + 1]}.get(shop, (row[2 * place] + row[2 * place + 1]) / 2)
            for row, shop in zip(every, batch["shop"].numpy(), strict=True)
        ]
        np.testing.assert_allclose(model.logits(batch)[task].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert set(np.unique(batch["shop"].numpy())) > {b"a", b"b"}


def test_an_example_trains_no_set_of_another_scenario(build: Build, make_batch: Any) -> None:
    model, batch = build(STEM), make_batch(size=64)
    batch["shop"] = tf.fill([64], b"a")
    variables = {name: layer.weights for name, layer in model.sets.items()}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    gradients = tape.gradient(loss, variables)
    trained = {
        name
        for name, of_set in gradients.items()
        if any(g is not None and np.any(tf.convert_to_tensor(g).numpy() != 0.0) for g in of_set)
    }
    assert trained == {"shared", "click@a", "buy@a"}


def test_ids_can_be_numbers_and_it_trains(build: Build, make_batch: Any) -> None:
    users = (5, 7, -3)
    wiring = models.stem(tasks=models.scenario_tasks(TASKS, scenarios=users), widths=(4,), expert_width=6)
    model = build(dataclasses.replace(wiring, scenarios=users), dataclasses.replace(OPTIONS, scenario="user"))
    model.compile(optimizer=keras.optimizers.Adam(0.02))
    data = tf.data.Dataset.from_tensors(make_batch(size=64)).repeat(20)
    first = model.evaluate(data.take(1), verbose=0, return_dict=True)
    model.fit(data, epochs=1, verbose=0)
    last = model.evaluate(data.take(1), verbose=0, return_dict=True)
    assert last["loss"] < 0.8 * first["loss"]
    assert {"click_auc", "buy_auc"} <= set(last)
    # TensorFlow allows no such name as click@-3; variables still have one each.
    assert len({variable.name for variable in model.table_variables.values()}) == len(model.table_variables)


def test_leaving_a_task_out_keeps_the_other_of_every_scenario(build: Build, make_batch: Any) -> None:
    model, batch = build(MMOE), make_batch(size=64)
    alone = model.without(tasks=("buy",))
    np.testing.assert_array_equal(alone(batch)["click"].numpy(), model(batch)["click"].numpy())


@pytest.mark.parametrize(
    ("wiring", "scenario", "message"),
    [
        (MMOE, None, "need both a column and ids. Received: column None"),
        (
            dataclasses.replace(MMOE, scenarios=()),
            "shop",
            r"need both a column and ids. Received: column 'shop', ids \[\]",
        ),
        (MMOE, "price", "'price' is not a feature of one id.*Known: user, item, shop"),
        (MMOE, "user", r"'user' holds int64, so its scenarios are of type int. Received: \['a', 'b'\]"),
    ],
)
def test_columns_that_tell_no_scenario(
    every_kind: Any, wiring: models.Wiring, scenario: str | None, message: str
) -> None:
    schema, vocabularies = every_kind
    schema = dataclasses.replace(
        schema, labels=tuple(dataclasses.replace(schema.labels[0], name=name) for name in (*TASKS, *HEADS))
    )
    with pytest.raises(ValueError, match=message):
        models.Ranker(schema, wiring, dataclasses.replace(OPTIONS, scenario=scenario), vocabularies=vocabularies)


def test_wirings_that_miss_a_scenario() -> None:
    with pytest.raises(ValueError, match=r"every task with every scenario. .*which differ in \['click@c'\]"):
        dataclasses.replace(models.mmoe(tasks=("click@a", "click@b")), scenarios=("a", "b", "c"))
    with pytest.raises(ValueError, match=r"all auxiliary: click@a, click@a@b\. Received: click@a, click@b"):
        dataclasses.replace(models.stem_al(main="click@a", auxiliary=("click@b",)), scenarios=("a", "b"))
