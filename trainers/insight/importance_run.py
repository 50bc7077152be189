"""Permutation importance: how much worse predictions get when one feature is exchanged between examples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy.special import xlog1py, xlogy
from tqdm import tqdm

from fullrank.analysis.comparisons.tables import format_table
from fullrank.analysis.figures.importance import importance_bars
from fullrank.data.files.write_aside import check_replaceable, written_aside
from fullrank.data.reading.read import read_records
from fullrank.data.reading.weights import example_weights
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.trainers.insight.configs import ImportanceConfig
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import LoadedRun, load_run
from fullrank.trainers.training.records import explained

RESULT: Final = "importance.json"
Batch = dict[str, tf.Tensor]
Floats = npt.NDArray[np.float64]


def importance_run(config: ImportanceConfig) -> dict[str, Any]:
    """Reads examples, prints a table, and writes JSON and a figure for each task.

    Returns:
      The content of `importance.json`: `examples`, and `tasks`: task -> feature -> `increase` of normalised entropy in
      percent when the feature is permuted, and half the width of its 95 % interval, `reach`.

    Raises:
      ValueError: If the run predicts no binary task whose label the records have, or the records do not fit.
    """
    output = Path(config.output)
    check_replaceable(output, overwrite=config.overwrite, made_of=RESULT)
    loaded = load_run(config.run)
    schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
    needed = [column.name for column in loaded.schema.input_columns]
    needed += [loaded.schema.weight] if loaded.schema.weight is not None else []
    check_same_columns(loaded.schema, schema, columns=[*needed, *loaded.model.outputs.rows.label_columns])
    batch = _examples(schema, config)
    content = _measured(loaded, batch, seed=config.seed)
    with written_aside(output, overwrite=config.overwrite, made_of=RESULT) as aside:
        for task, features in content["tasks"].items():
            importance_bars(importance=features, task=task, path=aside / f"{task}.png")
        write_json(content, aside / RESULT)
    print(_summary(content, run=config.run))
    return content


def _examples(schema: Schema, config: ImportanceConfig) -> Batch:
    """The first examples of a split drawn in random order, as one batch."""
    if not schema.split(config.split).examples:
        raise ValueError(f"The split {config.split!r} of {schema.directory} is empty.")
    with explained(schema, splits=[config.split]):
        records = read_records(
            schema, split=config.split, batch_size=config.examples, seed=config.seed, deterministic=True
        )
        found: Batch = next(iter(records.take(1)))
    return found


def _measured(loaded: LoadedRun, batch: Batch, *, seed: int) -> dict[str, Any]:
    model, schema = loaded.model, loaded.schema
    labels = model.outputs.rows.labels(batch).numpy().astype(np.float64).T
    given = example_weights(batch, schema.weight)
    weights = np.ones(labels.shape[1]) if given is None else given.numpy().astype(np.float64)
    labels = np.where(weights > 0.0, labels, np.nan)
    tasks = {
        task: label
        for task, label in zip(model.wiring.tasks, labels, strict=True)
        if model.outputs.label(task).type == "binary" and 0 < np.nan_to_num(label).sum() < (~np.isnan(label)).sum()
    }
    if not tasks:
        raise ValueError(f"{loaded.directory.path} predicts no binary task for which the records hold both labels.")
    inputs = {column.name: batch[column.name] for column in schema.input_columns}
    predict = tf.function(lambda values: {task: model(values, training=False)[task] for task in tasks})

    def losses(values: Batch) -> dict[str, Floats]:
        scores = predict(values)
        return {task: _loss(label, scores[task].numpy().astype(np.float64)) for task, label in tasks.items()}

    whole = losses(inputs)
    generator = np.random.default_rng(seed)
    number = len(next(iter(whole.values())))
    content: dict[str, Any] = {"examples": number, "tasks": {task: {} for task in tasks}}
    for feature in tqdm(schema.features, desc="permuting", unit=" features", mininterval=1.0):
        order = generator.permutation(number)
        moved = [column.name for column in schema.feature_columns(feature)]
        changed = losses({**inputs, **{name: tf.gather(inputs[name], order) for name in moved}})
        for task, loss in whole.items():
            content["tasks"][task][feature.name] = _increase(loss, changed[task], weights)
    return content


def _loss(label: Floats, score: Floats) -> Floats:
    clipped = np.clip(score, 1e-7, 1 - 1e-7)
    loss: Floats = -xlogy(label, clipped) - xlog1py(1.0 - label, -clipped)
    return loss


def _increase(before: Floats, after: Floats, weights: Floats) -> dict[str, float]:
    """The increase in percent of the mean loss, and thus of normalised entropy, with a 95 % interval over examples.

    Args:
      before: Losses, `[N]`; NaN for an example that does not count.
      after: Those of exchanged examples.
      weights: Of the examples, positive where a loss is known.
    """
    seen = ~np.isnan(before)
    change, weight = after[seen] - before[seen], weights[seen]
    increase, mean = np.average(change, weights=weight), np.average(before[seen], weights=weight)
    reach = 1.96 * math.sqrt(np.sum((weight * (change - increase)) ** 2)) / weight.sum()
    return {"increase": float(100.0 * increase / mean), "reach": float(100.0 * reach / mean)}


def _summary(content: dict[str, Any], *, run: str) -> str:
    lines = [f"{run}: increase of NE in percent when a feature is exchanged between {content['examples']:,} examples:"]
    features = next(iter(content["tasks"].values()))
    rows = [
        {"feature": name, **{task: found[name]["increase"] for task, found in content["tasks"].items()}}
        for name in sorted(features, key=lambda name: -max(t[name]["increase"] for t in content["tasks"].values()))
    ]
    lines.append(format_table(rows=rows, columns=("feature", *content["tasks"])))
    return "\n".join(lines)
