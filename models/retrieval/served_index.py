"""What an exported index answers: from the columns of a query to the ids and scores of ads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.layers.legacy_keras import tfrs
from fullrank.models.encoding.missing_batch import missing_batch
from fullrank.models.retrieval.two_tower import TwoTower
from fullrank.models.serving.request_inputs import input_name, input_specs, to_batch

EXCLUSIONS: Final = "exclusions"
IDS: Final = "ids"
SCORES: Final = "scores"
VECTOR: Final = "vector"
Signature = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


class ServedIndex(tf.Module):
    """Exact search on `tfrs.layers.factorized_top_k.BruteForce`.

    Args:
      model: Whose query tower is used.
      ids: Ids of the ads, `[N]`, each once.
      vectors: Their vectors, `[N, D]`.
      at: K, ads of an answer.
      most_exclusions: Ads that a request may exclude; of more, the last ones count.

    Raises:
      ValueError: If there are fewer ads than K, an id is missing or there twice, or vectors have another width.
    """

    def __init__(
        self, model: TwoTower, *, ids: npt.NDArray[Any], vectors: npt.NDArray[Any], at: int, most_exclusions: int
    ) -> None:
        super().__init__(name="served_index")
        self._check(model, ids, vectors, at)
        self.model, self.at, self.most_exclusions = model, at, most_exclusions
        self.query_columns = tuple(c for c in model.schema.input_columns if c not in model.ad_columns)
        self._ids = tf.constant(ids.tolist() if ids.dtype == object else ids)
        (column,) = (c for c in model.ad_columns if c.name == model.item.name)
        self._missing = tf.constant(column.missing, self._ids.dtype)
        self._search = tfrs.layers.factorized_top_k.BruteForce(k=at)
        self._search.index(tf.constant(vectors, tf.float32))

    @staticmethod
    def _check(model: TwoTower, ids: npt.NDArray[Any], vectors: npt.NDArray[Any], at: int) -> None:
        if len(ids) < at:
            raise ValueError(f"--at={at} ads cannot be answered by an index of {len(ids):,} ads.")
        column = next(c for c in model.ad_columns if c.name == model.item.name)
        if (ids == column.missing).any():
            raise ValueError(
                f"{int((ids == column.missing).sum()):,} of {len(ids):,} ads have no id in {column.name!r}."
            )
        known, number = np.unique(ids, return_counts=True)
        if len(known) < len(ids):
            raise ValueError(
                f"{column.name!r} names an ad twice: {known[number > 1][0]!r}. An index holds each ad once."
            )
        if vectors.ndim != 2 or vectors.shape[1] != model.options.vector_width:
            raise ValueError(
                f"The vectors of the index have the shape {vectors.shape}, but queries of this run are of width "
                f"{model.options.vector_width}: index the ads with the same run."
            )

    def answer(self, batch: Mapping[str, tf.Tensor], exclusions: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """The K ads of the highest scores, `ids` and `scores` `[B, K]`, the highest first.

        Args:
          batch: Columns of the query.
          exclusions: Ids of ads that are not answered, `[B, E]`. An answer that is left with fewer than K ads ends in
            missing ids with a score of minus infinity.
        """
        queries = self.model.query_vectors(batch, training=False)
        number = int(self._ids.shape[0])
        if exclusions is None:
            scores, places = self._search(queries, k=self.at)
            return {IDS: tf.gather(self._ids, places), SCORES: scores}
        exclusions = exclusions[:, -self.most_exclusions :]
        scores, places = self._search(queries, k=min(self.at + self.most_exclusions, number))
        ids = tf.gather(self._ids, places)
        left_out = tf.reduce_any(tf.equal(ids[:, :, tf.newaxis], exclusions[:, tf.newaxis, :]), axis=2)
        scores = tf.where(left_out, tf.constant(-np.inf, tf.float32), scores)
        scores, order = tf.math.top_k(scores, self.at)
        ids = tf.gather(ids, order, batch_dims=1)
        return {IDS: tf.where(tf.math.is_finite(scores), ids, self._missing), SCORES: scores}

    def signatures(self) -> dict[str, Any]:
        """`serving_default`, `with_exclusions`, and `vectors` for a search elsewhere."""
        specs = {
            input_name(column.name): input_specs(self.model.schema)[input_name(column.name)]
            for column in self.query_columns
        }
        excluding = {**specs, EXCLUSIONS: tf.TensorSpec([None, None], self._ids.dtype, name=EXCLUSIONS)}

        def search(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return _named(self.answer(self._batch(inputs)))

        def search_without(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return _named(self.answer(self._batch(inputs), inputs[EXCLUSIONS]))

        def vectors(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return _named({VECTOR: self.model.query_vectors(self._batch(inputs), training=False)})

        return {
            name: tf.function(function, input_signature=[spec], autograph=False)
            for name, function, spec in (
                ("serving_default", search, specs),
                ("with_exclusions", search_without, excluding),
                ("vectors", vectors, specs),
            )
        }

    def _batch(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The inputs of a query as a batch; the ad is missing."""
        size = tf.shape(next(iter(inputs.values())))[0]
        missing = missing_batch(self.model.ad_columns, size)
        given = {input_name(column.name): inputs[input_name(column.name)] for column in self.query_columns}
        ads = {input_name(name): value for name, value in missing.items()}
        return to_batch({**given, **ads}, schema=self.model.schema)


def _named(answers: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: tf.identity(value, name=name) for name, value in answers.items()}
