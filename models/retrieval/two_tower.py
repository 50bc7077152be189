"""The two-tower model: vectors of queries and ads from one schema, learned by a sampled softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.data.schema.schema import Schema
from fullrank.data.schema.vocabulary import read_vocabularies
from fullrank.layers.embedding.embedding_set import EmbeddingSet, variables_by_name
from fullrank.layers.legacy_keras import tfrs
from fullrank.models.encoding.dense_inputs import DenseEncoder, elapsed_seconds
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.encoding.missing_batch import missing_batch
from fullrank.models.options import RankerOptions
from fullrank.models.options.retrieval import RetrievalOptions
from fullrank.models.retrieval.interests import Interests, fitting_interest
from fullrank.models.retrieval.positives import PositiveCounts, positive_labels, positive_weights
from fullrank.models.retrieval.sampled_softmax import SampledSoftmax, negative_shares, other_positives
from fullrank.models.retrieval.sides import ad_columns, item_feature, without_pairs
from fullrank.models.retrieval.tower import Tower
from fullrank.models.set_inputs import SetInputs

Arrays = Mapping[str, np.ndarray[Any, Any]]
Parts = list[tuple[tf.Tensor, tf.Tensor | None]]


class TwoTower(tfrs.Model):
    """A query tower on the features of user and context, an ad tower on those of the ad ([Tencent] §2, [Meta] §4).

    Both read the same embedding sets, so that the ads in a user's history and the ads that are ranked share rows. A
    query is encoded as if its ad were missing: an attention over its history compares behaviours with the rows of
    missing ads, which become a learned vector.

    Calling the model with a batch gives `{"query": [B, D], "ad": [B, D]}`; the score of a pair is their product. With
    several interests a query is `[B, K, D]`, see `Interests`.

    Args:
      schema: What the batches hold, with fitted statistics; the directory it was read from holds the vocabularies.
      options: Towers and loss.
      catalogue: Ad column -> values of all N ads, `[N]` or `[N, L]`, as records hold them.
      vocabularies: Feature -> known ids; read from the schema's directory if `None`.
      seed: Seed of the ads that are drawn as negatives.
    """

    def __init__(
        self,
        schema: Schema,
        options: RetrievalOptions,
        *,
        catalogue: Arrays,
        vocabularies: Arrays | None = None,
        seed: int = 0,
        name: str = "two_tower",
    ) -> None:
        super().__init__(name=name, autocast=False)
        if options.interests > 1 and options.sequence == "mean":
            raise ValueError(
                f"--interests={options.interests} reads the history with as many targets, but --sequence=mean has "
                "none: choose --sequence=tim, din or self_attention."
            )
        schema = without_pairs(schema)
        self.schema, self.options, self._seed = schema, options, seed
        self.item = item_feature(schema, options.item)
        self.ad_columns = ad_columns(schema)
        self.positives = positive_labels(options.positives, schema)
        self.user = schema.keys[0].name if schema.keys else None
        vocabularies = read_vocabularies(schema) if vocabularies is None else vocabularies
        self._encoder = FeatureEncoder(
            schema,
            vocabularies=vocabularies,
            numeric=options.numeric,
            buckets=options.buckets,
            bases=options.bases,
            bits=options.bits,
        )
        self._dense = DenseEncoder(schema, numeric=options.numeric, vectors="projection")
        self._sets = [
            SetInputs(self._encoder, self._dense, schema, width=width, options=_ranker_options(options), name=name_of)
            for name_of, width in zip(_set_names(options), options.widths, strict=True)
        ]
        if options.interests > 1 and not any(read.sequences for read in self._sets):
            raise ValueError(f"--interests={options.interests} needs a history, and schema {schema.name!r} has none.")
        self._interests = [
            Interests(options.interests, scale=options.initial_scale, name=f"{name_of}_interests")
            for name_of in (_set_names(options) if options.interests > 1 else ())
        ]
        side_of = {feature.name: feature.side for feature in schema.features}
        self._is_ad = np.array([side_of[field] == "ad" for field in self._sets[0].field_names])
        self._towers = {
            side: Tower(
                sets=len(self._sets),
                hidden=options.hidden,
                width=options.vector_width,
                normalise=options.normalise,
                dropout=options.dropout,
                name=f"{side}_tower",
            )
            for side in ("query", "ad")
        }
        self.catalogue = {column.name: tf.constant(catalogue[column.name]) for column in self.ad_columns}
        ids = self.catalogue[self.item.name]
        self.ads = int(ids.shape[0])
        self._places = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(ids, tf.range(self.ads, dtype=tf.int64)), default_value=self.ads
        )
        self.counts = PositiveCounts(self.ads, name="positive_counts")
        self._loss = SampledSoftmax(
            temperature=options.temperature, hard_negatives=options.hard_negatives, name="sampled_softmax"
        )
        self(missing_batch(schema.input_columns, 1))

    @property
    def sets(self) -> dict[str, EmbeddingSet]:
        """The embedding sets by name."""
        return {read.name: read.embeddings for read in self._sets}

    @property
    def table_variables(self) -> dict[str, tf.Variable]:
        """The embedding variables by `set/table`: what the sparse optimisers train."""
        return variables_by_name(self.sets)

    @property
    def small_tables(self) -> list[tf.Variable]:
        """Tables of few rows outside the embedding sets, such as positions of a behaviour sequence."""
        layers = (layer for layer in self.submodules if layer is not self)
        return [table for layer in layers for table in getattr(layer, "small_tables", ())]

    def call(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """Vectors of the queries and of the ads of a batch, `[B, D]` each, `[B, K, D]` of K interests."""
        queries, ads = self._parts(batch)
        return {
            "query": self._queries(batch, queries, training),
            "ad": self._towers["ad"](ads, training=training),
        }

    def query_vectors(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Vectors of the queries, as a call gives them; columns of the ad side are not needed."""
        batch = self._completed(batch)
        return self._queries(batch, None if self._interests else self._parts(batch)[0], training)

    def _queries(self, batch: Mapping[str, tf.Tensor], parts: Parts | None, training: bool | None) -> tf.Tensor:
        """From what the query tower reads, or with several interests would read of each, to its vectors."""
        if not self._interests:
            return self._towers["query"](parts, training=training)
        number = self.options.interests
        repeated = {column.name: tf.repeat(batch[column.name], number, axis=0) for column in self.schema.input_columns}
        vectors = self._towers["query"](self._parts(repeated, of_interests=True)[0], training=training)
        return tf.reshape(vectors, [-1, number, self.options.vector_width])

    def ad_vectors(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Vectors of ads, `[N, D]`, from the columns of the ad side."""
        return self._towers["ad"](self._parts(self._completed(batch))[1], training=training)

    def places(self, ids: tf.Tensor) -> tf.Tensor:
        """Places of ads in the catalogue, N for one that is not in it."""
        return self._places.lookup(ids)

    def positive_weights(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """How much each example weighs as a positive, `[B]`; 0 for one that is none."""
        return positive_weights(batch, self.positives, weight=self.schema.weight)

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The sampled softmax over the positives of the batch."""
        weights = self.positive_weights(inputs)
        # A batch without a positive keeps an example that weighs nothing, because TensorFlow Recommenders needs one.
        chosen = tf.where(weights > 0.0)[:, 0]
        chosen = tf.cond(tf.size(chosen) > 0, lambda: chosen, lambda: tf.zeros([1], tf.int64))
        weights = tf.gather(weights, chosen)
        names = [column.name for column in self.schema.input_columns]
        batch = {name: tf.gather(inputs[name], chosen) for name in names}
        vectors = self(batch, training=training)
        ids, places = batch[self.item.name], self.places(batch[self.item.name])
        if training:
            self.counts.observe(tf.boolean_mask(places, weights > 0.0))
        ads, drawn = vectors["ad"], self.options.mixed_negatives
        if drawn:
            more = self._drawn(drawn)
            extra = {name: tf.gather(values, more) for name, values in self.catalogue.items()}
            ads = tf.concat([ads, self.ad_vectors(extra, training=training)], axis=0)
            ids = tf.concat([ids, extra[self.item.name]], axis=0)
            places = tf.concat([places, more], axis=0)
        shares = None
        if self.options.log_q:
            shares = negative_shares(self.counts(places), positives=tf.size(chosen), drawn=drawn, catalogue=self.ads)
        users = None if self.user is None else tf.gather(inputs[self.user], chosen)
        return self._loss(
            fitting_interest(vectors["query"], vectors["ad"]),
            ads,
            weights=weights,
            others=other_positives(users, ids, queries=tf.size(chosen)),
            shares=shares,
        )

    def _drawn(self, number: int) -> tf.Tensor:
        """Places of ads drawn uniformly; they depend on seed and step alone, so that a resumed run draws the same."""
        step = self.optimizer.iterations if getattr(self, "optimizer", None) is not None else 0
        seed = tf.stack([tf.constant(self._seed, tf.int64), tf.cast(step, tf.int64)])
        return tf.random.stateless_uniform([number], seed, maxval=self.ads, dtype=tf.int64)

    def _completed(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """All input columns: those that are not given are missing."""
        size = tf.shape(next(iter(batch.values())))[0]
        others = [column for column in self.schema.input_columns if column.name not in batch]
        return {**missing_batch(others, size), **batch}

    def _parts(self, batch: Mapping[str, tf.Tensor], *, of_interests: bool = False) -> tuple[Parts, Parts]:
        """What the towers of queries and of ads read of each set.

        Args:
          batch: Columns.
          of_interests: Whether the batch holds each query K times, once for each interest.
        """
        lookups, dense, elapsed = self._encoder(batch), self._dense(batch), elapsed_seconds(batch, schema=self.schema)
        blank = self._encoder(missing_batch(self.schema.input_columns, 1))
        size = tf.shape(next(iter(batch.values())))[0]
        places = {True: np.flatnonzero(self._is_ad), False: np.flatnonzero(~self._is_ad)}
        queries: Parts = []
        ads: Parts = []
        for place, read in enumerate(self._sets):
            compared = None
            if read.sequences and of_interests:
                targets = self._interests[place](read.embeddings(blank))
                compared = tf.tile(targets, [size // self.options.interests, 1, 1])
            elif read.sequences:
                compared = tf.repeat(read.embeddings(blank), size, axis=0)
            fields, side = read(lookups, dense, elapsed, compared)
            # A query that has a history alone has one field of zeros.
            alone = tf.zeros([size, 1, fields.shape[2]], fields.dtype)
            own = tf.gather(fields, places[False], axis=1) if places[False].size else alone
            queries.append((own, side))
            ads.append((tf.gather(fields, places[True], axis=1), None))
        return queries, ads


def _set_names(options: RetrievalOptions) -> list[str]:
    return [f"set{number}" for number in range(len(options.widths))]


def _ranker_options(options: RetrievalOptions) -> RankerOptions:
    """Those of the encoders."""
    return RankerOptions(
        numeric=options.numeric,
        buckets=options.buckets,
        bases=options.bases,
        bits=options.bits,
        vectors="projection",
        sequence=options.sequence,
        sequence_scale=options.sequence_scale,
        initial_scale=options.initial_scale,
        dropout=options.dropout,
        table_variables=options.table_variables,
    )
