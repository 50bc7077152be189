"""From specifications to the optimiser of a model: groups, overrides, schedules, callbacks, saving."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.models import optimizers
from fullrank.models.optimizers import build, spec
from fullrank.models.optimizers.fused_adam import FusedAdam

ROWWISE = optimizers.OptimizerSpec("rowwise_adagrad", 0.05)
ADAM = optimizers.OptimizerSpec("adam", 0.01)
IDS = {"user": np.arange(64) % 7, "item": np.arange(64) % 11}
TARGET = ((IDS["user"] > 3) * 1.0 + IDS["item"] * 0.1).astype(np.float32)[:, np.newaxis]


def _model() -> Any:
    keras.utils.set_random_seed(1)
    inputs = {name: keras.Input([], name=name, dtype="int64") for name in ("user", "item")}
    parts = [keras.layers.Embedding(20, 4, name=f"{name}_table")(column) for name, column in inputs.items()]
    return keras.Model(inputs, keras.layers.Dense(1, name="head")(keras.layers.Concatenate()(parts)))


def _tables(model: Any) -> list[Any]:
    return [model.get_layer(name).embeddings for name in ("user_table", "item_table")]


def _compiled(
    table: optimizers.OptimizerSpec = ROWWISE,
    dense: optimizers.OptimizerSpec = ADAM,
    *,
    eager: bool = True,
) -> Any:
    """Compiled; without tracing where a test does not need a graph, as tracing takes most of the time."""
    model = _model()
    model.compile(
        optimizers.build_optimizer(tables=_tables(model), table_optimizer=table, dense_optimizer=dense),
        loss="mse",
        run_eagerly=eager,
    )
    return model


def _fit(model: Any, epochs: int = 1, callbacks: Any = ()) -> list[float]:
    history = model.fit(IDS, TARGET, batch_size=24, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return list(history.history["loss"])


def _slot_names(model: Any) -> set[str]:
    return {variable.name for variable in model.optimizer.variables if "iteration" not in variable.name}


@pytest.mark.parametrize(
    ("table", "dense"), list(zip(optimizers.SPARSE_OPTIMIZERS, optimizers.DENSE_OPTIMIZERS, strict=True))
)
def test_every_optimizer_trains(table: str, dense: str) -> None:
    model = _compiled(optimizers.OptimizerSpec(table, 0.05), optimizers.OptimizerSpec(dense, 0.05), eager=False)
    losses = _fit(model, epochs=3)
    assert losses[-1] < losses[0]
    assert model.optimizer.iterations.numpy() == 9


def test_each_variable_is_trained_by_its_own_optimizer_only() -> None:
    model = _compiled()
    _fit(model)
    # One accumulator for each table, two moments for kernel and bias, and nothing else.
    assert _slot_names(model) == {
        "accumulator/user_table/embeddings:0",
        "accumulator/item_table/embeddings:0",
        *(f"{moment}/head/{weight}:0" for moment in "mv" for weight in ("kernel", "bias")),
    }


def test_grouping_changes_no_number() -> None:
    """Two optimisers in one give the weights that each gives by itself."""
    model = _compiled()
    reference = _model()
    sparse, dense = optimizers.RowwiseAdagrad(0.05), keras.optimizers.Adam(0.01)
    tables = {table.ref() for table in _tables(reference)}
    for start in range(0, 64, 24):
        batch = {name: tf.constant(ids[start : start + 24]) for name, ids in IDS.items()}
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(reference(batch) - TARGET[start : start + 24]))
        pairs = list(
            zip(tape.gradient(loss, reference.trainable_variables), reference.trainable_variables, strict=True)
        )
        sparse.apply_gradients([pair for pair in pairs if pair[1].ref() in tables])
        dense.apply_gradients([pair for pair in pairs if pair[1].ref() not in tables])
    _fit(model)
    for ours, expected in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


def test_tables_are_told_by_identity_not_by_name() -> None:
    table = tf.Variable(tf.zeros([3, 2]), name="same")
    other = tf.Variable(tf.zeros([3, 2]), name="same")
    optimizer = optimizers.build_optimizer(tables=[table], table_optimizer=ROWWISE, dense_optimizer=ADAM)
    optimizer.build([other, table])
    assert [variable.shape.rank for variable in optimizer.variables] == [0, 2, 2, 0, 1]


@pytest.mark.parametrize("key", ["item", "set/item"])
def test_override_of_one_table(key: str) -> None:
    tables = [tf.Variable([[0.0]], name=f"set/{name}") for name in ("user", "item")]
    optimizer = optimizers.build_optimizer(
        tables=tables,
        table_optimizer=ROWWISE,
        dense_optimizer=ADAM,
        overrides={key: optimizers.OptimizerSpec("lazy_adam", 0.002)},
    )
    optimizer.build(tables)
    slots = [variable.name for variable in optimizer.variables if "iteration" not in variable.name]
    assert slots == ["accumulator/set/user:0", "momentum/set/item:0", "velocity/set/item:0"]


def test_override_of_an_unknown_table_lists_the_known() -> None:
    tables = [tf.Variable([[0.0]], name=f"set/{name}") for name in ("user", "item")]
    with pytest.raises(ValueError, match=r"no table is named 'usr'.*Tables: item, user"):
        optimizers.build_optimizer(
            tables=tables, table_optimizer=ROWWISE, dense_optimizer=ADAM, overrides={"usr": ROWWISE}
        )


@pytest.mark.parametrize(
    ("full", "short"),
    [("user:0", "user"), ("set_1/user:0", "user"), ("set/user/part_3:0", "user"), ("set/part_ner", "part_ner")],
)
def test_table_name(full: str, short: str) -> None:
    class Named:
        name = full

    assert build.table_name(Named()) == short


def test_no_tables_gives_the_dense_optimizer_alone() -> None:
    optimizer = optimizers.build_optimizer(tables=[], table_optimizer=ROWWISE, dense_optimizer=ADAM)
    assert type(optimizer) is FusedAdam


def test_checkpoint_before_and_after_build_goes_on_identically(tmp_path: Any) -> None:
    table = dataclasses.replace(ROWWISE, name="lazy_adam", schedule="cosine", decay_steps=20, warmup_steps=2)
    model = _compiled(table, eager=False)
    _fit(model)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(tmp_path / "state"))
    expected = _fit(model, epochs=2)
    resumed = _compiled(table, eager=False)
    status = tf.train.Checkpoint(model=resumed, optimizer=resumed.optimizer).read(path)
    assert _fit(resumed, epochs=2) == expected
    status.assert_existing_objects_matched()
    assert resumed.optimizer.iterations.numpy() == 9
    for ours, theirs in zip(model.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_keras_save_and_load_goes_on_identically(tmp_path: Any) -> None:
    model = _compiled()
    _fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert _fit(loaded, epochs=2) == _fit(model, epochs=2)


def test_model_saved_untrained_says_what_to_do_when_trained(tmp_path: Any) -> None:
    _compiled().save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert loaded.predict(IDS, verbose=0).shape == (64, 1)
    optimizer = optimizers.GroupedOptimizer.from_config(_compiled().optimizer.get_config())
    with pytest.raises(ValueError, match="compile the model with a new optimizer"):
        optimizer.build(loaded.trainable_variables)


def test_callbacks_change_all_constant_rates_in_proportion() -> None:
    model = _compiled()
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    _fit(model, epochs=2, callbacks=[halve])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.005)
    by_name = {optimizer.name: optimizer for optimizer in model.optimizer._optimizers}
    assert float(by_name["rowwise_adagrad"].learning_rate) == pytest.approx(0.025)


def test_schedules_of_groups_are_their_own() -> None:
    table = dataclasses.replace(ROWWISE, schedule="linear", decay_steps=4)
    model = _compiled(table)
    _fit(model)
    by_name = {optimizer.name: optimizer for optimizer in model.optimizer._optimizers}
    # Three steps: the rate of the third, at step 2 of 4, is half.
    assert float(by_name["rowwise_adagrad"].learning_rate) == pytest.approx(0.025)
    assert float(by_name["Adam"].learning_rate) == pytest.approx(0.01)


def test_loss_scaling_of_float16_wraps_the_group() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = _compiled()
        losses = _fit(model, epochs=3)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert losses[-1] < losses[0]


def test_a_group_without_gradient_is_left_alone() -> None:
    table, kernel = tf.Variable([[1.0]], name="table"), tf.Variable([1.0], name="kernel")
    optimizer = optimizers.build_optimizer(tables=[table], table_optimizer=ROWWISE, dense_optimizer=ADAM)
    optimizer.apply_gradients([(None, table), (tf.constant([1.0]), kernel)])
    assert table.numpy() == 1.0
    assert kernel.numpy() < 1.0
    with pytest.raises(ValueError, match=r"no gradient reaches any of the variables \['table:0', 'kernel:0'\]"):
        optimizer.apply_gradients([(None, table), (None, kernel)])


def test_one_variable_in_two_groups_is_refused() -> None:
    table = tf.Variable([[1.0]], name="table")
    with pytest.raises(ValueError, match="table:0 is in two groups"):
        optimizers.GroupedOptimizer([keras.optimizers.Adam(), optimizers.LazyAdam()], [[table, table]])
    with pytest.raises(ValueError, match=r"one group for each optimizer but the first.*2 optimizers, 0"):
        optimizers.GroupedOptimizer([keras.optimizers.Adam(), optimizers.LazyAdam()], [])


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(ValueError, match="unknown table optimizer 'adam': use one of rowwise_adagrad, lazy_adagrad"):
        spec.build_sparse(optimizers.OptimizerSpec("adam", 0.1))
    with pytest.raises(ValueError, match="unknown dense optimizer 'adm': use one of adam, adamw, adagrad, sgd"):
        spec.build_dense(optimizers.OptimizerSpec("adm", 0.1))


def test_parameter_of_another_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="rowwise_adagrad has no parameter beta_1, it has initial_accumulator_value"):
        spec.build_sparse(dataclasses.replace(ROWWISE, beta_1=0.5))


def test_every_parameter_reaches_its_optimizer() -> None:
    """Each field of the specification is some optimiser's, and each optimiser takes all that it accepts."""
    used: set[str] = set()
    for known, make in ((spec._SPARSE, spec.build_sparse), (spec._DENSE, spec.build_dense)):
        for name, (_, accepted) in known.items():
            values: dict[str, Any] = dict.fromkeys(accepted, 0.5)
            built = make(optimizers.OptimizerSpec(name, 0.1, global_clipnorm=3.0, **values))
            config = built.get_config()
            assert {parameter: config[parameter] for parameter in accepted} == values
            assert config["global_clipnorm"] == 3.0
            used |= set(accepted)
    assert used == set(spec._PARAMETERS)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Warm-up over 2 steps: half, then full. Then from step 2 on 4 steps of decay from .8 to .2 = .8 / 4.
        ("constant", [0.4, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]),
        ("linear", [0.4, 0.8, 0.8, 0.65, 0.5, 0.35, 0.2, 0.2]),
        # .2 + .6 (1 + cos(pi t / 4)) / 2
        ("cosine", [0.4, 0.8, 0.8, 0.7121320, 0.5, 0.2878680, 0.2, 0.2]),
        # .8 / 4^(t / 4) = .8 / sqrt(2)^t, for ever
        ("exponential", [0.4, 0.8, 0.8, 0.5656854, 0.4, 0.2828427, 0.2, 0.1414214]),
    ],
)
def test_schedule_golden(kind: str, expected: list[float]) -> None:
    schedule = optimizers.build_schedule(learning_rate=0.8, schedule=kind, warmup_steps=2, decay_steps=4, final=0.25)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    for step, value in enumerate(expected):
        assert float(schedule(step)) == pytest.approx(value, rel=1e-5)
        assert float(again(tf.constant(step, tf.int64))) == pytest.approx(value, rel=1e-5)


def test_constant_rate_stays_a_number_that_callbacks_can_set() -> None:
    assert optimizers.build_schedule(learning_rate=0.1) == 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "cosin"}, "unknown learning rate schedule 'cosin': use one of constant, cosine, linear, exp"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be > 0"),
        ({"warmup_steps": -1}, "warmup_steps must be >= 0"),
        ({"schedule": "linear"}, "the linear schedule needs decay_steps >= 1"),
        ({"schedule": "linear", "decay_steps": 5, "final": 1.5}, "final from 0 to 1"),
        ({"schedule": "exponential", "decay_steps": 5}, "exponential schedule needs final above 0"),
    ],
)
def test_schedule_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimizers.build_schedule(**{"learning_rate": 0.1, **arguments})
