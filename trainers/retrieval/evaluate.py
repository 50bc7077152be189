"""Ranks the positives of a split in the whole catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.data.files.printable import text_of
from fullrank.data.schema.features import Sequence as SequenceFeature
from fullrank.data.schema.schema import Schema
from fullrank.models.retrieval.interests import interest_scores
from fullrank.models.retrieval.two_tower import TwoTower
from fullrank.trainers.retrieval.rank_metrics import exposure_metrics, rank_metrics

HISTORY: Final = "history"
"""The segment of queries with and without a history, in addition to those of the schema."""
_MOST_SCORES: Final = 1 << 24
_ADS: Final = 4096


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ranked:
    """Ranks of positives.

    Attributes:
      ranks: `[Q]`, from 1; infinite for a positive that is not in the catalogue.
      places: `[Q]`, places of the positives; N for one that is not there.
      shown: K -> how often each ad is among the first K, `[N]`.
      segments: Segment -> value of each query, `[Q]`.
      keys: The user of each query, `[Q]`; `None` without a key.
    """

    ranks: npt.NDArray[np.float64]
    places: npt.NDArray[np.int64]
    shown: dict[int, npt.NDArray[np.int64]]
    segments: dict[str, npt.NDArray[Any]]
    keys: npt.NDArray[Any] | None


class CatalogueRanking:
    """Ranks positives among all ads of a model, however its weights change.

    Args:
      model: With its catalogue.
      at: Values of K.
      exclude_history: Whether ads of the query's history cannot be ranked, but for the positive itself.
    """

    def __init__(self, model: TwoTower, *, at: Sequence[int], exclude_history: bool = False) -> None:
        self._model, self._at = model, at
        self._seen = history_columns(model.schema, model.item.name) if exclude_history else ()
        self._vectors = tf.function(lambda batch: model.ad_vectors(batch, training=False), reduce_retracing=True)
        self._look = tf.function(self._ranks, reduce_retracing=True)

    def ad_vectors(self) -> tf.Tensor:
        """Vectors of the whole catalogue, `[N, D]`."""
        given, number = self._model.catalogue, self._model.ads
        parts = [
            self._vectors({name: values[start : start + _ADS] for name, values in given.items()})
            for start in range(0, number, _ADS)
        ]
        return tf.concat(parts, axis=0)

    def rank(self, batches: tf.data.Dataset, *, most: int | None = None) -> Ranked:
        """Ranks every positive, for the query that it answered.

        Args:
          batches: Batches of records.
          most: Positives looked at, the first ones; `None` for all.
        """
        model, ads = self._model, self.ad_vectors()
        segments = [key.name for key in model.schema.segments]
        lengths = [f.behaviour[0].name for f in model.schema.features if isinstance(f, SequenceFeature)]
        columns = list(dict.fromkeys([*segments, *([model.user] if model.user else []), *lengths]))
        rows: list[tuple[npt.NDArray[Any], ...]] = []
        shown = {k: np.zeros(model.ads, np.int64) for k in self._at}
        taken, step = 0, max(1, _MOST_SCORES // model.ads)
        for batch in batches:
            chosen = tf.where(model.positive_weights(batch) > 0.0)[:, 0]
            chosen = chosen if most is None else chosen[: most - taken]
            for start in range(0, int(tf.size(chosen)), step):
                some = {name: tf.gather(values, chosen[start : start + step]) for name, values in batch.items()}
                ranks, places, first = (found.numpy() for found in self._look(some, ads))
                for k in self._at:
                    shown[k] += np.bincount(first[:, :k].ravel(), minlength=model.ads)
                rows.append((ranks, places, *(some[name].numpy() for name in columns)))
                taken += len(ranks)
            if most is not None and taken >= most:
                break
        return _ranked(rows, shown, columns, segments=segments, lengths=lengths, model=model)

    def _ranks(self, batch: Mapping[str, tf.Tensor], ads: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Ranks `[B]`, places of the positives `[B]`, and places of the first ads `[B, K]`."""
        model = self._model
        places = model.places(batch[model.item.name])
        scores = interest_scores(model.query_vectors(batch, training=False), ads)
        own = tf.gather(scores, tf.minimum(places, model.ads - 1), batch_dims=1)
        if self._seen:
            past = model.places(tf.concat([batch[name] for name in self._seen], axis=1))
            hit = tf.where(tf.logical_and(past < model.ads, past != places[:, tf.newaxis]))
            cells = tf.stack([hit[:, 0], tf.gather_nd(past, hit)], axis=1)
            scores = tf.tensor_scatter_nd_update(scores, cells, tf.fill(tf.shape(cells)[:1], scores.dtype.min))
        higher = tf.reduce_sum(tf.cast(scores > own[:, tf.newaxis], tf.float32), axis=1)
        equal = tf.reduce_sum(tf.cast(tf.equal(scores, own[:, tf.newaxis]), tf.float32), axis=1)
        first = tf.math.top_k(scores, min(max(self._at), model.ads)).indices
        return 1.0 + higher + 0.5 * tf.maximum(equal - 1.0, 0.0), places, first


def _ranked(
    rows: list[tuple[npt.NDArray[Any], ...]],
    shown: dict[int, npt.NDArray[np.int64]],
    columns: list[str],
    *,
    segments: list[str],
    lengths: list[str],
    model: TwoTower,
) -> Ranked:
    if not rows:
        empty = np.empty(0)
        return Ranked(ranks=empty, places=np.empty(0, np.int64), shown=shown, segments={}, keys=None)
    ranks, places, *others = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    of = dict(zip(columns, others, strict=True))
    missing = {column.name: column.missing for column in model.schema.columns}
    by_segment = {name: of[name] for name in segments}
    if lengths:
        known = np.any([(of[name] != missing[name]).reshape(len(ranks), -1).any(axis=1) for name in lengths], axis=0)
        by_segment[HISTORY] = np.where(known, "some", "none")
    return Ranked(
        ranks=np.where(places < model.ads, ranks.astype(np.float64), np.inf),
        places=places,
        shown=shown,
        segments=by_segment,
        keys=of[model.user] if model.user else None,
    )


def history_columns(schema: Schema, item: str) -> tuple[str, ...]:
    """The columns of behaviours that hold ids of ads."""
    return tuple(
        column.name
        for feature in schema.features
        if isinstance(feature, SequenceFeature)
        for column in feature.behaviour
        if column.table == item
    )


def retrieval_metrics(found: Ranked, *, at: Sequence[int], popularity: npt.NDArray[Any]) -> dict[str, Any]:
    """Metrics of all queries and of each value of each segment, with the number of queries; undefined is `None`."""
    result: dict[str, Any] = {"queries": len(found.ranks), **rank_metrics(found.ranks, at=at)}
    result["new_ads"] = int(np.isinf(found.ranks).sum())
    for k in at:
        exposure = exposure_metrics(found.shown[k], popularity, found.places)
        result |= {f"{name}@{k}": value for name, value in exposure.items()}
    result["segments"] = {
        segment: {
            text_of(value): {
                "queries": int((values == value).sum()),
                **rank_metrics(found.ranks[values == value], at=at),
            }
            for value in np.unique(values)
        }
        for segment, values in found.segments.items()
    }
    return result
