"""STEM-AL across domains: the click of one scenario, which the clicks of others help, by one label ([Tencent] §5.2)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from ran_commands import run

from fullrank import models
from fullrank.models.serving.signatures import serving_signatures
from fullrank.models.wirings.pruning import without_tasks
from fullrank.trainers import evaluate, export, predict, train
from fullrank.trainers.training.load_run import load_run

SHOPS = ("a", "b", "c")
TASKS = models.domain_tasks("click", scenarios=SHOPS)
STEM_AL = models.stem_al(main=TASKS[0], auxiliary=TASKS[1:], widths=(4, 3), expert_width=6)
WIRING = dataclasses.replace(STEM_AL, scenarios=SHOPS)
OPTIONS = models.RankerOptions(
    dropout=0.0,
    unknown_share=0.0,
    tower=(5,),
    interactions=models.InteractionOptions(hidden=(8,), dropout=0.0, cross_depth=1),
    scenario="shop",
)


@pytest.fixture(scope="module")
def build(every_kind: Any) -> Any:
    schema, vocabularies = every_kind

    def make(*, wiring: models.Wiring = WIRING, taught: bool = False, **objective: Any) -> models.Ranker:
        keras.utils.set_random_seed(3)
        given = models.ObjectiveOptions(**objective)
        model = models.Ranker(schema, wiring, OPTIONS, vocabularies=vocabularies, objective=given, taught=taught)
        for number, weight in enumerate(model.trainable_weights):
            weight.assign_add(0.1 + tf.random.stateless_normal(weight.shape, (number, 2), stddev=0.3))
        return model

    return make


def biggest(gradient: Any) -> float:
    return 0.0 if gradient is None else float(np.abs(tf.convert_to_tensor(gradient).numpy()).max())


def test_tasks_of_the_wiring() -> None:
    assert TASKS == ("click", "click@b", "click@c")
    assert WIRING.tasks == TASKS
    assert WIRING.labels == ("click", "click", "click")
    assert WIRING.domains == {"click": "a", "click@b": "b", "click@c": "c"}
    assert WIRING.head_scenarios == ()
    alone, two = without_tasks(WIRING, tasks=WIRING.auxiliary), without_tasks(WIRING, tasks=("click@c",))
    assert (alone.tasks, alone.scenarios, alone.labels, alone.domains) == (("click",), (), ("click",), {})
    assert (two.tasks, two.domains) == (("click", "click@b"), {"click": "a", "click@b": "b"})
    with pytest.raises(ValueError, match="'click' is the main task, which the others only help"):
        without_tasks(WIRING, tasks=("click",))
    with pytest.raises(ValueError, match=r"all auxiliary: click, click@b\. Received: click, click@b, click@c"):
        dataclasses.replace(STEM_AL, scenarios=("a", "b"))


def test_a_label_belongs_to_the_task_of_its_scenario(build: Any, make_batch: Any) -> None:
    model, batch = build(), make_batch(size=64)
    shops, clicks = batch["shop"].numpy(), batch["click"].numpy()
    assert set(shops) == {b"", b"a", b"b", b"c"}
    expected = np.stack([np.where(shops == s.encode(), clicks, np.nan) for s in SHOPS], axis=1)
    np.testing.assert_array_equal(model.outputs.rows.labels(batch).numpy(), expected)
    kept = {name: batch[name].numpy() for name in model.outputs.rows.label_columns}
    assert set(kept) == {"click", "shop"}
    np.testing.assert_array_equal(model.outputs.rows.labels(kept).numpy(), expected)  # as commands call it


def test_the_loss_is_the_mean_of_each_scenarios_own(build: Any, make_batch: Any) -> None:
    model, batch = build(), make_batch(size=64)
    logits = {task: value.numpy() for task, value in model.logits(batch).items()}
    shops, y, w = (batch[name].numpy() for name in ("shop", "click", "weight"))
    losses = []
    for task, shop in zip(TASKS, SHOPS, strict=True):
        own = shops == shop.encode()
        entropy = np.logaddexp(0.0, logits[task]) - y * logits[task]
        losses.append((w * entropy)[own].sum() / w[own].sum())
    assert float(model.compute_loss(batch)) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("taught", [False, True])
def test_who_trains_whom(build: Any, make_batch: Any, taught: bool) -> None:
    """dL_aux / dE_main = 0 and dL_main / dE_aux != 0; an example trains the towers of its own scenario alone."""
    more = {"taught": True, "residual_weight": 0.5, "ranking": "pairwise"} if taught else {}
    model = build(**more)
    if taught:
        model.learn_from(lambda batch: {task: tf.fill(tf.shape(batch["click"]), 0.3) for task in TASKS})
    tables = model.table_variables
    for shop, place in ((b"a", 0), (b"b", 1), (b"c", 2), (b"", None)):
        batch = make_batch(size=64) | {"shop": tf.fill([64], shop)}
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        towers = [model.tower.trainable_weights[0], model.head.kernel]
        found = tape.gradient(loss, [*tables.values(), *towers])
        of_sets = {name: biggest(gradient) for name, gradient in zip(tables, found[: len(tables)], strict=True)}
        trained = {name.split("/")[0] for name, size in of_sets.items() if size > 0.0}
        assert trained == ({"main", "auxiliary"} if place == 0 else {"auxiliary"} if place else set())
        for gradient in found[len(tables) :]:
            moved = [biggest(row) > 0.0 for row in tf.unstack(tf.convert_to_tensor(gradient))]
            assert moved == [number == place for number in range(3)]


def test_the_exported_model_is_the_main_tower_for_every_request(build: Any, make_batch: Any) -> None:
    model, batch = build(), make_batch(size=64)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0).history
    assert {f"{task}_auc" for task in TASKS} <= set(history)
    alone = model.without(tasks=model.wiring.auxiliary)
    assert list(alone(batch)) == ["click"]
    assert alone.options.scenario is None
    np.testing.assert_allclose(alone(batch)["click"].numpy(), model(batch)["click"].numpy(), rtol=1e-5)
    served = serving_signatures(alone.merged(table_variables=1), model.schema)["serving_default"]
    inputs = {column.name: batch[column.name] for column in model.schema.input_columns}
    np.testing.assert_allclose(served(inputs)["click"].numpy(), model(batch)["click"].numpy(), rtol=1e-5)
    assert (alone.head.kernel.shape[0], model.head.kernel.shape[0]) == (1, 3)


@pytest.mark.slow
def test_by_the_command_line(toy_records: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flags = ("--model=stem_al", "--scenario=user", "--scenarios=3,7,9")
    common = (
        "--widths=4,4",
        "--hidden=8",
        "--tower=",
        "--epochs=1",
        "--batch_size=64",
        "--progress=none",
        "--tensorboard=false",
    )
    assert run(train, f"--data={toy_records}", f"--output={tmp_path}/run", *flags, *common) == 0
    loaded = load_run(tmp_path / "run")
    assert loaded.model.wiring.domains == {"click": 3, "click@7": 7, "click@9": 9}
    evaluation = ("--split=train", f"--json={tmp_path}/eval.json", f"--baseline={tmp_path}/run")
    assert run(evaluate, f"--run={tmp_path}/run", *evaluation) == 0
    results = json.loads((tmp_path / "eval.json").read_text())
    assert set(results) == {"click", "click@7", "click@9"}
    assert 0 < results["click"]["examples"] < 150  # about 1,200 examples of 30 users
    assert run(predict, f"--run={tmp_path}/run", f"--output={tmp_path}/scores.parquet") == 0
    assert run(export, f"--run={tmp_path}/run", f"--output={tmp_path}/served") == 0
    signature = tf.saved_model.load(str(tmp_path / "served" / "1")).signatures["serving_default"]
    assert set(signature.structured_outputs) == {"click"}
    teacher = (f"--teacher={tmp_path}/run", "--residual_weight=0.5")
    assert run(train, f"--data={toy_records}", f"--output={tmp_path}/taught", *flags, *teacher, *common) == 0
