"""What the multi-task paradigms promise, on whole models: gradients that are exactly zero, and limits that agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import models
from fullrank.models.objectives.losses import binary_cross_entropy

TASKS = ("click", "buy")
OPTIONS = models.RankerOptions(
    dropout=0.0,
    unknown_share=0.0,
    tower=(5,),
    interactions=models.InteractionOptions(hidden=(8,), dropout=0.0, cross_depth=1),
)
Build = Callable[..., models.Ranker]


@pytest.fixture(scope="module")
def build(every_kind: Any) -> Build:
    """Builds a ranker whose weights are all awake: ReLUs at rest would hide a gradient that should not be there."""
    schema, vocabularies = every_kind

    def make(wiring: models.Wiring, **changes: Any) -> models.Ranker:
        keras.utils.set_random_seed(3)
        model = models.Ranker(schema, wiring, dataclasses.replace(OPTIONS, **changes), vocabularies=vocabularies)
        for number, weight in enumerate(model.trainable_weights):
            noise = tf.random.stateless_normal(weight.shape, (number, 2), stddev=0.3)
            weight.assign_add(noise + (0.2 if "bias" in weight.name else 0.0))
        return model

    return make


def trained_sets(model: models.Ranker, batch: dict[str, tf.Tensor], task: str) -> set[str]:
    """The sets of which the loss of a task trains any weight: a row, an encoder's, or one of an expert on the set."""
    weights = {name: list(inputs.trainable_weights) for name, inputs in model.trunk.inputs_of_sets.items()}
    for spec, expert in zip(model.wiring.experts, model.trunk.experts, strict=True):
        weights[spec.set] += expert.trainable_weights
    with tf.GradientTape() as tape:
        logits = model.logits(batch, training=True)[task]
        loss = binary_cross_entropy(labels=batch[task], logits=logits)
    gradients = tape.gradient(loss, weights)
    return {name for name, of_set in gradients.items() if any(_is_any(gradient) for gradient in of_set)}


def _is_any(gradient: Any) -> bool:
    return gradient is not None and bool(np.any(tf.convert_to_tensor(gradient).numpy() != 0.0))


