"""Group structure in a whole model: where groups join, what trains what, and what an export says of them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import models
from fullrank.layers import GroupStructureLearning, ResidualQuantizer
from fullrank.models.group_places import no_groups
from fullrank.models.serving import export_model
from fullrank.models.serving.request_inputs import input_name
from fullrank.models.serving.sample_rows import drawn_rows

TASKS = ("click", "buy")
PLACES: tuple[models.GroupPlace, ...] = ("user", "user_ad", "representation")
WIRING = models.multi_embedding(
    widths=(4, 3), experts=(("gwpfm", 0), ("crossnet", 0), ("flat", 1)), tasks=TASKS, expert_width=6
)
ONE_SET = models.shared_bottom(width=4, tasks=TASKS, expert_width=6)
STEM = models.stem(widths=(4, 3, 2), tasks=TASKS, expert_width=6)
OPTIONS = models.RankerOptions(
    dropout=0.0,
    unknown_share=0.0,
    tower=(5,),
    interactions=models.InteractionOptions(hidden=(8,), dropout=0.0),
    buckets=4,
)
GROUPS = models.GroupOptions(places=PLACES, levels=2, codes=4, width=5, hidden=(7,), weight=0.5)
Build = Callable[..., models.Ranker]


@pytest.fixture(scope="module")
def build(every_kind: Any) -> Build:
    schema, vocabularies = every_kind

    def make(wiring: models.Wiring = WIRING, **changes: Any) -> models.Ranker:
        keras.utils.set_random_seed(3)
        given = {name: changes.pop(name) for name in list(changes) if hasattr(GROUPS, name)}
        options = dataclasses.replace(OPTIONS, group_structure=dataclasses.replace(GROUPS, **given), **changes)
        return models.Ranker(schema, wiring, options, vocabularies=vocabularies)

    return make


def apart(model: models.Ranker) -> models.Ranker:
    """Moves embeddings away from each other, so that examples fall into different groups."""
    for number, weight in enumerate(model.trainable_weights):
        weight.assign_add(tf.random.stateless_normal(weight.shape, (1, number), stddev=0.3))
    return model


def test_codes_of_each_place(build: Build, make_batch: Any) -> None:
    batch = make_batch(size=9)
    codes = build().group_codes(batch)
    assert list(codes) == ["user_set0", "user_set1", "user_ad_set0", "user_ad_set1", "representation_click",
                           "representation_buy"]  # fmt: skip
    for found in codes.values():
        assert found.shape == (9, 2)
        assert found.dtype == tf.int32
        assert ((found.numpy() >= 0) & (found.numpy() < 4)).all()
    assert list(build(ONE_SET).group_codes(batch)) == ["user", "user_ad", "representation_click", "representation_buy"]
    assert build(places=()).group_codes(batch) == {}


@pytest.mark.parametrize(("combine", "fields"), [("sum", 1), ("concat", 2)])
def test_groups_are_fields_of_their_set_and_stand_behind_the_representation(
    build: Build, make_batch: Any, combine: Any, fields: int
) -> None:
    model, batch = build(combine=combine), make_batch(size=6)
    plain = build(places=())
    before = plain.inside(batch)
    inside = model.inside(batch)
    assert [each.shape for each in inside.fields] == [each.shape for each in before.fields]
    assert inside.read.shape == (6, 2, 6 + 5 * fields)
    count = before.fields[0].shape[1]
    given = dict(zip(("set0", "set1"), inside.fields, strict=True))
    found = no_groups()
    extended = model.trunk.groups.at_fields(given, found, training=False)
    assert model.trunk.field_names[count:] == model.trunk.groups.more_fields
    for name, original in given.items():
        assert extended[name].shape[1] == len(model.trunk.field_names) == count + 2 * fields
        np.testing.assert_array_equal(extended[name][:, :count].numpy(), original.numpy())
        quantizer = model.trunk.groups.learners[f"user_{name}"].quantizer
        groups = tf.reshape(quantizer.embed(found.codes[f"user_{name}"]), (6, fields, -1))
        np.testing.assert_allclose(extended[name][:, count : count + fields].numpy(), groups.numpy(), atol=1e-6)


def test_user_groups_read_the_users_fields_alone(build: Build, make_batch: Any) -> None:
    model, batch = apart(build()), make_batch(size=32)
    other = make_batch(size=32, seed=5) | {name: batch[name] for name in ("user",)}
    same, changed = model.group_codes(batch), model.group_codes(other)
    np.testing.assert_array_equal(same["user_set0"].numpy(), changed["user_set0"].numpy())
    assert (same["user_ad_set0"].numpy() != changed["user_ad_set0"].numpy()).any()


def test_the_loss_adds_what_each_place_lost(build: Build, make_batch: Any) -> None:
    batch = make_batch(size=16)
    model = build()
    groups = model.inside(batch).groups
    fields = sum(float(groups.losses[place]) for place in groups.losses if place.startswith("user"))
    towers = [float(groups.losses[place]) for place in groups.losses if place.startswith("representation")]
    expected = 0.5 * (fields + sum(towers) / 2)
    alone = build(weight=0.0)
    assert float(model.compute_loss(batch)) - float(alone.compute_loss(batch)) == pytest.approx(expected, rel=1e-4)
    # Reconstruction and the first level's commitment, not less than what it leaves over, make up the loss.
    for place, loss in groups.losses.items():
        assert float(loss) >= float(tf.reduce_mean(groups.reconstruction[place] + groups.errors[place][:, 0]))


def test_gradient_reaches_every_weight(build: Build, make_batch: Any) -> None:
    model = apart(build())
    with tf.GradientTape() as tape:
        loss = model.compute_loss(make_batch(size=64), training=True)
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None, weight.name
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0, weight.name


def test_commitment_of_each_level_reaches_the_embeddings(build: Build, make_batch: Any) -> None:
    model, batch = apart(build(ONE_SET, levels=3, places=("user",))), make_batch(size=16)
    table = model.table_variables["set0/tables_0"]
    learner = model.trunk.groups.learners["user"]

    def commitment(levels: int) -> np.ndarray[Any, Any]:
        with tf.GradientTape() as tape:
            residual = fields_of_user(model, batch)
            for layer in learner._encoder:
                residual = layer(residual)
            loss = tf.constant(0.0)
            for book in tf.unstack(learner.quantizer._codebooks)[:levels]:
                code = tf.gather(book, tf.argmin(tf.norm(residual[:, None] - book, axis=2), axis=1))
                residual = residual - tf.stop_gradient(code)
                loss += tf.reduce_sum(tf.square(residual))
        found: np.ndarray[Any, Any] = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
        return found

    with tf.GradientTape() as tape:
        quantized = learner.quantizer(encoded(learner, fields_of_user(model, batch)))
        loss = tf.reduce_sum(quantized.loss)
    whole = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
    np.testing.assert_allclose(whole, commitment(3), atol=1e-4)
    for level in (1, 2):
        assert np.abs(commitment(level + 1) - commitment(level)).max() > 1e-3


def fields_of_user(model: models.Ranker, batch: Any) -> tf.Tensor:
    fields = model.inside(batch).fields[0]
    return fields[:, model.trunk.field_names.index("user")]


def encoded(learner: Any, x: tf.Tensor) -> tf.Tensor:
    for layer in learner._encoder:
        x = layer(x)
    return x


def test_detached_groups_leave_what_lies_below_alone(build: Build, make_batch: Any) -> None:
    batch = make_batch(size=16)
    for detach, zero in ((True, True), (False, False)):
        model = apart(build(ONE_SET, detach=detach))
        tables = list(model.table_variables.values())
        with tf.GradientTape() as tape:
            loss = model.trunk.groups.loss(model.inside(batch).groups)
        found = [g for g in tape.gradient(loss, tables) if g is not None]
        biggest = max((float(tf.reduce_max(tf.abs(tf.convert_to_tensor(g)))) for g in found), default=0.0)
        assert (biggest == 0.0) == zero


def test_stem_with_groups_keeps_task_losses_to_their_sets(build: Build, make_batch: Any) -> None:
    model = apart(build(STEM, task_weights=(("buy", 0.0),), weight=0.0))
    tables = model.table_variables
    with tf.GradientTape() as tape:
        loss = model.compute_loss(make_batch(size=64), training=True)
    for name, gradient in zip(tables, tape.gradient(loss, list(tables.values())), strict=True):
        dense = np.zeros(1) if gradient is None else tf.convert_to_tensor(gradient).numpy()
        if name.startswith("buy"):
            np.testing.assert_array_equal(dense, 0.0)
        else:
            assert np.abs(dense).max() > 0, name


def test_training_starts_and_uses_the_codebooks(build: Build, make_batch: Any) -> None:
    model = build(ONE_SET)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    data = tf.data.Dataset.from_tensors(make_batch(size=128)).repeat(40)
    losses = model.fit(data, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for place, found in model.trunk.groups.statistics().items():
        assert (found["usage"].numpy() >= 0.75).all(), place
    groups = model.inside(make_batch(size=128)).groups
    for place in ("user_ad", "representation_click"):  # the five rows of users leave nothing to a second level
        first, second = tf.reduce_mean(groups.errors[place], axis=0).numpy()
        assert second < first, place


@pytest.mark.parametrize("wiring", [WIRING, STEM], ids=["me", "stem"])
def test_checkpoint_merged_tables_and_pruning_keep_codes_and_answers(
    build: Build, make_batch: Any, tmp_path: Path, wiring: models.Wiring
) -> None:
    model, other, batch = apart(build(wiring)), build(wiring), make_batch(size=32)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).restore(path).assert_existing_objects_matched()
    fused, pruned = model.merged(table_variables=1), model.without(tasks=("buy",))
    for same in (other, fused, pruned):
        for place, codes in same.group_codes(batch).items():
            of_whole = "representation_click" if place == "representation" else place
            np.testing.assert_array_equal(codes.numpy(), model.group_codes(batch)[of_whole].numpy())
        np.testing.assert_allclose(same(batch)["click"].numpy(), model(batch)["click"].numpy(), rtol=1e-5)


def test_pruning_may_leave_one_set(build: Build, make_batch: Any) -> None:
    model, batch = (
        apart(build(models.stem_al(main="click", auxiliary=("buy",), widths=(4, 3), expert_width=6))),
        make_batch(size=16),
    )
    left = model.without(tasks=("click",))
    np.testing.assert_array_equal(left.group_codes(batch)["user"], model.group_codes(batch)["user_auxiliary"])
    np.testing.assert_allclose(left(batch)["buy"], model(batch)["buy"], rtol=1e-5)


def test_export_tells_the_groups(build: Build, every_kind: Any, tmp_path: Path) -> None:
    schema, _ = every_kind
    model = apart(build(ONE_SET))
    rows = drawn_rows(schema, number=64, seed=1)
    export_model(model, output=tmp_path, rows=rows)
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    batch = {column.name: tf.constant(rows[column.name]) for column in schema.input_columns}
    answers = loaded.signatures["groups"](**{input_name(name): value for name, value in batch.items()})
    expected = model.group_codes(batch)
    assert set(answers) == set(expected)
    for place, codes in expected.items():
        np.testing.assert_array_equal(answers[place].numpy(), codes.numpy())


def test_places_are_checked(build: Build) -> None:
    with pytest.raises(ValueError, match="Received: user, elsewhere"):
        build(places=("user", "elsewhere"))
    with pytest.raises(ValueError, match="each once"):
        build(places=("user", "user"))


def test_options_and_layers_have_the_same_defaults() -> None:
    options = {field.name: field.default for field in dataclasses.fields(models.GroupOptions)}
    for layer in (GroupStructureLearning, ResidualQuantizer):
        given = {name: each.default for name, each in inspect.signature(layer).parameters.items()}
        for name in set(given) & set(options) - {"levels", "codes", "width"}:
            assert given[name] == options[name], name


def test_what_looks_after_codebooks_is_optional(build: Build, make_batch: Any) -> None:
    def trained(**changes: Any) -> models.Ranker:
        model = build(ONE_SET, places=("user_ad",), codes=16, hidden=(), levels=1, **changes)
        model.compile(optimizer=keras.optimizers.Adam(0.0))
        model.fit(tf.data.Dataset.from_tensors(make_batch(size=64)).repeat(2), verbose=0)
        return model

    books = [model.trunk.groups.learners["user_ad"].quantizer for model in (trained(), trained(k_means_steps=0))]
    assert np.abs(books[0]._codebooks.numpy() - books[1]._codebooks.numpy()).max() > 0
    # With decay 0 the running share is that of the last batch: 64 choices make multiples of 1/64.
    shares = trained(usage_decay=0.0, restart_share=0.0).trunk.groups.learners["user_ad"].quantizer._usage.numpy()
    np.testing.assert_allclose(shares * 64, np.round(shares * 64), atol=1e-4)
    # Twenty codes of a batch of four rows: whatever no row chose is moved at once, or never.
    for share, moves in ((0.9, True), (0.0, False)):
        model = build(ONE_SET, places=("user_ad",), codes=20, levels=1, usage_decay=0.0, restart_share=share)
        model.compile(optimizer=keras.optimizers.SGD(0.0))
        steps = [make_batch(size=4, seed=seed) for seed in (0, 1)]
        quantizer = model.trunk.groups.learners["user_ad"].quantizer
        model.fit(tf.data.Dataset.from_tensors(steps[0]), verbose=0)
        before = quantizer._codebooks.numpy()
        model.fit(tf.data.Dataset.from_tensors(steps[1]), verbose=0)
        assert (np.abs(quantizer._codebooks.numpy() - before).max() > 0) == moves


@pytest.mark.parametrize("straight_through", [True, False])
def test_what_a_task_trains_through_its_groups(build: Build, make_batch: Any, straight_through: bool) -> None:
    model = apart(build(ONE_SET, places=("representation",), weight=0.0, straight_through=straight_through))
    learner = model.trunk.groups.learners["representation"]
    weights = [learner._encoder[0].kernel, learner.quantizer._codebooks]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(make_batch(size=64), training=True)
    sizes = [
        0.0 if g is None else float(np.abs(tf.convert_to_tensor(g).numpy()).max()) for g in tape.gradient(loss, weights)
    ]
    assert [size > 0 for size in sizes] == [straight_through, not straight_through]
