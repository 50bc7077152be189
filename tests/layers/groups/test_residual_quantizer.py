"""Residual quantisation by hand, what its gradients reach, and how its codebooks start and stay alive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.layers import GroupStructureLearning, ResidualQuantizer
from fullrank.layers.groups.k_means import k_means, nearest_codes

Array = np.ndarray[Any, Any]
BOOKS = np.array([[[0.0], [4.0]], [[-1.0], [1.0]]], np.float32)


def with_books(books: Array, **options: Any) -> ResidualQuantizer:
    layer = ResidualQuantizer(books.shape[0], books.shape[1], **options)
    layer.build((None, books.shape[2]))
    layer.weights[0].assign(books)
    return layer


def clusters(number: int, spread: float = 0.05, size: int = 512, seed: int = 0) -> tf.Tensor:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(number, 8))
    points = centres[generator.integers(0, number, size)] + spread * generator.normal(size=(size, 8))
    return tf.constant(points, tf.float32)


def test_two_levels_of_two_codes_by_hand() -> None:
    # Codes {0, 4} and {-1, 1}. 3 takes 4, leaves -1, takes -1, leaves 0. 1.5 takes 0, leaves 1.5, takes 1, leaves 0.5.
    # Loss (1 + mu) times the sum of squares of what is left: 1 + 0, and 2.25 + 0.25.
    found = with_books(BOOKS, mu=0.5)(tf.constant([[3.0], [1.5]]))
    np.testing.assert_array_equal(found.codes, [[1, 0], [0, 1]])
    np.testing.assert_allclose(found.groups, [[3.0], [1.0]])
    np.testing.assert_allclose(found.errors, [[1.0, 0.0], [2.25, 0.25]])
    np.testing.assert_allclose(found.loss, [1.5 * 1.0, 1.5 * 2.5])


def test_gradients_by_hand() -> None:
    # To the input, 2 (what is left after each level): 2 (-1 + 0) and 2 (1.5 + 0.5); the second level's share is in it.
    # To a code, 2 mu (e - r_i): 0 meets 1.5, 4 meets 3, -1 meets -1, 1 meets 1.5.
    layer, inputs = with_books(BOOKS, mu=0.5), tf.Variable([[3.0], [1.5]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs).loss)
    of_inputs, of_books = tape.gradient(loss, [inputs, layer.weights[0]])
    np.testing.assert_allclose(of_inputs, [[-2.0], [4.0]])
    np.testing.assert_allclose(tf.convert_to_tensor(of_books), [[[-1.5], [1.0]], [[0.0], [-0.5]]])


def slow(inputs: Array, books: Array) -> tuple[Array, Array, Array]:
    """Codes, what is left after each level `[B, Q, d]`, and the codes' sum, one example after the other."""
    codes, left, total = [], [], []
    for r in inputs.astype(np.float64):
        row, rest, taken = [], [], np.zeros(len(r))
        for book in books:
            row.append(min(range(len(book)), key=lambda j: float(np.sum((r - book[j]) ** 2))))
            taken += book[row[-1]]
            r = r - book[row[-1]]
            rest.append(r)
        codes.append(row)
        left.append(rest)
        total.append(taken)
    return np.array(codes), np.array(left), np.array(total)


