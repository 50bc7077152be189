"""A training step on small and on huge tables, for every sparse optimiser, and the memory that the huge ones take.

26 fields of width 16 in an `EmbeddingSet`, an MLP of 400-400-400 above it, binary cross entropy, batches of 2,048. Ids
are drawn uniformly, the worst case: at 10 M rows almost every one of the 53,248 ids of a batch is another row and far
from the last one in memory, while at 10 k rows all rows stay in the cache. "Tables alone" leaves the MLP out (the loss
is a mean over the embeddings), so that nothing hides the cost of the tables. Keras' own optimisers are there for
information; they take time in proportion to the table.

Memory is the largest resident size of a process of its own, imports and the initialisation of the table included.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras as keras
import tqdm

import report
from fullrank.layers import EmbeddingSet, Field, LookupPlan, Lookups, Table
from fullrank.models.optimizers import SPARSE_OPTIMIZERS, OptimizerSpec, build_optimizer

FIELDS, WIDTH, BATCH, HIDDEN = 26, 16, 2048, (400, 400, 400)
STEPS_A_CALL = 3
DENSE = OptimizerSpec("adam", 1e-3)
KERAS = {"keras Adagrad": keras.optimizers.Adagrad, "keras Adam": keras.optimizers.Adam}


def training(rows: int, optimizer: str, *, tables_alone: bool = False) -> Callable[[], float]:
    """Builds tables of `rows` rows together and a model on them; returns a function that runs `STEPS_A_CALL` steps."""
    plan = LookupPlan.ordered(
        tables=tuple(Table(name=f"table_{f}", rows=rows // FIELDS) for f in range(FIELDS)),
        fields=tuple(Field(name=f"field_{f}", table=f"table_{f}") for f in range(FIELDS)),
    )
    embeddings = EmbeddingSet(plan, WIDTH, seed=1)
    embeddings.build(None)
    tower = keras.Sequential(
        [keras.layers.Flatten(), *(keras.layers.Dense(units, "relu") for units in HIDDEN), keras.layers.Dense(1)]
    )
    tower.build((None, FIELDS, WIDTH))
    variables = [*embeddings.trainable_variables, *(() if tables_alone else tower.trainable_variables)]
    if optimizer in KERAS:
        training_rule = KERAS[optimizer](0.01, jit_compile=False)
    else:
        training_rule = build_optimizer(
            tables=embeddings.trainable_variables,
            table_optimizer=OptimizerSpec(optimizer, 0.01),
            dense_optimizer=DENSE,
        )
    labels = tf.constant(np.arange(BATCH) % 4 == 0, tf.float32)[:, tf.newaxis]

    @tf.function(input_signature=[tf.TensorSpec([BATCH, FIELDS], tf.int64)])
    def step(ids: Any) -> Any:
        with tf.GradientTape() as tape:
            fields = embeddings(Lookups(rows=ids, weights=tf.zeros([BATCH, 0]), sequences={}))
            if tables_alone:
                loss = tf.reduce_mean(tf.square(fields - 1.0))
            else:
                loss = keras.losses.BinaryCrossentropy(from_logits=True)(labels, tower(fields))
        training_rule.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    generator = np.random.default_rng(7)
    batches = [tf.constant(generator.integers(0, rows // FIELDS, (BATCH, FIELDS))) for _ in range(16)]
    position = 0

    def run() -> float:
        nonlocal position
        for _ in range(STEPS_A_CALL):
            loss = step(batches[position % len(batches)])
            position += 1
        return float(loss)

    return run


def step_time(optimizer: str, small: int, large: int, rounds: int, *, tables_alone: bool) -> report.Row:
    """Step time on large tables over step time on small ones."""
    timing = report.alternate(
        training(large, optimizer, tables_alone=tables_alone),
        training(small, optimizer, tables_alone=tables_alone),
        rounds=rounds,
        warmup=2,
    )
    what = "tables alone" if tables_alone else "step"
    return report.compare(
        name=f"{optimizer}, {what}: {large:,} rows / {small:,} rows",
        ours=timing.ours.scaled(1e3 / STEPS_A_CALL),
        reference=timing.reference.scaled(1e3 / STEPS_A_CALL),
        unit="ms",
        goal="" if tables_alone else "<= 1.5",
    )


def against_keras(ours: str, reference: str, large: int, rounds: int) -> report.Row:
    """Our step on large tables over that of one of Keras' own optimisers."""
    timing = report.alternate(training(large, ours), training(large, reference), rounds=rounds)
    return report.compare(
        name=f"step at {large:,} rows: {ours} / {reference}",
        ours=timing.ours.scaled(1e3 / STEPS_A_CALL),
        reference=timing.reference.scaled(1e3 / STEPS_A_CALL),
        unit="ms",
    )


def memory(optimizer: str, large: int) -> report.Row:
    """Peak memory of a process that trains on large tables, over the bound set for it."""
    child = subprocess.run(
        [sys.executable, __file__, "--child", optimizer, str(large)], capture_output=True, text=True, check=False
    )
    if child.returncode:
        raise RuntimeError(f"measuring the memory of {optimizer} failed: {child.stderr.strip()[-2000:]}")
    found = json.loads(child.stdout.strip().splitlines()[-1])
    bound = 1.3 * found["state"] + 1e9
    return report.compare(
        name=f"{optimizer}: peak memory at {large:,} rows / (1.3 x {found['state'] / 1e9:.2f} GB + 1 GB)",
        ours=report.Sample((found["peak"] / 1e9,)),
        reference=report.Sample((bound / 1e9,)),
        unit="GB",
        goal="<= 1",
    )


def _child(optimizer: str, rows: int) -> None:
    run = training(rows, optimizer)
    run()
    width_of_state = {"rowwise_adagrad": 1, "lazy_adagrad": WIDTH, "lazy_adam": 2 * WIDTH, "lazy_ftrl": 2 * WIDTH}
    state = 4 * rows * (WIDTH + width_of_state[optimizer])
    print(json.dumps({"peak": report.peak_memory(), "state": state}))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], int(sys.argv[3]))
        return
    options = report.arguments("Time and memory of a training step on large tables.")
    small, large = (1_000, 100_000) if options.quick else (10_000, 10_000_000)
    optimizers = SPARSE_OPTIMIZERS[:1] if options.quick else SPARSE_OPTIMIZERS
    measurements: list[Callable[[], report.Row]] = [
        *(functools.partial(memory, optimizer, large) for optimizer in optimizers),
        *(
            functools.partial(step_time, optimizer, small, large, 1 if options.quick else 11, tables_alone=tables_alone)
            for optimizer in optimizers
            for tables_alone in (False, True)
        ),
        *(
            functools.partial(against_keras, ours, reference, large, rounds=2)
            for ours, reference in (("lazy_adagrad", "keras Adagrad"), ("lazy_adam", "keras Adam"))
        ),
    ]
    rows = []
    for measure in tqdm.tqdm(measurements, desc="train_step", mininterval=1):
        rows.append(measure())
        gc.collect()
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
