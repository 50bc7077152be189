"""Every public layer refuses wrong inputs and arguments with a message of its own."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
import tf_keras as keras

from conformance_rows import ROWS, Inputs, Row, called, name_of
from fullrank import layers

WITHOUT_LOOKUPS = pytest.mark.parametrize(
    "row", [row for layer, row in ROWS.items() if layer is not layers.EmbeddingSet], ids=name_of
)


def refusal(row: Row, layer: keras.layers.Layer, inputs: Inputs, error: Any = (TypeError, ValueError)) -> str:
    """The layer's own message about wrong inputs."""
    with pytest.raises(error, match=rf"(?s){name_of(row)}.*Received: ") as caught:
        layer(*inputs)
    return str(caught.value)


def changed(inputs: Inputs, place: int, value: Any) -> Inputs:
    return (*inputs[:place], value, *inputs[place + 1 :])


def longer(value: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.concat([value, tf.gather(value, [0], axis=axis)], axis=axis)


@WITHOUT_LOOKUPS
@pytest.mark.parametrize("built", [False, True])
def test_an_input_of_the_wrong_rank_is_refused(row: Row, built: bool) -> None:
    inputs = row.inputs(6)
    for place, value in enumerate(inputs):
        legal = {value.shape.rank, *(row.ranks if place == 0 or row.ranks == (3,) else ())}
        if name_of(row) == "Gate" and place == 1:
            legal.add(3)
        for other in (value[..., 0], value[..., tf.newaxis]):
            layer = row.make(name="mine")
            if built:
                called(layer, inputs)
            if other.shape.rank not in legal:
                assert "mine" in refusal(row, layer, changed(inputs, place, other), ValueError)


@WITHOUT_LOOKUPS
def test_an_input_of_another_size_than_the_built_one_is_refused(row: Row) -> None:
    layer, inputs = row.make(name="mine"), row.inputs(6)
    called(layer, inputs)
    for place, value in enumerate(inputs):
        for axis in range(1, value.shape.rank):
            assert "mine" in refusal(row, layer, changed(inputs, place, longer(value, axis)), ValueError)
    called(layer, inputs)


@WITHOUT_LOOKUPS
def test_an_input_of_the_wrong_type_is_refused(row: Row) -> None:
    inputs = row.inputs(6)
    for place, value in enumerate(inputs):
        numbers = (
            value.dtype.is_bool or (row.ints and place == 0) or (name_of(row) == "TemporalInterest" and place == 3)
        )
        others: list[Any] = [tf.fill(value.shape, "text"), [value, value]]
        others.append(tf.cast(value, tf.float32) if value.dtype.is_bool else tf.zeros(value.shape, tf.bool))
        others += [] if numbers else [tf.zeros(value.shape, tf.int32), tf.RaggedTensor.from_tensor(tf.ones([2, 2]))]
        for other in others:
            assert "mine" in refusal(row, row.make(name="mine"), changed(inputs, place, other), TypeError)


@WITHOUT_LOOKUPS
def test_the_wrong_number_of_inputs_is_refused(row: Row) -> None:
    inputs = row.inputs(6)
    refusal(row, row.make(), (), TypeError)
    refusal(row, row.make(), (*inputs, inputs[0]), TypeError)
    if not row.optional:
        refusal(row, row.make(), inputs[:-1])


def test_wrong_lookups_are_refused() -> None:
    row = ROWS[layers.EmbeddingSet]
    (good,) = row.inputs(6)
    for wrong in (
        good._replace(rows=good.rows[:, :4]),
        good._replace(rows=good.rows[:, :, tf.newaxis]),
        good._replace(weights=good.weights[:, :1]),
    ):
        refusal(row, row.make(), (wrong,), ValueError)
    for wrong in (good._replace(rows=tf.cast(good.rows, tf.float32)), good.rows):
        refusal(row, row.make(), (wrong,), TypeError)


def wrong_arguments(config: dict[str, Any]) -> list[tuple[str, Any]]:
    """Arguments that count something as 0, negative or a fraction, and literals that are none."""
    wrong: list[tuple[str, Any]] = []
    for name, value in config.items():
        free = ("seed", "k_means_steps", "table_variables")
        if isinstance(value, int) and not isinstance(value, bool) and name not in free:
            wrong += [(name, other) for other in (0, -1, 1.5)]
        if isinstance(value, tuple) and name in ("units", "hidden", "maps", "bases"):
            wrong += [(name, other) for other in ((0,), (-1,), (1.5,))]
        if name in ("form", "combine", "kind", "similarity", "kernel"):
            wrong.append((name, "no such thing"))
        if name == "dropout":
            wrong += [(name, other) for other in (-0.1, 1.0, float("nan"))]
    return wrong


# The arguments of Dense are Keras's.
@pytest.mark.parametrize("row", [row for layer, row in ROWS.items() if layer is not layers.Dense], ids=name_of)
def test_an_argument_that_cannot_be_is_refused(row: Row) -> None:
    layer = type(row.make())
    config = row.make().get_config()
    # Keras's own from_config makes a TypeError of whatever goes wrong.
    make = layer.from_config if "from_config" in vars(layer) else lambda config: layer(**config)
    for name, value in wrong_arguments(config):
        with pytest.raises(ValueError, match="Received: "):
            make({**config, name: value})
