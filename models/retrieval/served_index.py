"""What an exported index answers: from the columns of a query to the ids and scores of ads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.layers.legacy_keras import tfrs
from fullrank.models.retrieval.interests import best_of_interests
from fullrank.models.retrieval.query_inputs import QueryInputs
from fullrank.models.retrieval.two_tower import TwoTower

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
        self._inputs = QueryInputs({"--run": model.schema}, reserved=(EXCLUSIONS,))
        self.query_columns, self.ads = self._inputs.columns, len(ids)
        (column,) = (c for c in model.ad_columns if c.name == model.item.name)
        known = tf.constant(ids.tolist() if ids.dtype == object else ids)
        # The last one stands for no ad.
        self.ids = tf.concat([known, tf.constant([column.missing], known.dtype)], axis=0)
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
                f"{column.name!r} names an ad twice: {known[number > 1].tolist()[0]!r}. An index holds each ad once."
            )
        if vectors.ndim != 2 or vectors.shape[1] != model.options.vector_width:
            raise ValueError(
                f"The vectors of the index have the shape {vectors.shape}, but queries of this run are of width "
                f"{model.options.vector_width}: index the ads with the same run."
            )

    def search(
        self, batch: Mapping[str, tf.Tensor], exclusions: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and places of the K ads of the highest scores, `[B, K]` each, the highest first.

        Args:
          batch: Columns of the query.
          exclusions: Ids of ads that are not found, `[B, E]`; missing ids are ignored. What is left with fewer than K
            ads ends in the place N with a score of minus infinity.
        """
        if exclusions is None:
            return self._best(batch, self.at)
        # Missing ids pad short lists on either side: in front, they are cut before ids are.
        padding_first = tf.argsort(tf.cast(exclusions != self.ids[-1], tf.int32), axis=1, stable=True)
        exclusions = tf.gather(exclusions, padding_first, batch_dims=1)[:, -self.most_exclusions :]
        scores, places = self._best(batch, min(self.at + self.most_exclusions, self.ads))
        ids = tf.gather(self.ids, places)
        left_out = tf.reduce_any(tf.equal(ids[:, :, tf.newaxis], exclusions[:, tf.newaxis, :]), axis=2)
        scores = tf.where(left_out, tf.constant(-np.inf, tf.float32), scores)
        scores, order = tf.math.top_k(scores, self.at)
        places = tf.gather(places, order, batch_dims=1)
        return scores, tf.where(tf.math.is_finite(scores), places, self.ads)

    def _best(self, batch: Mapping[str, tf.Tensor], number: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and places of the ads of the highest scores, `[B, number]`."""
        queries = self.model.query_vectors(batch, training=False)
        interests = self.model.options.interests
        if interests == 1:
            scores, places = self._search(queries, k=number)
            return scores, places
        scores, places = self._search(tf.reshape(queries, [-1, queries.shape[2]]), k=number)
        each = [-1, interests, number]
        return best_of_interests(tf.reshape(scores, each), tf.reshape(places, each), at=number)

    def answer(self, batch: Mapping[str, tf.Tensor], exclusions: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """`ids` and `scores` `[B, K]` of what `search` finds, a missing id where it finds none."""
        scores, places = self.search(batch, exclusions)
        return {IDS: tf.gather(self.ids, places), SCORES: scores}

    def signatures(self) -> dict[str, Any]:
        """`serving_default`, `with_exclusions`, and `vectors` for a search elsewhere."""
        specs = self._inputs.specs
        excluding = {**specs, EXCLUSIONS: tf.TensorSpec([None, None], self.ids.dtype, name=EXCLUSIONS)}

        def search(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return named_outputs(self.answer(self._batch(inputs)))

        def search_without(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return named_outputs(self.answer(self._batch(inputs), inputs[EXCLUSIONS]))

        def vectors(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return named_outputs({VECTOR: self.model.query_vectors(self._batch(inputs), training=False)})

        return {
            name: tf.function(function, input_signature=[spec], autograph=False)
            for name, function, spec in (
                ("serving_default", search, specs),
                ("with_exclusions", search_without, excluding),
                ("vectors", vectors, specs),
            )
        }

    def _batch(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self._inputs.batch(inputs, schema=self.model.schema)


def named_outputs(answers: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Outputs of a signature, whose tensors have their names."""
    return {name: tf.identity(value, name=name) for name, value in answers.items()}