def outputs(model: models.Ranker, batch: dict[str, tf.Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    return {task: value.numpy() for task, value in model(batch).items()}


def assert_equal(first: models.Ranker, second: models.Ranker, batch: dict[str, tf.Tensor]) -> None:
    expected = outputs(first, batch)
    for task, value in outputs(second, batch).items():
        np.testing.assert_array_equal(value, expected[task])


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_stem_trains_no_other_tasks_set(build: Build, make_batch: Any, levels: int) -> None:
    # The authors' code fails this from two levels on, by way of the experts that all tasks share.
    model, batch = build(models.stem(tasks=TASKS, widths=(4, 3, 2), levels=levels, expert_width=6)), make_batch(size=64)
    assert trained_sets(model, batch, "click") == {"shared", "click"}
    assert trained_sets(model, batch, "buy") == {"shared", "buy"}


def test_stem_reads_the_other_tasks_set_all_the_same(build: Build, make_batch: Any) -> None:
    model, batch = build(models.stem(tasks=TASKS, widths=(4,), expert_width=6)), make_batch(size=16)
    before = outputs(model, batch)["click"]
    model.sets["buy"].weights[0].assign_add(tf.ones_like(model.sets["buy"].weights[0]))
    assert np.abs(outputs(model, batch)["click"] - before).max() > 1e-4


def test_ple_with_levels_lets_tasks_train_each_other_where_stem_does_not(build: Build, make_batch: Any) -> None:
    # All of PLE's experts read one set; the kernel of the other task's expert is what tells.
    for levels, leaks in ((1, False), (2, True)):
        model = build(models.ple(tasks=TASKS, width=4, levels=levels, expert_width=6))
        batch = make_batch(size=64)
        (of_buy,) = (e for e, s in zip(model.trunk.experts, model.wiring.experts, strict=True) if s.name == "flat_3")
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.logits(batch)["click"])
        assert any(_is_any(g) for g in tape.gradient(loss, of_buy.trainable_weights)) == leaks


@pytest.mark.parametrize("widths", [(4, 3), (4, 3, 2)])
def test_stem_al_protects_the_main_set_alone(build: Build, every_kind: Any, make_batch: Any, widths: Any) -> None:
    schema, vocabularies = every_kind
    schema = dataclasses.replace(schema, labels=(*schema.labels, dataclasses.replace(schema.labels[0], name="like")))
    wiring = models.stem_al(main="click", auxiliary=("buy", "like"), widths=widths, expert_width=6)
    model = models.Ranker(schema, wiring, OPTIONS, vocabularies=vocabularies)
    for number, weight in enumerate(model.trainable_weights):
        weight.assign_add(0.1 + tf.random.stateless_normal(weight.shape, (number, 2), stddev=0.3))
    batch = make_batch(size=64)
    batch["like"] = batch["click"]
    auxiliary = {spec.name for spec in wiring.sets} - {"main"}
    assert trained_sets(model, batch, "click") == {"main", *auxiliary}
    for task in ("buy", "like"):
        own = {task} if len(widths) == 3 else {"auxiliary"}
        assert trained_sets(model, batch, task) == own
    # And it does not even see it.
    before = outputs(model, batch)
    for variable in model.sets["main"].weights:
        variable.assign_add(tf.ones_like(variable))
    after = outputs(model, batch)
    assert np.abs(after["click"] - before["click"]).max() > 1e-4
    np.testing.assert_array_equal(after["buy"], before["buy"])


def test_mmoe_with_one_expert_is_shared_bottom(build: Build, make_batch: Any) -> None:
    first = build(models.mmoe(tasks=TASKS, width=4, experts=("flat",), expert_width=6))
    second = build(models.shared_bottom(tasks=TASKS, width=4, experts=("flat",), expert_width=6))
    second.set_weights(first.get_weights())
    assert_equal(first, second, make_batch(size=32))


def test_ple_without_own_experts_is_mmoe(build: Build, make_batch: Any) -> None:
    ple = models.ple(tasks=TASKS, width=4, experts=(("crossnet", 0), ("flat", 0)), expert_width=6)
    mmoe = models.mmoe(tasks=TASKS, width=4, experts=("crossnet", "flat"), expert_width=6)
    assert dataclasses.replace(ple, paradigm="MMoE") == mmoe
    assert_equal(build(ple), build(mmoe), make_batch(size=32))


def test_ame_with_equal_widths_is_me_mmoe(build: Build, make_batch: Any) -> None:
    experts = (("fm", 0), ("flat", 1))
    first = models.ame(tasks=TASKS, widths=(4, 4), experts=experts, expert_width=6)
    second = models.me_mmoe(tasks=TASKS, widths=(4, 4), experts=experts, expert_width=6)
    assert dataclasses.replace(first, paradigm="ME-MMoE") == second
    assert_equal(build(first), build(second), make_batch(size=32))


def test_multi_embedding_with_one_set_is_the_single_model(build: Build, make_batch: Any) -> None:
    first = models.multi_embedding(widths=(4,), experts=(("crossnet", 0), ("flat", 0)), tasks=TASKS, expert_width=6)
    second = models.single(width=4, experts=("crossnet", "flat"), tasks=TASKS, expert_width=6)
    assert_equal(build(first), build(second), make_batch(size=32))


def test_omoe_gives_all_towers_the_same(build: Build, make_batch: Any) -> None:
    model = build(models.omoe(tasks=TASKS, width=4, expert_width=6))
    read = model.representation(make_batch(size=32)).numpy()
    np.testing.assert_array_equal(read[:, 0], read[:, 1])
    read = build(models.mmoe(tasks=TASKS, width=4, expert_width=6)).representation(make_batch(size=32)).numpy()
    assert np.abs(read[:, 0] - read[:, 1]).max() > 1e-4


@pytest.mark.parametrize(
    ("wiring", "left"),
    [
        (models.stem_al(main="click", auxiliary=("buy",), widths=(4, 3), expert_width=6), ("main", "auxiliary")),
        (models.stem(tasks=TASKS, widths=(4, 3, 2), levels=2, expert_width=6), ("shared", "click", "buy")),
        (models.ple(tasks=TASKS, width=4, levels=1, expert_width=6), ("set0",)),
        (models.ple(tasks=TASKS, width=4, levels=2, expert_width=6), ("set0",)),
        (models.mmoe(tasks=TASKS, width=4, expert_width=6), ("set0",)),
        (models.omoe(tasks=TASKS, width=4, expert_width=6), ("set0",)),
        (models.mmoe(tasks=(TASKS,), width=4, expert_width=6), ("set0",)),
    ],
    ids=lambda value: getattr(value, "paradigm", ""),
)
@pytest.mark.parametrize("task_weights", [(("buy", 5.0),), "uncertainty"])
def test_leaving_a_task_out_does_not_change_the_other(
    build: Build, make_batch: Any, wiring: models.Wiring, left: tuple[str, ...], task_weights: Any
) -> None:
    model, batch = build(wiring, task_weights=task_weights), make_batch(size=64)
    alone = model.without(tasks=("buy",))
    assert alone.wiring.tasks == ("click",)
    assert alone.wiring.auxiliary == ()
    assert tuple(spec.name for spec in alone.wiring.sets) == left
    # Towers side by side are one product, which some processors round in another order than that of one tower.
    np.testing.assert_allclose(outputs(alone, batch)["click"], outputs(model, batch)["click"], rtol=1e-5)


def test_leaving_the_main_task_out_leaves_the_main_set_out(build: Build, make_batch: Any) -> None:
    model = build(models.stem_al(main="click", auxiliary=("buy",), widths=(4, 3), expert_width=6))
    batch = make_batch(size=64)
    alone = model.without(tasks=("click",))
    assert [spec.name for spec in alone.wiring.sets] == ["auxiliary"]
    np.testing.assert_allclose(outputs(alone, batch)["buy"], outputs(model, batch)["buy"], rtol=1e-5)


def test_leaving_out_what_cannot_be(build: Build) -> None:
    model = build(models.mmoe(tasks=TASKS, width=4, expert_width=6))
    for tasks in (("like",), TASKS):
        with pytest.raises(ValueError, match="can be left out, not all"):
            model.without(tasks=tasks)


def test_a_masked_label_contributes_no_gradient(build: Build, make_batch: Any) -> None:
    model, batch = build(models.stem(tasks=TASKS, widths=(4,), expert_width=6)), make_batch(size=32)
    batch["buy"] = tf.fill([32], float("nan"))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    for gradient in tape.gradient(loss, model.trunk.inputs_of_sets["buy"].trainable_weights):
        assert not _is_any(gradient)


def test_tasks_of_a_group_share_gate_and_tower_but_not_the_head(build: Build, make_batch: Any) -> None:
    model, batch = build(models.mmoe(tasks=(TASKS,), width=4, expert_width=6)), make_batch(size=32)
    assert model.representation(batch).shape == (32, 1, 6)
    assert [weight.shape[0] for weight in (*model.tower.weights, *model.head.weights)] == [1, 1, 2, 2]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.logits(batch)["buy"])
    kernel, tower = tape.gradient(loss, [model.head.kernel, model.tower.weights[0]])
    assert not _is_any(kernel[0])
    assert _is_any(kernel[1])
    assert _is_any(tower)


