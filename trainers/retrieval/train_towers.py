"""Trains a two-tower model as a configuration says, into a run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.data.files.scratch import clear_leftovers
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_rules import without_features
from fullrank.models.retrieval.two_tower import TwoTower
from fullrank.trainers.retrieval.build import build_towers
from fullrank.trainers.retrieval.catalogue import FILE, Catalogue, load_catalogue, read_catalogue, write_catalogue
from fullrank.trainers.retrieval.config import RetrieveConfig
from fullrank.trainers.retrieval.evaluate import CatalogueRanking, retrieval_metrics
from fullrank.trainers.run.run_directory import RunDirectory, write_json
from fullrank.trainers.training.build_model import compile_model
from fullrank.trainers.training.callbacks.stop_on_nan import TrainingDivergedError
from fullrank.trainers.training.fitting import Fitting, say, summary
from fullrank.trainers.training.records import (
    batch_size_of,
    check_splits,
    explained,
    read_split,
    steps_per_epoch,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """What one kind of retrieval training is made of.

    Attributes:
      model: Not compiled.
      towers: Its towers, with their catalogue.
      batches: Changes the batches of a dataset before the model sees them; `None` for nothing.
      measure: From the batches of the validation split to the callback that adds the monitored metric.
    """

    model: keras.Model
    towers: TwoTower
    batches: Callable[[tf.data.Dataset], tf.data.Dataset] | None = None
    measure: Callable[[tf.data.Dataset], keras.callbacks.Callback]


Build = Callable[[Schema, Catalogue], Parts]
"""Schema of the records and the catalogue -> the parts."""


def train_towers(config: RetrieveConfig, *, command: Sequence[str] = ()) -> dict[str, Any]:
    """Trains, or resumes an interrupted run, or finds that the run is finished.

    Args:
      config: What to train, on what, and where to.
      command: The command line, for the record.

    Returns:
      What `result.json` holds.

    Raises:
      ValueError: If data, configuration and run directory do not fit together, or training diverges.
    """

    def build(schema: Schema, catalogue: Catalogue) -> Parts:
        own = without_features(schema, config.retrieval.without_features)
        model = build_towers(config.retrieval, own, catalogue=catalogue, seed=config.train.seed)

        def measure(validation: tf.data.Dataset) -> keras.callbacks.Callback:
            return CatalogueRanks(model, validation, at=config.train.at, most=config.train.validation_queries)

        return Parts(model=model, towers=model, measure=measure)

    schema = read_schema(config.data.data)
    return train_in_directory(config, schema, item=config.retrieval.item, build=build, command=command)


def train_in_directory(
    config: Any, schema: Schema, *, item: str | None, build: Build, command: Sequence[str]
) -> dict[str, Any]:
    """Trains any model of retrieval as `train_towers` does.

    Args:
      config: With the parts `data`, `optimizer` and `train`.
      schema: Schema of the records.
      item: Feature that names an ad; `None` for the default.
      build: Builds the model.
      command: The command line, for the record.
    """
    run = RunDirectory(config.train.output, config_class=type(config))
    with run.locked():
        if not run.exists:
            run.check_free()
        elif not config.train.overwrite:
            run.config_of(type(config))
            if run.resumable:
                run.check_resumable(config, schema)
            run.check_not_diverged(config, schema)
            result = run.result()
            if result is not None:
                clear_leftovers(run.result_file)
                say(f"{run.path} is finished: {summary(result)}. Give --overwrite to start over.")
                return result
        return _Training(config, schema, run, item=item, build=build).run(command)


class _Training:
    """The parts of one training run."""

    def __init__(self, config: Any, schema: Schema, run: RunDirectory, *, item: str | None, build: Build) -> None:
        self._config, self._schema, self._run = config, schema, run
        check_splits(config.data, schema)
        self._steps = steps_per_epoch(config, schema)
        keras.utils.set_random_seed(config.train.seed)
        if config.train.deterministic:
            tf.config.experimental.enable_op_determinism()
        self._catalogue = self._read_catalogue(item)
        # The state of these generators can be saved, that of Keras's usual random operations cannot.
        keras.backend.experimental.enable_tf_random_generator()
        self._parts = build(schema, self._catalogue)
        compile_model(
            self._parts.model,
            config.optimizer,
            total_steps=self._steps * config.train.epochs,
            steps_per_execution=config.train.steps_per_execution,
        )
        self._fitting = Fitting(
            self._parts.model,
            run=run,
            config=config.train,
            steps=self._steps,
            batch_size=batch_size_of(config.data),
            monitor=f"val_{config.train.monitor}" if config.data.validation_split else None,
        )

    def _read_catalogue(self, item: str | None) -> Catalogue:
        """That of the run if it is resumed, or of the training split and then the validation split."""
        file = self._run.path / FILE
        if self._run.resumable and not self._config.train.overwrite and file.is_file():
            return load_catalogue(file, schema=self._schema)
        data = self._config.data
        splits = [split for split in (data.train_split, data.validation_split) if split]
        return read_catalogue(self._schema, item=item, splits=splits)

    def run(self, command: Sequence[str]) -> dict[str, Any]:
        """Fits, and writes down what came of it."""
        if self._config.train.overwrite or not self._run.resumable:
            self._run.create(
                self._config,
                self._schema,
                command=command,
                more=lambda aside: write_catalogue(self._catalogue, aside / FILE, schema=self._schema),
            )
        data, towers = self._config.data, self._parts.towers
        say(f"The catalogue has {towers.ads:,} ads, named by {towers.item.name}.")
        with explained(self._schema, splits=[split for split in (data.train_split, data.validation_split) if split]):
            try:
                self._fit()
            except TrainingDivergedError as error:
                raise TrainingDivergedError(self._run.note_divergence(str(error))) from error
        result = {**self._fitting.result(), "ads": towers.ads}
        write_json(result, self._run.result_file)
        say(f"{self._run.path} is finished: {summary(result)}.")
        return result

    def _fit(self) -> None:
        train, data, parts = self._config.train, self._config.data, self._parts
        batches = read_split(
            data,
            self._schema,
            split=data.train_split,
            cache=self._run.repaired,
            seed=train.seed if data.shuffle else None,
            epochs=None,
            deterministic=train.deterministic,
        )
        measures: list[keras.callbacks.Callback] = []
        if data.validation_split:
            validation = read_split(data, self._schema, split=data.validation_split, cache=self._run.repaired)
            measures.append(parts.measure(validation))
        self._fitting.fit(batches if parts.batches is None else parts.batches(batches), measures=measures)


class CatalogueRanks(keras.callbacks.Callback):
    """Adds `val_recall`, `val_ndcg` and `val_mrr` to the logs of each epoch, NaN without a positive.

    Args:
      towers: The model that is trained.
      batches: The validation split.
      at: K.
      most: Positives that are ranked.
    """

    def __init__(self, towers: TwoTower, batches: tf.data.Dataset, *, at: int, most: int) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._towers, self._batches, self._at, self._most = towers, batches, at, most
        self._ranking = CatalogueRanking(towers, at=(at,))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ranks the positives."""
        if logs is None:
            return
        found = self._ranking.rank(self._batches, most=self._most)
        metrics = retrieval_metrics(found, at=(self._at,), popularity=self._towers.counts.popularity.numpy())
        for name, key in (("recall", f"recall@{self._at}"), ("ndcg", f"ndcg@{self._at}"), ("mrr", "mrr")):
            value = metrics[key]
            logs[f"val_{name}"] = float("nan") if value is None else value
        say(
            f"epoch {epoch + 1}: recall@{self._at} {_shown(logs['val_recall'])}, ndcg@{self._at} "
            f"{_shown(logs['val_ndcg'])}, mrr {_shown(logs['val_mrr'])} over {metrics['queries']:,} positives and "
            f"{self._towers.ads:,} ads."
        )


def _shown(value: float) -> str:
    return f"{value:.4f}"
