"""Scores the whole catalogue with each stage of a cascade, for the first queries of a split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.models.retrieval.cascade import Cascade
from fullrank.models.retrieval.interests import interest_scores
from fullrank.trainers.retrieval.survivors import StageScores

_PAIRS = 16_384
"""Rows that the ranker scores at once."""
_QUERIES = 64


class WholeCatalogue:
    """What each stage says of every ad.

    Args:
      cascade: The stages.
      vectors: Of all ads by the retrieval model, `[N, D]`.
    """

    def __init__(self, cascade: Cascade, *, vectors: npt.NDArray[np.float32]) -> None:
        self._cascade, self._vectors = cascade, tf.constant(vectors)
        self._look = tf.function(self._some, reduce_retracing=True)

    def scores(self, batches: tf.data.Dataset, *, queries: int, label: str | None) -> StageScores:
        """Scores of the first queries.

        Args:
          batches: Batches of records.
          queries: How many.
          label: Label of the task that orders the answer; `None` if it is no label.

        Raises:
          ValueError: If there is no example.
        """
        towers = self._cascade.index.model
        rows: list[tuple[npt.NDArray[Any], ...]] = []
        for batch in batches.unbatch().take(queries).batch(_QUERIES):
            own = self._cascade.places(batch[towers.item.name]).numpy()
            positive = towers.positive_weights(batch).numpy() > 0.0
            labels = np.full(len(own), np.nan, np.float32) if label is None else batch[label].numpy()
            rows.append((*self._of_all_ads(batch, len(own)), own, positive, labels))
        if not rows:
            raise ValueError("The split has no example: there is nothing to evaluate.")
        retrieval, prerank, rank, own, positive, labels = (np.concatenate(part) for part in zip(*rows, strict=True))
        return StageScores(
            retrieval=retrieval,
            prerank=None if self._cascade.prerank is None else prerank,
            rank=rank,
            own=own,
            positive=positive,
            labels=labels,
        )

    def _of_all_ads(self, batch: Mapping[str, tf.Tensor], size: int) -> list[npt.NDArray[np.float32]]:
        """Scores of retrieval, pre-ranker and ranker, `[B, N]` each, some ads at a time."""
        ads, step = self._cascade.index.ads, max(1, _PAIRS // size)
        parts = [self._look(batch, tf.range(start, min(start + step, ads))) for start in range(0, ads, step)]
        return [np.concatenate([part.numpy() for part in stage], axis=1) for stage in zip(*parts, strict=True)]

    def _some(self, batch: Mapping[str, tf.Tensor], places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        cascade = self._cascade
        queries = cascade.index.model.query_vectors(batch, training=False)
        retrieval = interest_scores(queries, tf.gather(self._vectors, places))
        repeated = tf.tile(places[tf.newaxis, :], [tf.shape(queries)[0], 1])
        prerank = retrieval if cascade.prerank is None else cascade.prerank.scores(batch, repeated)
        read = {column.name: batch[column.name] for column in cascade.rank.schema.input_columns}
        return retrieval, prerank, cascade.rank.predictions(read, repeated)[cascade.rank.task]
