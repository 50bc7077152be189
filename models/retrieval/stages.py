"""The stages of a cascade after retrieval: each takes some ads of a query, and keeps the best of them.

Ads are named by their places in one catalogue of N ads; the place N stands for no ad, which comes last and scores minus
infinity, however it would be scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.data.schema.schema import Schema
from fullrank.models.retrieval.pre_ranker import PreRanker
from fullrank.models.retrieval.sides import ad_columns
from fullrank.models.serving.uncertain import thompson_answers


def paired(queries: Mapping[str, tf.Tensor], ads: Mapping[str, tf.Tensor], places: tf.Tensor) -> dict[str, tf.Tensor]:
    """One row for each query and each of its ads, `[B * C, ...]`, the ads of a query one after another.

    Args:
      queries: Columns of the queries, `[B, ...]`; those of the ads are replaced.
      ads: Columns of all ads, `[N, ...]`.
      places: Which ads, `[B, C]`.
    """
    flat = tf.reshape(places, [-1])
    repeated = {
        name: tf.repeat(values, tf.shape(places)[1], axis=0) for name, values in queries.items() if name not in ads
    }
    return {**repeated, **{name: tf.gather(values, flat) for name, values in ads.items()}}


Batch = Mapping[str, tf.Tensor]


class PrerankStage(tf.Module):
    """Keeps the K2 ads of the highest scores of a pre-ranker, on vectors that are computed once.

    Args:
      model: The pre-ranker.
      vectors: Of all ads, by its ad tower, `[N, D]`.
      kept: K2.

    Raises:
      ValueError: If the vectors have another width than those of its queries.
    """

    def __init__(self, model: PreRanker, *, vectors: npt.NDArray[np.float32], kept: int) -> None:
        super().__init__(name="prerank_stage")
        width = model.towers.options.vector_width
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise ValueError(
                f"The vectors of the ads have the shape {vectors.shape}, but queries of the pre-ranker are of width "
                f"{width}: make them by the same run."
            )
        self.model, self.kept, self.ads = model, kept, len(vectors)
        self._vectors = tf.Variable(np.pad(vectors, [(0, 1), (0, 0)]), trainable=False, name="prerank_vectors")

    @property
    def schema(self) -> Schema:
        """What it reads."""
        return self.model.towers.schema

    def scores(self, batch: Batch, places: tf.Tensor) -> tf.Tensor:
        """Scores of ads `[B, C]` of each query, `[B, C]`."""
        queries = self.model.towers.query_vectors(batch, training=False)
        return self.model.meeting(queries, tf.gather(self._vectors, places))

    def __call__(self, batch: Batch, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and places of what is kept, `[B, min(C, K2)]` each, the highest first."""
        scores = _last_where_none(self.scores(batch, places), places, self.ads)
        scores, order = tf.math.top_k(scores, tf.minimum(tf.shape(places)[1], self.kept))
        return scores, tf.gather(places, order, batch_dims=1)


class RankStage(tf.Module):
    """Predicts for each ad of a query what a ranker predicts, and answers the K3 ads of the highest predictions.

    Args:
      model: The ranker.
      catalogue: Column of the ad side of its schema -> values of all ads, `[N, ...]`.
      task: The output that orders the ads.
      answered: K3.

    Raises:
      ValueError: If the ranker has no such output.
    """

    def __init__(self, model: Any, *, catalogue: Mapping[str, npt.NDArray[Any]], task: str, answered: int) -> None:
        super().__init__(name="rank_stage")
        self.model, self.task, self.answered = model, task, answered
        self.ads = len(next(iter(catalogue.values())))
        # A row for the place N; its values are never looked at.
        self.catalogue = {
            name: tf.Variable(_with_one_more(values), trainable=False, name=f"catalogue_{name}")
            for name, values in catalogue.items()
        }
        self.outputs = tuple(model(model.example_batch(), training=False))
        if task not in self.outputs:
            raise ValueError(f"The ranker has no output {task!r}. It has {', '.join(self.outputs)}.")

    @property
    def schema(self) -> Schema:
        """What it reads."""
        schema: Schema = self.model.schema
        return schema

    @property
    def draws(self) -> bool:
        """Whether the ranker has a distribution to draw the ordering output from."""
        return bool(getattr(self.model, "is_uncertain", False)) and self.task in self.model.wiring.tasks

    def predictions(self, batch: Batch, places: tf.Tensor, *, seed: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """What the ranker predicts of ads `[B, C]` of each query, `[B, C]` each; `seed` as in a call."""
        rows = paired(batch, self.catalogue, places)
        found = self.model(rows, training=False) if seed is None else thompson_answers(self.model, rows, seed)
        return {name: tf.reshape(tf.cast(values, tf.float32), tf.shape(places)) for name, values in found.items()}

    def __call__(
        self, batch: Batch, places: tf.Tensor, *, seed: tf.Tensor | None = None
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Predictions and places of what is answered, `[B, min(C, K3)]` each, the highest prediction first.

        Args:
          batch: Columns of the queries.
          places: Their ads, `[B, C]`.
          seed: Two int32 numbers, for draws of Thompson sampling in place of predictions.
        """
        found = self.predictions(batch, places, seed=seed)
        ordering = _last_where_none(found[self.task], places, self.ads)
        _, order = tf.math.top_k(ordering, tf.minimum(tf.shape(places)[1], self.answered))
        places = tf.gather(places, order, batch_dims=1)
        predictions = {name: tf.gather(values, order, batch_dims=1) for name, values in found.items()}
        return {name: tf.where(places < self.ads, each, 0.0) for name, each in predictions.items()}, places


def stage_catalogue(schema: Schema, catalogue: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The columns of a catalogue that a stage reads."""
    return {column.name: catalogue[column.name] for column in ad_columns(schema)}


def _with_one_more(values: npt.NDArray[Any]) -> Any:
    extended = np.concatenate([values, values[:1]])
    return extended.tolist() if values.dtype == object else extended


def _last_where_none(scores: tf.Tensor, places: tf.Tensor, ads: int) -> tf.Tensor:
    return tf.where(places < ads, scores, tf.constant(-np.inf, scores.dtype))
