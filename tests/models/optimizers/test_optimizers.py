"""The four sparse optimisers: hand-derived numbers, slow NumPy references with repeated ids, and what lazy means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.models import optimizers

Array = npt.NDArray[np.float64]


# One step of a rule on one row: (gradient, weights, state, step) -> (weights, state); step counts from 1.
Rule = Callable[[Array, Array, dict[str, Any], int], tuple[Array, dict[str, Any]]]


RATE = 0.1


def _rowwise_adagrad(g: Array, w: Array, state: dict[str, Any], step: int) -> tuple[Array, dict[str, Any]]:
    total = state.get("total", 0.0) + sum(x * x for x in g) / len(g)
    return w - RATE * g / (np.sqrt(total) + 1e-8), {"total": total}


def _lazy_adagrad(g: Array, w: Array, state: dict[str, Any], step: int) -> tuple[Array, dict[str, Any]]:
    total = state.get("total", np.zeros_like(w)) + g**2
    return w - RATE * g / (np.sqrt(total) + 1e-8), {"total": total}


def _lazy_adam(g: Array, w: Array, state: dict[str, Any], step: int) -> tuple[Array, dict[str, Any]]:
    m = 0.9 * state.get("m", np.zeros_like(w)) + 0.1 * g
    v = 0.999 * state.get("v", np.zeros_like(w)) + 0.001 * g**2
    rate = RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return w - rate * m / (np.sqrt(v) + 1e-7), {"m": m, "v": v}


def _ftrl(beta: float, l1: float, l2: float, keep_initial: bool) -> Rule:
    """McMahan et al. 2013, Algorithm 1, in the paper's own z, weight by weight."""

    def rule(g: Array, w: Array, state: dict[str, Any], step: int) -> tuple[Array, dict[str, Any]]:
        n = state.get("n", np.zeros_like(w)).copy()
        z = state.get("z", np.zeros_like(w)).copy()
        new = w.copy()
        for i in range(len(w)):
            if keep_initial and n[i] == 0.0:
                z[i] = -w[i] * (beta / RATE + l2) - np.sign(w[i]) * l1
            sigma = (np.sqrt(n[i] + g[i] ** 2) - np.sqrt(n[i])) / RATE
            z[i] += g[i] - sigma * w[i]
            n[i] += g[i] ** 2
            small = abs(z[i]) <= l1
            new[i] = 0.0 if small else (np.sign(z[i]) * l1 - z[i]) / ((beta + np.sqrt(n[i])) / RATE + l2)
        return new, {"n": n, "z": z}

    return rule


CASES: dict[str, tuple[Callable[[], Any], Rule]] = {
    "rowwise_adagrad": (lambda: optimizers.RowwiseAdagrad(RATE), _rowwise_adagrad),
    "lazy_adagrad": (lambda: optimizers.LazyAdagrad(RATE), _lazy_adagrad),
    "lazy_adam": (lambda: optimizers.LazyAdam(RATE), _lazy_adam),
    "lazy_ftrl": (lambda: optimizers.LazyFtrl(RATE), _ftrl(1e-8, 0.0, 0.0, True)),
    "lazy_ftrl_penalties": (
        lambda: optimizers.LazyFtrl(RATE, beta=1.0, l1=0.3, l2=0.5),
        _ftrl(1.0, 0.3, 0.5, True),
    ),
    "lazy_ftrl_paper": (
        lambda: optimizers.LazyFtrl(RATE, beta=1.0, l1=0.3, l2=0.5, keep_initial=False),
        _ftrl(1.0, 0.3, 0.5, False),
    ),
}


BUILDERS = {name: build for name, (build, _) in CASES.items()}


def _slices(values: Any, indices: Any, rows: int) -> Any:
    values = tf.constant(np.asarray(values), tf.float32)
    return tf.IndexedSlices(values, tf.constant(indices), tf.constant([rows, *values.shape[1:]]))


def _one_step(optimizer: Any, weights: list[list[float]], gradient: list[list[float]], indices: list[int]) -> Any:
    table = tf.Variable(weights, dtype=tf.float32)
    optimizer.apply_gradients([(_slices(gradient, indices, len(weights)), table)])
    return table.numpy()


def test_rowwise_adagrad_golden() -> None:
    # Row 1 is looked up twice: g = (1, 2) + (2, 2) = (3, 4), G = (9 + 16) / 2 = 12.5, sqrt = 3.5355339;
    # w = (1, 1) - .1 (3, 4) / 3.5355339 = (1 - .0848528, 1 - .1131371).
    new = _one_step(optimizers.RowwiseAdagrad(0.1), [[5.0, 5.0], [1.0, 1.0]], [[1.0, 2.0], [2.0, 2.0]], [1, 1])
    np.testing.assert_allclose(new, [[5.0, 5.0], [0.9151472, 0.8868629]], rtol=1e-6)


