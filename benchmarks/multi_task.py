"""A training step on 128 conversion types in 32 towers, against the same model with a single task.

An asymmetric multi-embedding (AME) model as [Tencent] §5.1 has it: three embedding sets of widths 16, 32 and 64, 40
fields, a product and a flat expert on each set, batches of 1,024. The reference has the same sets and experts, and one
task. The difference is what many tasks cost: gates, towers, heads, loss and metrics. A step is the one of `Model.fit`,
tables trained by row-wise Adagrad and the rest by Adam, and the statistics of every task updated and reported. Labels
are observed on a tenth of the rows, as conversion types are seldom all reported.

Tracing is the seconds from a new model to the end of its first step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import report
from fullrank import models
from fullrank.data import IdMap, Label, Schema, Sparse
from fullrank.models.optimizers import OptimizerSpec, build_optimizer

FIELDS, ROWS, WIDTHS = 40, 10_000, (16, 32, 64)
STEPS_A_CALL = 2


def ranker(tasks: int, towers: int, fields: int) -> models.Ranker:
    """An AME model of many tasks, compiled."""
    labels = tuple(Label(name=f"type_{n}", mean=0.3 / (n + 1), observed=0.1) for n in range(tasks))
    schema = Schema(
        name="conversions",
        features=tuple(Sparse(name=f"field_{n}", ids=IdMap(kind="identity", size=ROWS)) for n in range(fields)),
        labels=labels,
    )
    groups = models.group_by_volume({label.name: label.mean or 0.0 for label in labels}, towers=towers)
    model = models.Ranker(schema, models.ame(tasks=groups, widths=WIDTHS))
    optimizer = build_optimizer(
        tables=list(model.table_variables.values()),
        table_optimizer=OptimizerSpec("rowwise_adagrad", 0.05),
        dense_optimizer=OptimizerSpec("adam", 1e-3),
    )
    model.compile(optimizer=optimizer)
    return model


def batches(tasks: int, fields: int, size: int) -> list[dict[str, tf.Tensor]]:
    """A few batches of uniform ids and sparse labels."""
    draw = np.random.default_rng(7)
    found = []
    for _ in range(4):
        columns: dict[str, Any] = {f"field_{n}": draw.integers(0, ROWS, size) for n in range(fields)}
        for n in range(tasks):
            labels = (draw.random(size) < 0.3 / (n + 1)).astype(np.float32)
            columns[f"type_{n}"] = np.where(draw.random(size) < 0.1, labels, np.float32("nan"))
        found.append({name: tf.constant(values) for name, values in columns.items()})
    return found


def training(tasks: int, towers: int, fields: int, size: int) -> tuple[Callable[[], float], float]:
    """A function that runs `STEPS_A_CALL` steps, and the seconds that building, tracing and the first step took."""
    data = batches(tasks, fields, size)
    start = time.perf_counter()
    model = ranker(tasks, towers, fields)

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        results: dict[str, tf.Tensor] = model.train_step(batch)
        return results

    float(step(data[0])["loss"])
    traced = time.perf_counter() - start
    place = 0

    def run() -> float:
        nonlocal place
        for _ in range(STEPS_A_CALL):
            place += 1
            loss = step(data[place % len(data)])["loss"]
        return float(loss)

    return run, traced


def main() -> None:
    options = report.arguments("A training step of many tasks.")
    tasks, towers, fields, size = (16, 4, 10, 256) if options.quick else (128, 32, FIELDS, 1024)
    single, _ = training(1, 1, fields, size)
    many, traced = training(tasks, towers, fields, size)
    timing = report.alternate(many, single, rounds=1 if options.quick else 11, warmup=2)
    scale = 1e3 / STEPS_A_CALL
    rows = [
        report.compare(
            name=f"step: {tasks} tasks in {towers} towers / 1 task, {fields} fields, B = {size}",
            ours=timing.ours.scaled(scale),
            reference=timing.reference.scaled(scale),
            unit="ms",
            goal="<= 2.5",
        ),
        report.compare(
            name=f"build, trace and first step of {tasks} tasks / 20 s",
            ours=report.Sample((traced,)),
            reference=report.Sample((20.0,)),
            unit="s",
            goal="<= 1",
        ),
    ]
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
