"""The one model class: builds whatever a wiring describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.data.features import IdMap
from fullrank.data.schema import Schema
from fullrank.data.vocabulary import read_vocabulary
from fullrank.layers.embedding_set import EmbeddingSet
from fullrank.layers.expert import Expert
from fullrank.layers.gate import Gate
from fullrank.layers.legacy_keras import tfrs
from fullrank.layers.towers import Towers
from fullrank.models.encoding.dense_inputs import DenseEncoder
from fullrank.models.encoding.elapsed import elapsed_seconds
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.interactions import build_interaction
from fullrank.models.losses import binary_cross_entropy
from fullrank.models.metrics import StreamingBinary
from fullrank.models.ranker_options import RankerOptions
from fullrank.models.set_inputs import SetInputs, joined_means
from fullrank.models.wiring import Wiring


class Ranker(tfrs.Model):
    """Encoder, embedding sets, experts, gates and towers, as a wiring says.

    A batch is the flat dict of columns that `fullrank.data.read_records` yields. Calling the model gives
    `{task: probability [B]}`; training it with `fit` minimises the tasks' mean cross entropy.

    Args:
      schema: What the batches hold, with fitted statistics; the directory it was read from holds the vocabularies.
      wiring: Sets, experts and readers. Its tasks must be binary labels of the schema.
      options: What a wiring leaves open.
      vocabularies: Feature -> known ids; read from the schema's directory if `None`.
    """

    def __init__(
        self,
        schema: Schema,
        wiring: Wiring,
        options: RankerOptions | None = None,
        *,
        vocabularies: Mapping[str, np.ndarray[Any, Any]] | None = None,
        name: str = "ranker",
    ) -> None:
        super().__init__(name=name, autocast=False)
        for task in wiring.tasks:
            if schema.label(task).type != "binary":
                raise ValueError(f"Task {task!r} is not a binary label; only binary labels can be predicted as yet.")
        options = options or RankerOptions()
        self.schema, self.wiring, self.options = schema, wiring, options
        self._vocabularies = vocabularies if vocabularies is not None else _read_vocabularies(schema)
        self.encoder = FeatureEncoder(
            schema,
            vocabularies=self._vocabularies,
            numeric=options.numeric,
            buckets=options.buckets,
            bases=options.bases,
            bits=options.bits,
        )
        self.dense = DenseEncoder(
            schema, numeric=options.numeric, vectors=options.vectors, similarity=options.similarity
        )
        self.inputs_of_sets = {
            spec.name: SetInputs(self.encoder, self.dense, schema, width=spec.width, options=options, name=spec.name)
            for spec in wiring.sets
        }
        self.experts = [
            Expert(
                build_interaction(spec.kind, options=options.interactions),
                wiring.expert_width,
                dropout=options.dropout,
                name=spec.name,
            )
            for spec in wiring.experts
        ]
        self.gate = Gate(tuple(reader.access for reader in wiring.readers), kind=wiring.gate, name="gate")
        self.tower = Towers(options.tower, dropout=options.dropout, name="towers")
        self.head = Towers((1,), activation=None, name="logits", dtype="float32")
        self._task_metrics = [StreamingBinary(name=task) for task in wiring.tasks]
        self(self.example_batch())
        self._start_at_base_rate()

    def example_batch(self, size: int = 1) -> dict[str, tf.Tensor]:
        """A batch of missing values in the right shapes and dtypes, inputs only."""
        dtypes = {"int64": tf.int64, "float32": tf.float32, "bytes": tf.string}
        return {
            column.name: tf.fill(
                [size] if column.form == "one" else [size, column.length],
                tf.constant(column.missing, dtypes[column.dtype]),
            )
            for column in self.schema.input_columns
        }

    def _start_at_base_rate(self) -> None:
        """Starts each task's bias at the logit of its base rate, which saves the first steps from learning it."""
        means = np.array([self.schema.label(task).mean or 0.5 for task in self.wiring.tasks], np.float32)
        means = np.clip(means, 1e-6, 1 - 1e-6)
        bias = next(weight for weight in self.head.weights if "bias" in weight.name)
        bias.assign(np.log(means / (1 - means))[:, np.newaxis])

    def representation(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """What each task's tower reads, `[B, T, H]`."""
        return self._represent(batch, training)[0]

    def _represent(self, batch: Mapping[str, tf.Tensor], training: bool | None) -> tuple[tf.Tensor, list[tf.Tensor]]:
        lookups, dense, elapsed = self.encoder(batch), self.dense(batch), elapsed_seconds(batch, schema=self.schema)
        inputs = {name: read(lookups, dense, elapsed) for name, read in self.inputs_of_sets.items()}
        outputs = [
            expert(*inputs[spec.set], training=training)
            for spec, expert in zip(self.wiring.experts, self.experts, strict=True)
        ]
        fields = {name: read[0] for name, read in inputs.items()}
        return self.gate(tf.stack(outputs, axis=1), joined_means(fields)), list(fields.values())

    def _logits(self, batch: Mapping[str, tf.Tensor], training: bool | None) -> tuple[tf.Tensor, list[tf.Tensor]]:
        read, fields = self._represent(batch, training)
        return self.head(self.tower(read, training=training))[:, :, 0], fields

    def logits(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """`{task: logit [B]}` in float32."""
        return self._by_task(self._logits(batch, training)[0])

    def call(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """`{task: probability [B]}` in float32."""
        return self._by_task(tf.sigmoid(self._logits(batch, training)[0]))

    def _by_task(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        return {task: values[:, t] for t, task in enumerate(self.wiring.tasks)}

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Mean cross entropy over tasks, plus the penalty on looked-up rows; updates the metrics."""
        logits, fields = self._logits(inputs, training)
        weights = inputs[self.schema.weight] if self.schema.weight is not None else None
        losses = []
        for t, task in enumerate(self.wiring.tasks):
            losses.append(binary_cross_entropy(labels=inputs[task], logits=logits[:, t], weights=weights))
            self._task_metrics[t].update_state(inputs[task], tf.sigmoid(logits[:, t]), weights)
        loss = tf.add_n(losses) / len(losses)
        if self.options.embedding_l2:
            squares = [tf.reduce_sum(tf.square(tf.cast(f, tf.float32))) for f in fields]
            loss += self.options.embedding_l2 * tf.add_n(squares) / tf.cast(tf.shape(logits)[0], tf.float32)
        return loss

    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of gradient descent; returns the losses and `task_metric` values."""
        return _flat(super().train_step(inputs))

    def test_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Losses and `task_metric` values without a step."""
        return _flat(super().test_step(inputs))

    @property
    def sets(self) -> dict[str, EmbeddingSet]:
        """The embedding sets by name."""
        return {name: inputs.embeddings for name, inputs in self.inputs_of_sets.items()}

    @property
    def table_variables(self) -> dict[str, tf.Variable]:
        """The embedding variables by `set/table` (or `set/group`): what the sparse optimisers train."""
        return {
            f"{name}/{variable.name.split('/')[-1].split(':')[0]}": variable
            for name, layer in self.sets.items()
            for variable in layer.variables_of_groups
        }

    def regrouped(self, *, groups: int | None) -> Ranker:
        """A model of equal outputs whose tables are stored in another number of variables; 1 is best for serving."""
        other = Ranker(
            self.schema,
            self.wiring,
            dataclasses.replace(self.options, groups=groups),
            vocabularies=self._vocabularies,
            name=self.name,
        )
        tables = {v.ref() for v in self.table_variables.values()}
        other_tables = {v.ref() for v in other.table_variables.values()}
        mine = [w for w in self.trainable_weights if w.ref() not in tables]
        theirs = [w for w in other.trainable_weights if w.ref() not in other_tables]
        for source, target in zip(mine, theirs, strict=True):
            target.assign(source)
        for name, layer in other.sets.items():
            layer.assign_tables(self.sets[name])
        return other


def _flat(results: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Lifts the values of metrics that report several out of their dicts."""
    flat: dict[str, tf.Tensor] = {}
    for name, value in results.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def _read_vocabularies(schema: Schema) -> dict[str, np.ndarray[Any, Any]]:
    def listed(ids: IdMap) -> bool:
        return ids.kind == "vocabulary"

    return {f.name: read_vocabulary(schema=schema, feature=f.name) for f in schema.tables if listed(f.ids)}


__all__ = ["Ranker"]