def test_lazy_adagrad_golden() -> None:
    # g = (3, 4), G = 1 + (9, 16), with epsilon 1: w = 1 - .1 (3 / (sqrt(10) + 1), 4 / (sqrt(17) + 1))
    # = 1 - (.3 / 4.1622777, .4 / 5.1231056).
    optimizer = optimizers.LazyAdagrad(0.1, initial_accumulator_value=1.0, epsilon=1.0)
    new = _one_step(optimizer, [[5.0, 5.0], [1.0, 1.0]], [[1.0, 2.0], [2.0, 2.0]], [1, 1])
    np.testing.assert_allclose(new, [[5.0, 5.0], [0.9279240, 0.9219224]], rtol=1e-6)


def test_lazy_adam_golden() -> None:
    # At t = 1 the corrected moments are g and g^2, so each weight moves by the learning rate against its sign.
    new = _one_step(optimizers.LazyAdam(0.1), [[5.0, 5.0], [1.0, 1.0]], [[1.0, -2.0], [2.0, -2.0]], [1, 1])
    np.testing.assert_allclose(new, [[5.0, 5.0], [0.9, 1.1]], rtol=1e-5)


def test_lazy_adam_counts_all_steps() -> None:
    # Row 1 is first looked up at t = 2: m = .1 g, v = .001 g^2, correction sqrt(1 - .998001) / (1 - .81) = .2353182,
    # so its step is .1 * .2353182 * .1 / sqrt(.001) = .0744141, and row 0, untouched, keeps its weights.
    optimizer = optimizers.LazyAdam(0.1)
    table = tf.Variable([[1.0], [1.0]])
    optimizer.apply_gradients([(_slices([[1.0]], [0], 2), table)])
    first = table.numpy()[0]
    optimizer.apply_gradients([(_slices([[4.0]], [1], 2), table)])
    assert table.numpy()[0] == first
    # 1 - .998001 loses digits in float32, as in Keras.
    np.testing.assert_allclose(1 - table.numpy()[1], 0.0744141, rtol=5e-5)


def test_lazy_ftrl_golden() -> None:
    # Paper, from w = z = n = 0 with g = 3, alpha = .5, beta = 1, l1 = 1, l2 = 2: z = 3, n = 9,
    # w = (1 - 3) / ((1 + 3) / .5 + 2) = -2 / 10. A second g = -2.5: sigma = (sqrt(15.25) - 3) / .5 = 1.8102497,
    # z = 3 - 2.5 + 1.8102497 * .2 = .8620499 <= l1, so w = 0.
    optimizer = optimizers.LazyFtrl(0.5, beta=1.0, l1=1.0, l2=2.0)
    table = tf.Variable([[0.0], [7.0]])
    optimizer.apply_gradients([(_slices([[1.0], [2.0]], [0, 0], 2), table)])
    np.testing.assert_allclose(table.numpy(), [[-0.2], [7.0]], rtol=1e-6)
    optimizer.apply_gradients([(_slices([[-2.5]], [0], 2), table)])
    np.testing.assert_array_equal(table.numpy(), [[0.0], [7.0]])


@pytest.mark.parametrize("keep_initial", [True, False])
def test_lazy_ftrl_keeps_or_forgets_the_first_weight(keep_initial: bool) -> None:
    # A gradient of zero: the paper solves for w from z = 0 and gets 0.
    optimizer = optimizers.LazyFtrl(0.5, beta=1.0, keep_initial=keep_initial)
    new = _one_step(optimizer, [[0.25]], [[0.0]], [0])
    np.testing.assert_allclose(new, [[0.25 if keep_initial else 0.0]], rtol=1e-6)


