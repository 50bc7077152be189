"""Every wiring keeps the same promises: a table with a row a wiring, and one test a promise."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from one_user_requests import check_requests

from fullrank import models
from fullrank.models.encoding.dense_inputs import elapsed_seconds

TASKS = ("click", "buy")
WIRINGS: dict[Callable[..., models.Wiring], models.Wiring] = {
    models.single: models.single(width=4, experts=("crossnet", "flat"), tasks=TASKS, expert_width=6),
    models.multi_embedding: models.multi_embedding(
        widths=(4, 3), experts=(("fm", 0), ("flat", 0), ("ipnn", 1)), tasks=TASKS, expert_width=6
    ),
    models.shared_bottom: models.shared_bottom(width=4, tasks=TASKS, expert_width=6),
    models.omoe: models.omoe(width=4, tasks=TASKS, expert_width=6),
    models.mmoe: models.mmoe(width=4, tasks=(TASKS,), expert_width=6),
    models.ple: models.ple(width=4, tasks=TASKS, levels=2, expert_width=6),
    models.me_mmoe: models.me_mmoe(widths=(4, 4), tasks=TASKS, expert_width=6),
    models.ame: models.ame(widths=(2, 3, 4), tasks=TASKS, expert_width=6),
    models.stem: models.stem(widths=(4, 3, 2), tasks=TASKS, levels=2, expert_width=6),
    models.stem_al: models.stem_al(main="click", auxiliary=("buy",), widths=(4, 3), expert_width=6),
}
INTERACTIONS = models.InteractionOptions(hidden=(8,), dropout=0.0, cross_depth=2)
OPTIONS = models.RankerOptions(dropout=0.0, unknown_share=0.0, tower=(5,), interactions=INTERACTIONS, buckets=4)

EVERY_WIRING = pytest.mark.parametrize("wiring", WIRINGS.values(), ids=lambda wiring: wiring.paradigm)


@pytest.fixture(scope="module")
def rankers(every_kind: Any) -> Callable[..., models.Ranker]:
    """Builds a ranker, always from the same seed."""
    schema, vocabularies = every_kind

    def build(wiring: models.Wiring, **changes: Any) -> models.Ranker:
        keras.utils.set_random_seed(3)
        return models.Ranker(schema, wiring, dataclasses.replace(OPTIONS, **changes), vocabularies=vocabularies)

    return build


def test_every_public_wiring_has_a_row() -> None:
    public = {
        value
        for value in (getattr(models, name) for name in models.__all__)
        if inspect.isfunction(value) and typing.get_type_hints(value).get("return") is models.Wiring
    }
    assert public == set(WIRINGS)


@pytest.mark.parametrize(
    ("wiring", "sequence", "numeric"),
    [
        *((wiring, "tim", "buckets") for wiring in WIRINGS.values()),
        *(
            (WIRINGS[models.multi_embedding], sequence, numeric)
            for sequence in ("tim", "mean")
            for numeric in ("buckets", "piecewise", "scaled", "mns", "autodis", "periodic")
        ),
    ],
    ids=lambda value: getattr(value, "paradigm", value),
)
def test_probabilities_for_any_batch_in_a_graph(
    rankers: Any, make_batch: Any, wiring: models.Wiring, sequence: str, numeric: str
) -> None:
    model = rankers(wiring, sequence=sequence, numeric=numeric)
    example = model.example_batch()
    unknown = {name: tf.TensorSpec([None, *t.shape[1:]], t.dtype) for name, t in example.items()}
    # Converted code is the same for every wiring; converting it takes most of the time.
    score = tf.function(model, input_signature=[unknown], autograph=wiring.paradigm == "single")
    batch = {name: values for name, values in make_batch(size=9).items() if name in unknown}
    eager = model(batch)
    for task in TASKS:
        output = score(batch)[task].numpy()
        assert output.shape == (9,)
        assert output.dtype == np.float32
        assert ((output > 0) & (output < 1)).all()
        np.testing.assert_allclose(output, eager[task].numpy(), rtol=1e-5, atol=1e-6)
        assert np.isfinite(score(example)[task].numpy()).all()  # everything missing, no history, a batch of one


@pytest.mark.parametrize(
    ("wiring", "numeric"),
    [
        *((wiring, "buckets") for wiring in WIRINGS.values()),
        *((WIRINGS[models.multi_embedding], numeric) for numeric in ("autodis", "periodic", "piecewise")),
    ],
    ids=lambda value: getattr(value, "paradigm", value),
)
def test_gradient_reaches_every_weight(rankers: Any, make_batch: Any, wiring: models.Wiring, numeric: str) -> None:
    model = rankers(wiring, numeric=numeric)
    # ReLUs at rest hide weights behind them; a shift wakes them up.
    for weight in model.trainable_weights:
        if "bias" in weight.name:
            weight.assign_add(0.1 * tf.ones_like(weight))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(make_batch(size=64), training=True)
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None, weight.name
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0, weight.name


@EVERY_WIRING
def test_fits_and_reports(rankers: Any, make_batch: Any, wiring: models.Wiring) -> None:
    model = rankers(wiring, embedding_l2=1e-4)
    model.compile(optimizer=keras.optimizers.Adam(0.02))
    data = tf.data.Dataset.from_tensors(make_batch(size=64)).repeat(40)
    first = model.evaluate(data.take(1), verbose=0, return_dict=True)
    history = model.fit(data, epochs=1, verbose=0).history
    last = model.evaluate(data.take(1), verbose=0, return_dict=True)
    assert last["loss"] < 0.8 * first["loss"]
    assert {f"{task}_{name}" for task in TASKS for name in ("auc", "log_loss", "ne", "ece", "bias")} <= set(history)


@EVERY_WIRING
def test_saved_model_equals_the_model(rankers: Any, make_batch: Any, wiring: models.Wiring, tmp_path: Path) -> None:
    model = rankers(wiring)
    example = model.example_batch()
    unknown = {name: tf.TensorSpec([None, *t.shape[1:]], t.dtype, name) for name, t in example.items()}
    module = tf.Module()
    module.model = model
    module.score = tf.function(lambda batch: model(batch), input_signature=[unknown], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={})
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    batch = {name: values for name, values in make_batch(size=9).items() if name in unknown}
    for task, expected in model(batch).items():
        np.testing.assert_allclose(loaded.score(batch)[task].numpy(), expected.numpy(), rtol=1e-6)


@EVERY_WIRING
def test_checkpoint_restores_the_outputs(rankers: Any, make_batch: Any, wiring: models.Wiring, tmp_path: Path) -> None:
    model, other = rankers(wiring), rankers(wiring)
    for weight in model.trainable_weights:
        weight.assign_add(tf.random.stateless_normal(weight.shape, (1, 2), stddev=0.3))
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).restore(path).assert_existing_objects_matched()
    batch = make_batch(size=9)
    for task, expected in model(batch).items():
        np.testing.assert_array_equal(other(batch)[task].numpy(), expected.numpy())


@EVERY_WIRING
def test_merging_tables_changes_no_output(rankers: Any, make_batch: Any, wiring: models.Wiring) -> None:
    model = rankers(wiring, table_variables=2)
    for weight in model.trainable_weights:
        weight.assign_add(tf.random.stateless_normal(weight.shape, (1, 2), stddev=0.3))
    batch = make_batch(size=32)
    for table_variables in (None, 1):
        other = model.merged(table_variables=table_variables)
        for task, expected in model(batch).items():
            np.testing.assert_allclose(other(batch)[task].numpy(), expected.numpy(), rtol=1e-6)
    assert len(other.table_variables) == len(wiring.sets)


@EVERY_WIRING
def test_narrow_tables_answer_alike_when_merged_and_once_per_request(
    rankers: Any, make_batch: Any, wiring: models.Wiring
) -> None:
    widths = {"item": 2, "user": 1, "price": 2, "hash_id": 2}
    model = rankers(wiring, table_widths=tuple(widths.items()))
    for weight in model.trainable_weights:
        weight.assign_add(tf.random.stateless_normal(weight.shape, (1, 2), stddev=0.3))
    batch = make_batch(size=32)
    other = model.merged(table_variables=1)
    for task, expected in model(batch).items():
        np.testing.assert_allclose(other(batch)[task].numpy(), expected.numpy(), rtol=1e-5)
    for layer in model.sets.values():
        narrow = {table.name: width for run, width in layer.stored_tables for table in run if width < layer.width}
        assert narrow == {name: width for name, width in widths.items() if width < layer.width}
    check_requests(model, {name: value.numpy() for name, value in make_batch(size=8).items()})


@EVERY_WIRING
def test_same_seed_same_model(rankers: Any, wiring: models.Wiring) -> None:
    for first, second in zip(rankers(wiring).get_weights(), rankers(wiring).get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@EVERY_WIRING
def test_mixed_bfloat16_stays_close_and_outputs_float32(rankers: Any, make_batch: Any, wiring: models.Wiring) -> None:
    expected = rankers(wiring)(make_batch(size=16))
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = rankers(wiring)
        output = model(make_batch(size=16))
        assert all(weight.dtype == tf.float32 for weight in model.trainable_weights)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for task in TASKS:
        assert output[task].dtype == tf.float32
        np.testing.assert_allclose(output[task].numpy(), expected[task].numpy(), atol=0.01)


def test_an_unobserved_label_contributes_no_gradient(rankers: Any, make_batch: Any) -> None:
    model = rankers(WIRINGS[models.single])
    batch = make_batch(size=16)
    batch["buy"] = tf.fill([16], float("nan"))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    head = next(w for w in model.head.weights if "kernel" in w.name)
    gradient = tape.gradient(loss, head).numpy()
    assert np.abs(gradient[0]).max() > 0
    np.testing.assert_array_equal(gradient[1], 0.0)


def test_starts_at_the_base_rate(rankers: Any) -> None:
    model = rankers(WIRINGS[models.single])
    bias = next(w for w in model.head.weights if "bias" in w.name).numpy()[:, 0]
    # logit(.25) = ln(1/3) and logit(.1) = ln(1/9)
    np.testing.assert_allclose(bias, [np.log(1 / 3), np.log(1 / 9)], rtol=1e-6)


def test_penalty_on_looked_up_rows_by_hand(rankers: Any, make_batch: Any) -> None:
    batch = make_batch(size=4)
    plain = float(rankers(WIRINGS[models.single]).compute_loss(batch))
    model = rankers(WIRINGS[models.single], embedding_l2=0.5)
    fields = model.sets["set0"](model.trunk.encoder(batch)).numpy()
    picture = model.trunk.inputs_of_sets["set0"].projections[0](batch["picture"]).numpy()
    expected = 0.5 * (np.square(fields).sum() + np.square(picture).sum()) / 4
    np.testing.assert_allclose(float(model.compute_loss(batch)) - plain, expected, rtol=1e-4)


def test_a_field_has_a_penalty_of_its_own(rankers: Any, make_batch: Any) -> None:
    batch = make_batch(size=4)
    plain = float(rankers(WIRINGS[models.single]).compute_loss(batch))
    model = rankers(WIRINGS[models.single], embedding_l2=0.5, field_penalties=(("picture", 0.0), ("item", 2.0)))
    fields = model.sets["set0"](model.trunk.encoder(batch)).numpy()
    squares = np.square(fields).sum(axis=(0, 2))
    weights = np.full(len(squares), 0.5)
    weights[model.trunk.looked_up_fields.index("item")] = 2.0
    np.testing.assert_allclose(float(model.compute_loss(batch)) - plain, squares @ weights / 4, rtol=1e-4)
    with pytest.raises(ValueError, match="name 'items', which is not a field"):
        rankers(WIRINGS[models.single], field_penalties=(("items", 1.0),))


@pytest.mark.parametrize("numeric", ["autodis", "periodic"])
def test_numbers_of_a_network_stand_between_plan_and_vectors(rankers: Any, make_batch: Any, numeric: str) -> None:
    model, batch = rankers(WIRINGS[models.single], numeric=numeric), make_batch(size=6)
    read, dense = model.trunk.inputs_of_sets["set0"], model.trunk.dense(batch)
    fields, _ = read(model.trunk.encoder(batch), dense, elapsed_seconds(batch, schema=model.schema))
    assert read.field_names == (*model.trunk.encoder.plan.field_names, "price", "new", "picture")
    assert "price" not in model.trunk.encoder.plan.field_names
    # The schema's mean is 0 and its deviation 1.
    np.testing.assert_allclose(dense.numbers.numpy(), np.stack([batch["price"], batch["new"]], axis=1))
    np.testing.assert_allclose(fields[:, -3:-1].numpy(), read.numbers(dense.numbers).numpy())
    np.testing.assert_allclose(fields[:, -1].numpy(), read.projections[0](batch["picture"]).numpy())


def test_tasks_are_labels(every_kind: Any) -> None:
    schema, vocabularies = every_kind
    with pytest.raises(ValueError, match="no label 'sale'"):
        models.Ranker(schema, models.single(tasks=("sale",)), vocabularies=vocabularies)


def test_unknown_expert(every_kind: Any) -> None:
    schema, vocabularies = every_kind
    with pytest.raises(ValueError, match=r"Unknown expert 'crosnet'\. Known: flat, fm, fwfm"):
        models.Ranker(schema, models.single(experts=("crosnet",)), vocabularies=vocabularies)