def test_equals_the_slow_form_and_every_level_reaches_the_input() -> None:
    generator = np.random.default_rng(1)
    books = generator.normal(size=(3, 5, 4)).astype(np.float32)
    inputs = tf.Variable(generator.normal(size=(40, 4)).astype(np.float32))
    codes, left, total = slow(inputs.numpy(), books)
    with tf.GradientTape() as tape:
        found = with_books(books, mu=0.3)(inputs)
        loss = tf.reduce_sum(found.loss)
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_allclose(found.groups, total, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.errors, np.sum(left**2, axis=2), rtol=1e-4)
    np.testing.assert_allclose(found.loss, 1.3 * np.sum(left**2, axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(tape.gradient(loss, inputs), 2 * left.sum(axis=1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("combine", "slope"), [("sum", 1.0), ("concat", 2.0)])
def test_groups_pass_the_gradient_straight_through(combine: Any, slope: float) -> None:
    layer, inputs = with_books(BOOKS, combine=combine), tf.Variable([[3.0], [1.5]])
    with tf.GradientTape() as tape:
        groups = layer(inputs).groups
    of_inputs, of_books = tape.gradient(groups, [inputs, layer.weights[0]])
    np.testing.assert_array_equal(of_inputs, [[slope], [slope]])
    assert of_books is None
    if combine == "concat":
        np.testing.assert_allclose(groups, [[4.0, -1.0], [0.0, 1.0]])


@pytest.mark.parametrize("combine", ["sum", "concat"])
def test_embedded_codes_are_the_groups_and_train_the_codes(combine: Any) -> None:
    layer = with_books(BOOKS, combine=combine)
    found = layer(tf.constant([[3.0], [1.5]]))
    with tf.GradientTape() as tape:
        embedded = layer.embed(found.codes)
    np.testing.assert_allclose(embedded, found.groups)
    gradient = tape.gradient(embedded, layer.weights[0])
    np.testing.assert_array_equal(tf.convert_to_tensor(gradient), np.ones([2, 2, 1]))


def test_nearest_codes_and_k_means_by_hand() -> None:
    # 0 and 1 go to the code at 0, 9 to the one at 5; their means are 0.5 and 9; the code at 50 has no point and stays.
    points, codes = tf.constant([[0.0], [1.0], [9.0]]), tf.constant([[0.0], [5.0], [50.0]])
    np.testing.assert_array_equal(nearest_codes(points, codes), [0, 0, 1])
    np.testing.assert_allclose(k_means(points, codes, steps=1), [[0.5], [9.0], [50.0]])
    np.testing.assert_array_equal(k_means(points, codes, steps=0), codes)


def test_the_first_training_batch_starts_the_codebooks_once() -> None:
    layer = ResidualQuantizer(3, 16, seed=3)
    before = layer(clusters(40))
    books = layer.get_weights()[0].copy()
    layer(clusters(40))
    np.testing.assert_array_equal(layer.get_weights()[0], books)
    layer(tf.zeros([0, 8]), training=True)
    np.testing.assert_array_equal(layer.get_weights()[0], books)
    after = layer(clusters(40), training=True)
    started = layer.get_weights()[0].copy()
    assert np.abs(started - books).max() > 0.1
    assert np.mean(after.errors[:, -1]) < 0.5 * np.mean(before.errors[:, -1])
    layer(clusters(40, seed=5), training=True)
    np.testing.assert_array_equal(layer.get_weights()[0], started)


def test_error_falls_with_each_level() -> None:
    layer = ResidualQuantizer(4, 16, seed=3)
    layer(clusters(200, size=1024), training=True)
    errors = np.mean(layer(clusters(200, size=1024, seed=1)).errors, axis=0)
    variance = float(np.sum(np.var(clusters(200, size=1024), axis=0)))
    assert (np.diff([variance, *errors]) < 0).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_dead_codes_restart_and_come_into_use(compiled: bool) -> None:
    # 20 clusters, 16 codes per level, all but two of them far away.
    books = np.full((2, 16, 8), 100.0, np.float32)
    books[:, :2] = np.random.default_rng(0).normal(size=(2, 2, 8))
    layer = with_books(books, seed=1, usage_decay=0.8)
    layer.weights[2].assign(1.0)  # started: keeps these codebooks
    before = layer(clusters(20))
    assert len(np.unique(before.codes[:, 0])) <= 2

    def step(points: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer(points, training=True).loss)
        layer.weights[0].assign_sub(0.1 * tf.convert_to_tensor(tape.gradient(loss, layer.weights[0])))
        return loss

    step = tf.function(step) if compiled else step
    for number in range(60):
        step(clusters(20, seed=number))
    statistics = layer.statistics()
    assert (statistics["usage"].numpy() >= 0.8).all()
    assert (statistics["perplexity"].numpy() > 6).all()
    codes = layer(clusters(20, seed=999)).codes.numpy()
    assert all(len(np.unique(codes[:, level])) >= 0.8 * 16 for level in range(2))


def test_a_code_chosen_in_the_batch_is_not_moved_and_no_restart_by_option() -> None:
    for share, moved in ((0.5, True), (0.0, False)):
        layer = with_books(np.array([[[0.0], [50.0]]], np.float32), usage_decay=0.0, restart_share=share, seed=1)
        layer.weights[2].assign(1.0)
        layer(tf.constant([[0.2], [0.1]]), training=True)
        books = layer.get_weights()[0]
        assert books[0, 0, 0] == 0.0
        assert (np.abs(books[0, 1, 0] - [0.2, 0.1]).min() < 1e-5) == moved
        assert (books[0, 1, 0] == 50.0) == (not moved)


def test_a_frozen_layer_does_not_change() -> None:
    layer = ResidualQuantizer(2, 4, trainable=False, seed=1)
    layer(clusters(5))
    before = layer.get_weights()
    layer(clusters(5), training=True)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_statistics_by_hand() -> None:
    # Shares (1/2, 1/2, 0, 0): half of the codes are alive, perplexity 2. Even shares: all are, 4.
    layer = with_books(np.zeros((2, 4, 1), np.float32))
    layer.weights[1].assign([[0.5, 0.5, 0.0, 0.0], [0.25] * 4])
    np.testing.assert_allclose(layer.statistics()["usage"], [0.5, 1.0])
    # A batch without rows says nothing of the codes.
    shares = layer.weights[1].numpy()
    layer(tf.zeros([0, 1]), training=True)
    np.testing.assert_array_equal(layer.weights[1], shares)
    np.testing.assert_allclose(layer.statistics()["perplexity"], [2.0, 4.0], rtol=1e-6)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"codes >= 2. Received: 1 and 1"):
        ResidualQuantizer(1, 1)
    with pytest.raises(ValueError, match=r"'sum' or 'concat'. Received: 'mean'"):
        ResidualQuantizer(1, 2, combine="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"inputs \[B, d\]"):
        ResidualQuantizer(1, 2)(tf.zeros([2, 3, 4]))
    with pytest.raises(ValueError, match=r"inputs \[B, D\]"):
        GroupStructureLearning(1, 2, 3)(tf.zeros([2, 3, 4]))


class Grouped(keras.Model):
    """The smallest model with groups: one logit on `[x ; groups]`."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = GroupStructureLearning(2, 8, 4, hidden=(16,), seed=1)
        self.head = keras.layers.Dense(1)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.head(self.groups(inputs).output)


def trained() -> Grouped:
    model, optimizer = Grouped(), keras.optimizers.Adam(0.01)
    model(clusters(20))
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(points: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            found = model.groups(points, training=True)
            logits = model.head(found.output)[:, 0]
            task = tf.reduce_mean(tf.square(logits - points[:, 0]))
            loss = task + tf.reduce_mean(found.loss)
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return tf.reduce_mean(found.reconstruction)

    first = step(clusters(20))
    for number in range(150):
        last = step(clusters(20, seed=number))
    assert last < 0.5 * first
    return model


def test_codes_are_stable_when_saved_and_exported(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model, points = trained(), clusters(20, seed=77)
    expected = model.groups(points)
    statistics = model.groups.quantizer.statistics()
    assert (statistics["usage"].numpy() >= 0.8).all()
    model.save_weights(tmp_path / "weights")
    copy = Grouped()
    copy(points)
    copy.load_weights(tmp_path / "weights").expect_partial()
    np.testing.assert_array_equal(copy.groups(points).codes, expected.codes)
    spec = tf.TensorSpec([None, 8])
    module = tf.Module()
    module.layer = model.groups
    module.codes = tf.function(lambda x: model.groups(x).codes, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.codes(points), expected.codes)
    assert expected.codes.dtype == tf.int32


def gradients(**options: Any) -> tuple[tf.Tensor | None, list[tf.Tensor | None], list[tf.Tensor | None]]:
    """Of the loss to x and to the encoder; of the groups behind x to the codebooks and the encoder."""
    layer, inputs = GroupStructureLearning(2, 3, 4, hidden=(), seed=1, **options), tf.Variable(clusters(5, size=16))
    layer(inputs)
    encoder = layer._encoder[0].kernel
    with tf.GradientTape(persistent=True) as tape:
        found = layer(inputs)
        loss, groups = tf.reduce_sum(found.loss), found.output[:, 8:]
    return (
        tape.gradient(loss, inputs),
        tape.gradient(loss, [encoder, layer.quantizer.weights[0]]),
        tape.gradient(groups, [encoder, layer.quantizer.weights[0]]),
    )


def test_what_the_options_let_pass() -> None:
    to_inputs, from_loss, (encoder, books) = gradients()
    assert np.abs(tf.convert_to_tensor(to_inputs)).sum() > 0
    assert all(np.abs(tf.convert_to_tensor(g)).sum() > 0 for g in from_loss)
    assert np.abs(tf.convert_to_tensor(encoder)).sum() > 0
    assert books is None
    to_inputs, _, (encoder, books) = gradients(detach=True, straight_through=False)
    assert to_inputs is None
    assert encoder is None
    assert np.abs(tf.convert_to_tensor(books)).sum() > 0


def test_the_target_of_reconstruction_is_a_constant() -> None:
    # With all weights zero, x^ = r = e = 0: the loss is ||x||^2 = 9 + 16, which moves with x through its target or not.
    layer, inputs = GroupStructureLearning(1, 2, 2, hidden=()), tf.Variable([[3.0, 4.0]])
    layer(inputs)
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    with tf.GradientTape() as tape:
        found = layer(inputs)
    np.testing.assert_allclose(found.loss, [25.0])
    np.testing.assert_allclose(found.reconstruction, [25.0])
    np.testing.assert_array_equal(tape.gradient(found.loss, inputs), [[0.0, 0.0]])


@pytest.mark.parametrize("combine", ["sum", "concat"])
def test_reconstruction_trains_the_encoder_and_leaves_the_input_alone(combine: Any) -> None:
    layer = GroupStructureLearning(2, 3, 4, hidden=(6,), combine=combine, seed=1)
    inputs = tf.Variable(clusters(5, size=16))
    layer(inputs)
    kernel = layer._encoder[0].kernel
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(layer(inputs).loss)
        encoded = inputs
        for each in layer._encoder:
            encoded = each(encoded)
        commitment = tf.reduce_sum(layer.quantizer(encoded).loss)
    np.testing.assert_allclose(tape.gradient(loss, inputs), tape.gradient(commitment, inputs), rtol=1e-4, atol=1e-5)
    moved = tape.gradient(loss, kernel) - tape.gradient(commitment, kernel)
    assert np.abs(moved).max() > 1e-3