def test_lazy_ftrl_without_penalties_is_adagrad_under_a_warm_up() -> None:
    # With the paper's z, the growth of alpha from .001 to .1 would multiply the weights by up to 100.
    rng = np.random.default_rng(0)
    schedule = keras.optimizers.schedules.PolynomialDecay(0.001, 10, 0.1)
    start = rng.normal(size=(5, 3)).astype(np.float32)
    tables = [tf.Variable(start) for _ in range(2)]
    ftrl, adagrad = optimizers.LazyFtrl(schedule), optimizers.LazyAdagrad(schedule)
    for _ in range(20):
        gradient = _slices(rng.normal(size=(4, 3)), rng.integers(0, 5, 4), 5)
        for optimizer, table in zip((ftrl, adagrad), tables, strict=True):
            optimizer.apply_gradients([(gradient, table)])
    np.testing.assert_allclose(tables[0].numpy(), tables[1].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rows", [6, 400])
def test_equals_reference_on_the_summed_gradient(name: str, rows: int) -> None:
    """Six rows are fewer than the ids of a batch, 400 are more: both ways of adding up repeated ids."""
    build, rule = CASES[name]
    rng = np.random.default_rng(1)
    start = rng.normal(size=(rows, 3)).astype(np.float32)
    optimizer, table = build(), tf.Variable(start)
    step = tf.function(lambda values, indices: _apply(optimizer, table, values, indices))
    weights = start.astype(np.float64)
    state: list[dict[str, Any]] = [{} for _ in range(rows)]
    touched: set[int] = set()
    for number in range(1, 6):
        indices = rng.choice(rng.permutation(rows)[:4], size=12)
        values = rng.normal(size=(12, 3)).astype(np.float32)
        step(tf.constant(values), tf.constant(indices))
        for row in set(indices.tolist()):
            total = values[indices == row].astype(np.float64).sum(axis=0)
            weights[row], state[row] = rule(total, weights[row], state[row], number)
            touched.add(row)
    untouched = sorted(set(range(rows)) - touched)
    np.testing.assert_allclose(table.numpy(), weights, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(table.numpy()[untouched], start[untouched])


def _apply(optimizer: Any, table: Any, values: Any, indices: Any) -> None:
    optimizer.apply_gradients([(tf.IndexedSlices(values, indices, tf.constant(table.shape.as_list())), table)])


@pytest.mark.parametrize("name", BUILDERS)
def test_untouched_rows_and_their_state_keep_their_bits(name: str) -> None:
    rng = np.random.default_rng(2)
    optimizer, table = BUILDERS[name](), tf.Variable(rng.normal(size=(8, 2)).astype(np.float32))
    optimizer.apply_gradients([(_slices(rng.normal(size=(8, 2)), np.arange(8), 8), table)])
    before = [variable.numpy() for variable in (table, *optimizer.variables[1:])]
    optimizer.apply_gradients([(_slices(rng.normal(size=(3, 2)), [2, 5, 2], 8), table)])
    for old, variable in zip(before, (table, *optimizer.variables[1:]), strict=True):
        new = variable.numpy()
        assert [row for row in range(8) if not np.array_equal(old[row], new[row])] == [2, 5]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("shape", [(6, 3), (6,), (6, 2, 2)])
def test_dense_equals_sparse_when_every_row_is_looked_up(name: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    start = rng.normal(size=shape).astype(np.float32)
    sparse, dense = BUILDERS[name](), BUILDERS[name]()
    by_rows, whole = tf.Variable(start), tf.Variable(start)
    for _ in range(3):
        gradient, order = rng.normal(size=shape).astype(np.float32), rng.permutation(6)
        sparse.apply_gradients([(_slices(gradient[order], order, 6), by_rows)])
        dense.apply_gradients([(tf.constant(gradient), whole)])
    np.testing.assert_allclose(by_rows.numpy(), whole.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_scalar_trains(name: str) -> None:
    variable = tf.Variable(2.0)
    BUILDERS[name]().apply_gradients([(tf.constant(1.0), variable)])
    assert np.isfinite(variable.numpy())
    assert variable.numpy() < 2.0


@pytest.mark.parametrize(
    ("ours", "keras_own"),
    [
        (lambda: optimizers.LazyAdam(0.1), lambda: keras.optimizers.Adam(0.1)),
        (
            lambda: optimizers.LazyAdagrad(0.1, initial_accumulator_value=0.1, epsilon=1e-7),
            lambda: keras.optimizers.Adagrad(0.1),
        ),
        (
            lambda: optimizers.LazyFtrl(0.1, beta=1.0, l1=0.2, l2=0.4),
            lambda: keras.optimizers.Ftrl(
                0.1,
                initial_accumulator_value=0.0,
                l1_regularization_strength=0.2,
                l2_regularization_strength=0.2,
                beta=1.0,
            ),
        ),
    ],
    ids=["adam", "adagrad", "ftrl"],
)
def test_equals_keras_when_every_row_is_looked_up(ours: Callable[[], Any], keras_own: Callable[[], Any]) -> None:
    rng = np.random.default_rng(4)
    optimizer, reference = ours(), keras_own()
    # From zeros, because Keras' Ftrl, like the paper, starts from them whatever the weights are.
    table, expected = tf.Variable(tf.zeros([5, 3])), tf.Variable(tf.zeros([5, 3]))
    for _ in range(4):
        gradient = rng.normal(size=(5, 3)).astype(np.float32)
        order = rng.permutation(5)
        optimizer.apply_gradients([(_slices(gradient[order], order, 5), table)])
        reference.apply_gradients([(tf.constant(gradient), expected)])
    np.testing.assert_allclose(table.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BUILDERS)
def test_restored_optimizer_goes_on_identically(name: str, tmp_path: Any) -> None:
    rng = np.random.default_rng(5)
    start = rng.normal(size=(9, 2)).astype(np.float32)
    gradients = [_slices(rng.normal(size=(5, 2)), rng.integers(0, 9, 5), 9) for _ in range(6)]
    table, optimizer = tf.Variable(start), BUILDERS[name]()
    for gradient in gradients[:3]:
        optimizer.apply_gradients([(gradient, table)])
    path = tf.train.Checkpoint(table=table, optimizer=optimizer).write(str(tmp_path / "state"))
    other, other_optimizer = tf.Variable(tf.zeros_like(start)), BUILDERS[name]()
    # Restored before the slots exist, as a resumed run does.
    status = tf.train.Checkpoint(table=other, optimizer=other_optimizer).read(path)
    for gradient in gradients[3:]:
        optimizer.apply_gradients([(gradient, table)])
        other_optimizer.apply_gradients([(gradient, other)])
    status.assert_consumed()
    np.testing.assert_array_equal(other.numpy(), table.numpy())


@pytest.mark.parametrize("name", BUILDERS)
def test_config_round_trip(name: str) -> None:
    optimizer = BUILDERS[name]()
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


def _model(rows: int) -> Any:
    embedding = keras.layers.Embedding(rows, 4, input_length=2)
    return keras.Sequential([keras.Input((2,)), embedding, keras.layers.Flatten(), keras.layers.Dense(1)])


@pytest.mark.parametrize("name", BUILDERS)
def test_trains_an_embedding_in_fit(name: str) -> None:
    keras.utils.set_random_seed(0)
    ids = np.random.default_rng(6).integers(0, 20, (256, 2))
    target = (ids.sum(axis=1, keepdims=True) / 40.0).astype(np.float32)
    model = _model(30)
    before = model.get_weights()[0]
    model.compile(BUILDERS[name](), loss="mse", run_eagerly=True)
    losses = model.fit(ids, target, batch_size=100, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(model.get_weights()[0][20:], before[20:])


def test_schedule_is_followed() -> None:
    # Row-wise Adagrad's first step of a fresh row of width 1 is the learning rate: 1 at step 0, .25 at step 1.
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.25)
    optimizer, table = optimizers.RowwiseAdagrad(schedule), tf.Variable([[0.0], [0.0]])
    for row in range(2):
        optimizer.apply_gradients([(_slices([[3.0]], [row], 2), table)])
    np.testing.assert_allclose(table.numpy(), [[-1.0], [-0.25]], rtol=1e-6)


@pytest.mark.parametrize(
    ("clipping", "scale"),
    # Slices (3) and (1) of one row sum to 4, and another variable's gradient is 3: norms 4 and sqrt(4^2 + 3^2) = 5.
    # From the slices themselves they would be sqrt(10) and sqrt(19).
    [({"clipnorm": 2.0}, 2 / 4), ({"global_clipnorm": 2.5}, 2.5 / 5), ({"clipvalue": 1.0}, 1 / 4)],
    ids=["clipnorm", "global_clipnorm", "clipvalue"],
)
def test_clipping_sees_summed_slices(clipping: dict[str, Any], scale: float) -> None:
    # Adagrad with an accumulator of 1e8 divides by 1e4 and is linear otherwise.
    optimizer = optimizers.LazyAdagrad(1e4, initial_accumulator_value=1e8, **clipping)
    table, other = tf.Variable([[0.0]]), tf.Variable([[0.0]])
    optimizer.apply_gradients([(_slices([[3.0], [1.0]], [0, 0], 1), table), (tf.constant([[3.0]]), other)])
    np.testing.assert_allclose(table.numpy(), [[-4 * scale]], rtol=1e-5)


def test_bfloat16_policy_keeps_state_in_float32() -> None:
    ids = np.arange(8).reshape(4, 2)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = _model(9)
        optimizer = optimizers.RowwiseAdagrad()
        model.compile(optimizer, loss="mse", run_eagerly=True)
        model.fit(ids, np.ones((4, 1), np.float32), verbose=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {variable.dtype for variable in optimizer.variables[1:]} == {tf.float32}
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
