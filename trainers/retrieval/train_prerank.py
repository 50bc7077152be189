"""Trains a pre-ranker from a ranker's run, into a run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.data.files.printable import closest
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_rules import without_features
from fullrank.models.retrieval.pre_ranker import PreRanker, Teacher, consistency
from fullrank.models.retrieval.sides import ad_columns
from fullrank.trainers.retrieval.build import build_pre_ranker, build_towers
from fullrank.trainers.retrieval.catalogue import Catalogue
from fullrank.trainers.retrieval.config import DistilConfig, PrerankConfig
from fullrank.trainers.retrieval.train_towers import Parts, train_in_directory
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import LoadedRun, load_run


def train_prerank(config: PrerankConfig, *, command: Sequence[str] = ()) -> dict[str, Any]:
    """Trains, or resumes an interrupted run, or finds that the run is finished.

    Args:
      config: What to train, from which ranker, and where to.
      command: The command line, for the record.

    Returns:
      What `result.json` holds.

    Raises:
      ValueError: If data, ranker, configuration and run directory do not fit together, or training diverges.
    """
    ranker = load_run(config.prerank.teacher)
    task = ranker_task(ranker, config.prerank.task)
    schema = read_schema(config.data.data)
    check_same_columns(ranker.schema, schema, columns=[column.name for column in ranker.schema.input_columns])

    def build(schema: Schema, catalogue: Catalogue) -> Parts:
        own = without_features(schema, config.prerank.without_features)
        towers = build_towers(config.prerank, own, catalogue=catalogue, seed=config.train.seed)
        model = build_pre_ranker(config, towers)
        model.learn_from(teacher_of(ranker, task, catalogue=catalogue))
        batches = _first_of_each(config.prerank.queries)

        def measure(validation: tf.data.Dataset) -> keras.callbacks.Callback:
            return Consistencies(
                model, batches(validation), config=config.prerank, most=config.train.validation_queries
            )

        return Parts(model=model, towers=towers, batches=batches, measure=measure)

    return train_in_directory(config, schema, item=config.prerank.item, build=build, command=command)


def ranker_task(ranker: LoadedRun, name: str | None) -> str:
    """The binary task that is learned.

    Raises:
      ValueError: If the ranker has no such task.
    """
    binary = [task for task in ranker.model.wiring.tasks if ranker.schema.label(task).type == "binary"]
    found = name if name is not None else next(iter(binary), "")
    if found not in binary:
        meant = closest(found, binary)
        hint = f"did you mean {meant!r}?" if meant else f"It has {', '.join(binary) or 'none'}."
        raise ValueError(f"--task={found}: the ranker has no such binary task; {hint}")
    return found


def teacher_of(ranker: LoadedRun, task: str, *, catalogue: Mapping[str, np.ndarray[Any, Any]]) -> Teacher:
    """Logits of a ranker for each query with its own ad and with ads of the catalogue.

    Args:
      ranker: The ranker.
      task: Whose logits.
      catalogue: Column of the ad side -> values of all ads.
    """
    model, columns = ranker.model, ad_columns(ranker.schema)
    ads = {c.name: tf.constant(_tensor_values(catalogue[c.name])) for c in columns}
    others = [column.name for column in ranker.schema.input_columns if column.name not in ads]

    def teach(batch: Mapping[str, tf.Tensor], places: tf.Tensor) -> tf.Tensor:
        rows, number = tf.shape(batch[others[0]])[0], tf.size(places)
        own = model.logits({name: batch[name] for name in (*others, *ads)}, training=False)[task]
        crossed = {name: tf.repeat(batch[name], number, axis=0) for name in others}
        for name, values in ads.items():
            given = tf.gather(values, places)
            crossed[name] = tf.tile(given, [rows, *([1] * (given.shape.rank - 1))])
        logits = tf.reshape(model.logits(crossed, training=False)[task], [rows, number])
        return tf.concat([own[:, tf.newaxis], logits], axis=1)

    return teach


def _tensor_values(values: np.ndarray[Any, Any]) -> Any:
    return values.tolist() if values.dtype == object else values


def _first_of_each(queries: int) -> Any:
    """A dataset's batches, cut to their first examples, which are as good as drawn where the split is shuffled."""

    def cut(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.map(lambda batch: {name: values[:queries] for name, values in batch.items()})

    return cut


class Consistencies(keras.callbacks.Callback):
    """Adds `val_consistency` to the logs of each epoch, and prints it beside that of a random order.

    Args:
      pre_ranker: The model that is trained.
      batches: The validation split.
      config: k, K and the number of candidates.
      most: Queries that are scored.
    """

    def __init__(self, pre_ranker: PreRanker, batches: tf.data.Dataset, *, config: DistilConfig, most: int) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._model, self._batches, self._config, self._most = pre_ranker, batches, config, most
        self._look = tf.function(self._consistency, reduce_retracing=True)

    def _consistency(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor:
        ranked, scored = self._model.both_scores(batch, step=step, training=False)
        return consistency(ranked, scored, top=self._config.top, kept=self._config.kept)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Scores the candidates of the first queries; the same ones after every epoch."""
        if logs is None:
            return
        found: list[np.ndarray[Any, Any]] = []
        for step, batch in enumerate(self._batches):
            found.append(self._look(batch, tf.constant(-1 - step, tf.int64)).numpy())
            if sum(map(len, found)) >= self._most:
                break
        known = np.concatenate(found)[: self._most] if found else np.empty(0)
        logs["val_consistency"] = float(known.mean()) if len(known) else float("nan")
        chance = self._config.kept / (self._config.candidates + 1)
        print(
            f"epoch {epoch + 1}: {logs['val_consistency']:.4f} of the ranker's first {self._config.top} of "
            f"{self._config.candidates + 1} candidates are among the first {self._config.kept}, over {len(known):,} "
            f"queries; by chance {chance:.4f}.",
            flush=True,
        )
