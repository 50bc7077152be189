"""Objectives in a whole model: what training minimises, what reaches what, and what a trained model does not keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import models
from fullrank.models.learning.objective import predictions_of
from fullrank.models.objectives import residual_learning_loss
from fullrank.trainers.run.weights import restore_best, save_best

TASKS = ("click", "buy")
WIRING = models.single(width=4, experts=("crossnet", "flat"), tasks=TASKS, expert_width=6)
STEM = models.stem(widths=(4, 3, 2), tasks=TASKS, expert_width=6)
OPTIONS = models.RankerOptions(
    dropout=0.0,
    unknown_share=0.0,
    tower=(5,),
    interactions=models.InteractionOptions(hidden=(8,), dropout=0.0, cross_depth=2),
    buckets=4,
)
Build = Callable[..., models.Ranker]


@pytest.fixture(scope="module")
def build(every_kind: Any) -> Build:
    schema, vocabularies = every_kind

    def make(
        wiring: models.Wiring = WIRING, *, taught: bool = False, options: Any = OPTIONS, **objective: Any
    ) -> models.Ranker:
        keras.utils.set_random_seed(3)
        return models.Ranker(
            schema,
            wiring,
            options,
            vocabularies=vocabularies,
            objective=models.ObjectiveOptions(**objective),
            taught=taught,
        )

    return make


def teach(batch: Any) -> dict[str, tf.Tensor]:
    """Knows the clicks only, and not those of every fourth example."""
    rows = tf.range(tf.shape(batch["click"])[0])
    known = 0.2 + 0.6 * tf.cast(rows % 5, tf.float32) / 5.0
    return {"click": tf.where(rows % 4 == 3, float("nan"), known)}


def gradients(model: models.Ranker, batch: Any, weights: Any) -> list[Any]:
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    return [None if g is None else tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, weights)]


EVERY_OBJECTIVE = pytest.mark.parametrize(
    ("taught", "objective"),
    [
        (False, {"ranking": "pairwise"}),
        (False, {"ranking": "pairwise", "ranking_key": "user"}),
        (False, {"ranking": "listwise"}),
        (False, {"ranking": "jrc", "ranking_key": "user"}),
        (False, {"classification": "focal"}),
        (False, {"classification": "class_balanced"}),
        (True, {}),
        (True, {"residual_weight": 0.5}),
        (True, {"residual_weight": 0.5, "ranking": "jrc"}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)


@EVERY_OBJECTIVE
def test_every_objective_trains_and_reaches_every_weight(
    build: Build, make_batch: Any, taught: bool, objective: dict[str, Any]
) -> None:
    model = build(taught=taught, **objective)
    if taught:
        model.learn_from(teach)
    for weight in model.trainable_weights:
        if "bias" in weight.name:
            weight.assign_add(0.1 * tf.ones_like(weight))
    batch = make_batch(size=64)
    for weight, gradient in zip(model.trainable_weights, gradients(model, batch, model.trainable_weights), strict=True):
        assert gradient is not None, weight.name
        assert np.isfinite(gradient).all(), weight.name
        assert np.abs(gradient).max() > 0, weight.name
    model.compile(optimizer=keras.optimizers.Adam(0.02))
    data = tf.data.Dataset.from_tensors(batch).repeat(30)
    model.fit(data, epochs=1, verbose=0)
    assert model.evaluate(data.take(1), verbose=0, return_dict=True)["click_auc"] > 0.8


@EVERY_OBJECTIVE
def test_half_precision(build: Build, make_batch: Any, taught: bool, objective: dict[str, Any]) -> None:
    expected = build(taught=taught, **objective)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build(taught=taught, **objective)
        for each in (model, expected):
            if taught:
                each.learn_from(teach)
        loss = model.compute_loss(make_batch(size=32), training=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(float(expected.compute_loss(make_batch(size=32), training=True)), rel=0.02)


@EVERY_OBJECTIVE
def test_a_batch_without_positives_or_labels(
    build: Build, make_batch: Any, taught: bool, objective: dict[str, Any]
) -> None:
    model = build(taught=taught, **objective)
    if taught:
        model.learn_from(teach)
    for value in (0.0, float("nan")):
        batch = make_batch(size=8) | {task: tf.fill([8], value) for task in TASKS}
        assert all(np.isfinite(g).all() for g in gradients(model, batch, model.trainable_weights) if g is not None)


def test_equation_8_of_meta(build: Build, make_batch: Any) -> None:
    model = build(taught=True, residual_weight=0.7)
    model.learn_from(teach)
    batch = make_batch(size=40)
    assert model.learning.heads is not None
    heads = model.learning.heads(model.representation(batch, training=True))
    logits = model.logits(batch)
    total = 0.0
    for place, task in enumerate(TASKS):
        given = {part: value[:, place] for part, value in heads.items()}
        p = teach(batch)["click"] if task == "click" else tf.fill([40], float("nan"))
        total += 0.5 * float(
            residual_learning_loss(
                labels=batch[task],
                teacher=p,
                logits=logits[task],
                pseudo_logits=given["pseudo"],
                negative_logits=given["negative"],
                positive_logits=given["positive"],
                alpha=0.7,
                weights=batch["weight"],
            )
        )
    assert float(model.compute_loss(batch, training=True)) == pytest.approx(total, rel=1e-5)


def test_negatives_leave_the_positive_residual_alone(build: Build, make_batch: Any) -> None:
    model = build(taught=True, residual_weight=0.7)
    model.learn_from(lambda batch: {task: tf.fill(tf.shape(batch[task]), 0.3) for task in TASKS})
    batch = make_batch(size=16)
    batch |= {"click": tf.zeros([16]), "buy": tf.ones([16])}
    # Parts pseudo, negative, positive, each of click and buy: f_1 of click and f_0 of buy see no example of theirs.
    assert model.learning.heads is not None
    kernel = model.learning.heads.weights[-2]
    assert kernel.shape == (6, 64, 1)
    found = gradients(model, batch, [kernel])[0]
    moved = np.abs(found[:, :, 0]).max(axis=1) > 0
    np.testing.assert_array_equal(moved, [True, True, True, False, False, True])
    np.testing.assert_array_equal(found[~moved], 0.0)


def test_the_teacher_is_a_constant(build: Build, make_batch: Any) -> None:
    teacher = build()
    student = build(taught=True)
    student.learn_from(lambda batch: teacher(batch, training=False))
    batch = make_batch(size=16)
    assert gradients(student, batch, teacher.trainable_weights) == [None] * len(teacher.trainable_weights)
    own = {weight.ref() for weight in student.weights}
    assert not own & {weight.ref() for weight in teacher.weights}


def test_the_draw_of_pairs_follows_the_step(build: Build, make_batch: Any) -> None:
    model = build(ranking="pairwise", max_pairs=20)
    model.compile(optimizer=keras.optimizers.Adam(0.0))
    batch = make_batch(size=64)
    first, again = (float(model.compute_loss(batch, training=True)) for _ in range(2))
    assert first == again
    model.optimizer.iterations.assign_add(1)
    assert float(model.compute_loss(batch, training=True)) != first


def test_validation_needs_no_teacher_and_no_heads(build: Build, make_batch: Any) -> None:
    batch, plain = make_batch(size=16), build()
    for model in (build(taught=True, residual_weight=1.0), build(ranking="jrc")):
        assert float(model.compute_loss(batch)) == pytest.approx(float(plain.compute_loss(batch)), rel=1e-5)


def test_best_weights_are_those_of_a_plain_model(build: Build, make_batch: Any, tmp_path: Path) -> None:
    student = build(taught=True, residual_weight=1.0)
    for weight in student.trainable_weights:
        weight.assign_add(tf.random.stateless_normal(weight.shape, (1, 2), stddev=0.3))
    save_best(student, tmp_path)
    plain = build()
    restore_best(plain, tmp_path)
    batch = make_batch(size=9)
    for task, expected in student(batch).items():
        np.testing.assert_array_equal(plain(batch)[task].numpy(), expected.numpy())
    assert plain.learning.heads is None


def test_task_losses_keep_to_their_embeddings_in_stem(build: Build, make_batch: Any) -> None:
    options = dataclasses.replace(OPTIONS, task_weights=(("buy", 0.0),))
    model = build(STEM, taught=True, options=options, residual_weight=1.0, ranking="jrc")
    model.learn_from(lambda batch: {task: tf.fill(tf.shape(batch[task]), 0.3) for task in TASKS})
    tables = model.table_variables
    found = dict(zip(tables, gradients(model, make_batch(size=64), list(tables.values())), strict=True))
    for name, gradient in found.items():
        assert gradient is None or (np.abs(gradient).max() > 0) == (not name.startswith("buy")), name
        if name.startswith("buy") and gradient is not None:
            np.testing.assert_array_equal(gradient, 0.0)
    assert any(name.startswith("buy") for name in found)


@pytest.mark.parametrize(
    ("taught", "changes", "objective", "message"),
    [
        (False, {}, {"residual_weight": 0.1}, "Residual learning needs a teacher"),
        (False, {"head": "gp"}, {"classification": "focal"}, "from the likelihood of the labels, which the focal loss"),
        (True, {"head": "laplace"}, {"classification": "focal"}, "or head='logit' or 'dropout'"),
        (
            False,
            {},
            {"ranking": "pairwise", "ranking_key": "price"},
            "Received: 'price'. Keys of schema 'every_kind': user",
        ),
        (False, {}, {"ranking": "jrc", "classification": "focal"}, "jrc has a cross entropy of its own"),
    ],
)
def test_what_does_not_go_together(
    build: Build, taught: bool, changes: dict[str, Any], objective: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(taught=taught, options=dataclasses.replace(OPTIONS, **changes), **objective)


def test_errors_about_teachers(build: Build, make_batch: Any) -> None:
    with pytest.raises(ValueError, match="build it with taught=True"):
        build().learn_from(teach)
    with pytest.raises(ValueError, match="give it a teacher by learn_from"):
        build(taught=True).compute_loss(make_batch(size=4), training=True)
    with pytest.raises(ValueError, match="The teacher predicts sale, but none of the tasks click, buy"):
        predictions_of(lambda batch: {"sale": tf.zeros([4])}, {}, tasks=TASKS)
