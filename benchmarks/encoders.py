"""The cost of the feature encoders: the Temporal Interest Module over histories, and numbers by their digits.

* TIM ([Tencent] §3.1) over DIN (hidden layers 64, 32), both of width 32, for histories of L = 50, 200 and 1,000; and
  the time of TIM for each behaviour at L over that at 50, which must not grow. Forward and backward passes, down to the
  gradients of embeddings and weights.
* Multiple Numeral Systems ([Tencent] §3.2) of bases 2, 3 and 5 over one lookup per number in a table of 256 rows: 13
  numbers of 8 bits, width 16, batches of 4,096. Training steps: Adam for the digits, whose gradient is dense, and lazy
  Adagrad for the table that is looked up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import tf_keras as keras
import tqdm

import report
from fullrank.layers import MultipleNumeralSystem, TargetAttention, TemporalInterest
from fullrank.models.optimizers import OptimizerSpec, build_optimizer

LENGTHS: Final = (50, 200, 1000)
EVENTS: Final = 102_400
"""Behaviours a step: histories are longer, batches smaller."""
WIDTH: Final = 32
BATCH: Final = 4096
NUMBERS: Final = 13
BITS: Final = 8


def gradients(layer: keras.layers.Layer, inputs: Sequence[tf.Tensor], *, calls: int) -> Callable[[], float]:
    """A function that runs forward and backward passes: gradients of the layer's weights and of what it embeds."""
    layer(*inputs)
    watched = [given for given in inputs if given.dtype == tf.float32]

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(watched)
            loss = tf.reduce_sum(tf.square(layer(*inputs)))
        found = tape.gradient(loss, [*layer.trainable_variables, *watched[:2]], unconnected_gradients="zero")
        return tf.add_n([tf.reduce_sum(tf.abs(tf.convert_to_tensor(each)[:1])) for each in found])

    def run() -> float:
        return float([step() for _ in range(calls)][-1])

    return run


def history(length: int) -> list[tf.Tensor]:
    """Behaviours, target, mask and seconds of `EVENTS / length` examples."""
    batch = EVENTS // length
    behaviours = tf.random.stateless_normal([batch, length, WIDTH], (1, length))
    target = tf.random.stateless_normal([batch, WIDTH], (2, length))
    lengths = tf.random.stateless_uniform([batch], (3, length), length // 2, length + 1, tf.int32)
    seconds = tf.random.stateless_uniform([batch, length], (4, length), 0.0, 1e7)
    return [behaviours, target, tf.sequence_mask(lengths, length), seconds]


def sequences(rounds: int) -> list[report.Row]:
    """TIM over DIN at each length, and over itself at the shortest."""
    rows = []
    shortest = gradients(TemporalInterest(LENGTHS[0]), history(LENGTHS[0]), calls=3)
    for length in LENGTHS:
        inputs = history(length)
        tim = gradients(TemporalInterest(length), inputs, calls=3)
        din = gradients(TargetAttention((64, 32)), inputs[:3], calls=3)
        rows.append(_row(f"TIM / DIN, L = {length}", tim, din, rounds, "<= 1.3"))
        if length > LENGTHS[0]:
            name = f"TIM a behaviour, L = {length} / L = {LENGTHS[0]}"
            rows.append(_row(name, tim, shortest, rounds, "<= 1.1"))
    return rows


def numbers(rounds: int) -> list[report.Row]:
    """Digits of numbers over one lookup per number."""
    digits, lookup = MultipleNumeralSystem(16, bases=(2, 3, 5), bits=BITS), _OneLookup()
    dense = keras.optimizers.Adam(1e-3)
    sparse = build_optimizer(
        tables=_built(lookup),
        table_optimizer=OptimizerSpec("lazy_adagrad", 0.01),
        dense_optimizer=OptimizerSpec("adam", 1e-3),
    )
    ours, reference = steps(digits, dense), steps(lookup, sparse)
    return [_row("training step, MNS of 3 bases / one lookup", ours, reference, rounds, "<= 3")]


def steps(layer: keras.layers.Layer, optimizer: keras.optimizers.Optimizer) -> Callable[[], float]:
    """A function that runs training steps of a layer that embeds numbers."""
    values, variables = _values(), _built(layer)

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(values)))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def run() -> float:
        return float([step() for _ in range(10)][-1])

    return run


def _values() -> tf.Tensor:
    return tf.random.stateless_uniform([BATCH, NUMBERS], (5, 6))


def _built(layer: keras.layers.Layer) -> list[tf.Variable]:
    layer(_values())
    variables: list[tf.Variable] = layer.trainable_variables
    return variables


class _OneLookup(keras.layers.Layer):
    """A row per number, of a table of 2^bits rows for each; the numbers are in [0, 1) and map linearly."""

    def build(self, input_shape: Any) -> None:
        self._table = self.add_weight(name="table", shape=(NUMBERS << BITS, 16), initializer="uniform")
        super().build(input_shape)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        rows = 1 << BITS
        return tf.gather(self._table, tf.cast(values * rows, tf.int64) + rows * tf.range(NUMBERS, dtype=tf.int64))


def _row(name: str, ours: Callable[[], float], reference: Callable[[], float], rounds: int, goal: str) -> report.Row:
    timing = report.alternate(ours, reference, rounds=rounds, warmup=2)
    return report.compare(
        name=name,
        ours=timing.ours.scaled(1e3),
        reference=timing.reference.scaled(1e3),
        unit="ms",
        goal=goal,
        ratio=timing.median_of_ratios,
    )


def main() -> None:
    options = report.arguments("What sequence encoders and numeral systems cost.")
    rounds = 1 if options.quick else 31
    parts = tqdm.tqdm((sequences, numbers), desc="encoders", mininterval=1)
    report.emit([row for part in parts for row in part(rounds)], options.json)


if __name__ == "__main__":
    main()