def test_fixed_task_weights_by_hand(build: Build, make_batch: Any) -> None:
    wiring, batch = models.mmoe(tasks=TASKS, width=4, expert_width=6), make_batch(size=32)
    alone = [float(build(wiring, task_weights=((task, 0.0),)).compute_loss(batch)) for task in ("buy", "click")]
    both = float(build(wiring, task_weights=(("buy", 3.0),)).compute_loss(batch))
    np.testing.assert_allclose(both, (alone[0] + 3 * alone[1]) / 4, rtol=1e-6)
    with pytest.raises(ValueError, match=r"Task weights name \['like'\]"):
        build(wiring, task_weights=(("like", 3.0),))
    with pytest.raises(ValueError, match="not negative, and not all 0"):
        build(wiring, task_weights=(("click", 0.0), ("buy", 0.0)))


def test_uncertainty_starts_as_the_mean_and_is_trained(build: Build, make_batch: Any) -> None:
    wiring, batch = models.mmoe(tasks=TASKS, width=4, expert_width=6), make_batch(size=32)
    model = build(wiring, task_weights="uncertainty")
    assert model.objective.uncertainty is not None
    model.objective.uncertainty.log_variance.assign([0.0, 0.0])
    plain = build(wiring)
    np.testing.assert_allclose(float(model.compute_loss(batch)), float(plain.compute_loss(batch)), rtol=1e-5)
    assert any(weight is model.objective.uncertainty.log_variance for weight in model.trainable_weights)
    assert model.objective.uncertainty.log_variance.ref() not in {v.ref() for v in model.table_variables.values()}
