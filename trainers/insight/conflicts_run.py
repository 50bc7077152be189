"""Measures how the tasks of a run share experts and embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from fullrank.analysis.comparisons.tables import format_table
from fullrank.analysis.figures.matrix import matrix_heatmap
from fullrank.data.files.write_aside import check_replaceable, written_aside
from fullrank.data.reading.read import read_records
from fullrank.data.reading.weights import example_weights
from fullrank.data.schema.json import read_schema
from fullrank.models import Ranker
from fullrank.trainers.insight.configs import ConflictsConfig
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.training.load_run import load_run

RESULT: Final = "conflicts.json"
Floats = npt.NDArray[np.float64]


def conflicts_run(config: ConflictsConfig) -> dict[str, Any]:
    """Reads batches, prints two tables, and writes JSON and figures.

    Returns:
      The content of `conflicts.json`: `tasks`, `experts`, `gates` (task -> expert -> mean weight) and `cosines` (set ->
      task -> task -> cosine, `None` where a task does not train the set).

    Raises:
      ValueError: If the run has only one task, or the records do not fit.
    """
    check_replaceable(Path(config.output), overwrite=config.overwrite, made_of=RESULT)
    loaded = load_run(config.run)
    model = loaded.model
    tasks = model.wiring.tasks
    if len(tasks) < 2:
        raise ValueError(f"--run={config.run} predicts {tasks[0]} alone: only several tasks can share parts.")
    schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
    batches = read_records(schema, split=config.split, batch_size=config.batch_size).take(config.batches)
    gates, sums, count = None, None, 0
    look = tf.function(lambda batch: look_into(model, batch))
    for batch in tqdm(batches, total=config.batches, desc="looking", unit=" batches", mininterval=1.0):
        weights, products = (value.numpy().astype(np.float64) for value in look(batch))
        gates = weights if gates is None else gates + weights
        sums = products if sums is None else sums + products
        count += 1
    if gates is None or sums is None:
        raise ValueError(f"Split {config.split!r} of {schema.name!r} holds no batch.")
    content = _content(model, gates / count, cosines_of(sums))
    with written_aside(Path(config.output), overwrite=config.overwrite, made_of=RESULT) as aside:
        _draw(content, aside)
        write_json(content, aside / RESULT)
    print(_summary(content))
    return content


def look_into(model: Ranker, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean gate weights `[G, E]`, and inner products of the tasks' gradients on each set's fields, `[S, T, T]`.

    A task's gradient is that of its own loss, before weighting, with respect to all fields of the batch.
    """
    with tf.GradientTape(persistent=True) as tape:
        read = model.inside(batch)
        labels = model.outputs.rows.labels(batch)
        weights = example_weights(batch, model.schema.weight)
        losses = tf.unstack(model.objective.losses(read.predicted, labels, weights))
    products = []
    for fields in read.fields:
        flat = [
            tf.reshape(tape.gradient(loss, fields, unconnected_gradients=tf.UnconnectedGradients.ZERO), [-1])
            for loss in losses
        ]
        stacked = tf.cast(tf.stack(flat), tf.float32)
        products.append(tf.matmul(stacked, stacked, transpose_b=True))
    return tf.reduce_mean(read.gates, axis=0), tf.stack(products)


def cosines_of(products: Floats) -> Floats:
    """Cosines of `[S, T, T]` inner products, summed over batches; NaN where a gradient is zero."""
    norms = np.sqrt(np.einsum("stt->st", products))
    scale = norms[:, :, np.newaxis] * norms[:, np.newaxis, :]
    cosines: Floats = np.divide(products, scale, out=np.full_like(products, np.nan), where=scale > 0)
    return cosines


def _content(model: Ranker, gates: Floats, cosines: Floats) -> dict[str, Any]:
    wiring = model.wiring
    readers, experts = wiring.readers, model.trunk.mixture.read_experts
    rows = {
        reader.task: dict(zip(experts, row.tolist(), strict=True)) for reader, row in zip(readers, gates, strict=True)
    }
    of_sets = {}
    for spec, matrix in zip(wiring.sets, cosines, strict=True):
        of_sets[spec.name] = {
            task: {
                other: None if np.isnan(value) else float(value) for other, value in zip(wiring.tasks, row, strict=True)
            }
            for task, row in zip(wiring.tasks, matrix, strict=True)
        }
    return {"tasks": list(wiring.tasks), "experts": list(experts), "gates": rows, "cosines": of_sets}


def _draw(content: dict[str, Any], directory: Path) -> None:
    gates = content["gates"]
    matrix_heatmap(
        values=np.array([list(row.values()) for row in gates.values()]),
        rows=list(gates),
        columns=content["experts"],
        title="What each task reads",
        scale="mean gate weight",
        largest=1.0,
        path=directory / "gates.png",
        row_axis="task",
        column_axis="expert",
    )
    for name, matrix in content["cosines"].items():
        values = np.array([[np.nan if v is None else v for v in row.values()] for row in matrix.values()])
        matrix_heatmap(
            values=values,
            rows=content["tasks"],
            columns=content["tasks"],
            title=f"Gradients of two tasks on set {name}",
            scale="cosine",
            smallest=-1.0,
            largest=1.0,
            path=directory / f"gradients_{name}.png",
        )


def _summary(content: dict[str, Any]) -> str:
    gates = [{"task": task, **row} for task, row in content["gates"].items()]
    lines = ["Mean gate weights:", format_table(rows=gates, columns=("task", *content["experts"]))]
    tasks = content["tasks"]
    pairs = [
        {"set": name, "tasks": f"{first} - {second}", "cosine": matrix[first][second]}
        for name, matrix in content["cosines"].items()
        for place, first in enumerate(tasks)
        for second in tasks[place + 1 :]
    ]
    lines.append("\nCosines between the gradients of two tasks on a set's embeddings; - where one does not train it:")
    lines.append(format_table(rows=pairs, columns=("set", "tasks", "cosine")))
    return "\n".join(lines)
