"""From a batch to what the towers read: encoders, sets, experts and gates, as a wiring says ([Tencent] §2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.data.schema.schema import Schema
from fullrank.layers.embedding.embedding_set import EmbeddingSet
from fullrank.layers.mixture.expert import Expert
from fullrank.layers.split_fields import SplitFields
from fullrank.models.encoding.dense_inputs import DenseEncoder, elapsed_seconds
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.encoding.field_layout import field_layout
from fullrank.models.group_places import FoundGroups, GroupPlaces, no_groups
from fullrank.models.interactions import build_interaction
from fullrank.models.mixture import Mixture
from fullrank.models.options import RankerOptions
from fullrank.models.set_inputs import SetInputs
from fullrank.models.wirings.wiring import Wiring, set_scopes


class Mixed(NamedTuple):
    """The tensors that the trunk makes of a batch.

    Attributes:
      read: Inputs of the towers, `[B, G, H]`.
      fields: Set -> its fields `[B, F, d]`, without those that groups add.
      experts: Outputs of the first level's experts, `[B, E, H]`.
      means: Set -> mean of its fields, `[B, d]`, which the gates look at.
      groups: Results of group structure learning at each of its places.
    """

    read: tf.Tensor
    fields: dict[str, tf.Tensor]
    experts: tf.Tensor
    means: dict[str, tf.Tensor]
    groups: FoundGroups


class Trunk(keras.layers.Layer):
    """The part of a model that all towers share.

    Call arguments:
      batch: Flat dict of columns.

    Returns:
      A `Mixed`.

    Attributes:
      encoder: Finds the rows to look up.
      dense: Reads numbers and vectors that no table is looked up for.
      inputs_of_sets: Set -> what its experts read.
      groups: Group structure learning, at any of its places.
      field_names: The F axis of what experts read.
      looked_up_fields: Those of them that embedding sets give, without those that groups add.
      experts: In the wiring's order.
      mixture: The gates, and further levels of experts.

    Args:
      schema: Schema of the batches, with fitted statistics.
      wiring: Sets, experts and readers.
      options: Settings that a wiring leaves open.
      vocabularies: Feature -> known ids.
      tables_of: A trunk with the same arguments, whose embedding sets this one uses.
    """

    def __init__(
        self,
        schema: Schema,
        wiring: Wiring,
        options: RankerOptions,
        *,
        vocabularies: Mapping[str, np.ndarray[Any, Any]],
        tables_of: Trunk | None = None,
        name: str = "trunk",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self._schema, self._wiring = schema, wiring
        self.encoder = FeatureEncoder(
            schema,
            vocabularies=vocabularies,
            numeric=options.numeric,
            buckets=options.buckets,
            bases=options.bases,
            bits=options.bits,
            unknown_share=options.unknown_share,
            table_widths=dict(options.table_widths),
        )
        self.dense = DenseEncoder(
            schema, numeric=options.numeric, vectors=options.vectors, similarity=options.similarity
        )
        self.inputs_of_sets = {
            spec.name: SetInputs(self.encoder, self.dense, schema, width=spec.width, options=options, name=scope)
            for spec, scope in zip(wiring.sets, set_scopes(wiring), strict=True)
        }
        if tables_of is not None:
            for of_set, inputs in self.inputs_of_sets.items():
                inputs.embeddings = tables_of.sets[of_set]
        names = next(iter(self.inputs_of_sets.values())).field_names
        self.looked_up_fields = tuple(names)
        self.groups = GroupPlaces(
            options.group_structure,
            wiring=wiring,
            schema=schema,
            field_names=names,
            seed=options.seed,
            name="groups",
        )
        self.field_names = (*names, *self.groups.more_fields)
        layout = field_layout(schema, names, learned=self.groups.more_fields)
        self.experts = [
            Expert(
                build_interaction(spec.kind, options=options.interactions, layout=layout),
                wiring.expert_width,
                dropout=options.dropout,
                name=spec.name,
            )
            for spec in wiring.experts
        ]
        self.mixture = Mixture(wiring, dropout=options.dropout, name="mixture")

    def call(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> Mixed:
        """Returns the inputs of the towers, and the tensors that they were made from."""
        return self.mixed(self.of_sets(batch, training=training), training=training)

    def of_sets(
        self, batch: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> dict[str, tuple[tf.Tensor, tf.Tensor | None]]:
        """Set -> its fields and its side, as `SetInputs` returns them."""
        lookups = self.encoder(batch, training=training)
        dense, elapsed = self.dense(batch), elapsed_seconds(batch, schema=self._schema)
        return {name: read(lookups, dense, elapsed) for name, read in self.inputs_of_sets.items()}

    def mixed(self, inputs: Mapping[str, tuple[tf.Tensor, tf.Tensor | None]], training: bool | None = None) -> Mixed:
        """From what `of_sets` returns to what the towers read."""
        fields, groups = {name: read[0] for name, read in inputs.items()}, no_groups()
        extended = self.groups.at_fields(fields, groups, training=training)
        outputs = [
            expert(extended[spec.set], inputs[spec.set][1], training=training)
            for spec, expert in zip(self._wiring.experts, self.experts, strict=True)
        ]
        return self._mixed(fields, outputs, groups, training)

    def mixed_split(self, inputs: Mapping[str, tuple[SplitFields, tf.Tensor | None]]) -> Mixed:
        """As `mixed`, from the fields of examples that share some of them, and their sides `[N, m]`; no dropout."""
        fields, groups = {name: read[0].whole for name, read in inputs.items()}, no_groups()
        extended = self.groups.at_fields(fields, groups, training=False)
        split = {name: read[0] for name, read in inputs.items()}
        if self.groups.more_fields:
            number = len(self.looked_up_fields)
            split = {name: each.with_more(extended[name][:, number:]) for name, each in split.items()}
        outputs = [
            expert.of_split(split[spec.set], inputs[spec.set][1])
            for spec, expert in zip(self._wiring.experts, self.experts, strict=True)
        ]
        return self._mixed(fields, outputs, groups, False)

    def _mixed(
        self,
        fields: dict[str, tf.Tensor],
        outputs: list[tf.Tensor],
        groups: FoundGroups,
        training: bool | None,
    ) -> Mixed:
        experts = tf.stack(outputs, axis=1)
        means = {name: tf.reduce_mean(each, axis=1) for name, each in fields.items()}
        read = self.groups.at_representation(self.mixture(experts, means, training=training), groups, training=training)
        return Mixed(read, fields, experts, means, groups)

    @property
    def sets(self) -> dict[str, EmbeddingSet]:
        """The embedding sets by name."""
        return {name: inputs.embeddings for name, inputs in self.inputs_of_sets.items()}
