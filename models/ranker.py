"""The one model class: builds whatever a wiring describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf

from fullrank.data.schema import Schema
from fullrank.data.vocabulary import read_vocabularies
from fullrank.layers.embedding_set import EmbeddingSet
from fullrank.layers.expert import Expert
from fullrank.layers.legacy_keras import tfrs
from fullrank.layers.task_heads import TaskHeads
from fullrank.layers.towers import Towers
from fullrank.models.chain import chain_without
from fullrank.models.copy_weights import copy_weights
from fullrank.models.encoding.dense_inputs import DenseEncoder
from fullrank.models.encoding.elapsed import elapsed_seconds
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.field_layout import field_layout
from fullrank.models.gaussian_heads import GaussianHeads
from fullrank.models.interactions import build_interaction
from fullrank.models.mixture import Mixture
from fullrank.models.objective import Objective, embedding_penalty
from fullrank.models.pruning import without_tasks
from fullrank.models.ranker_options import RankerOptions
from fullrank.models.sample_weights import SampleWeights
from fullrank.models.scenarios import check_scenario_column
from fullrank.models.set_inputs import SetInputs
from fullrank.models.task_metrics import TaskMetrics
from fullrank.models.task_outputs import Predicted, TaskOutputs
from fullrank.models.wiring import Wiring, set_scopes

_UNKNOWN_EXAMPLES: Final = 1_000_000
"""Examples that a schema without records is taken to have."""


class Inside(NamedTuple):
    """What a batch is turned into on its way.

    Attributes:
      predicted: What is predicted.
      fields: `[B, F, d]` of each set, in the wiring's order.
      gates: `[B, G, E]`, how each tower mixes the experts of the last level.
    """

    predicted: Predicted
    fields: list[tf.Tensor]
    gates: tf.Tensor


class Ranker(tfrs.Model):
    """Encoder, embedding sets, experts, gates and towers, as a wiring says.

    A batch is the flat dict of columns that `fullrank.data.read_records` yields. Calling the model gives
    `{task: prediction [B]}`, a probability or the mean of a value; `fit` minimises the tasks' mean loss, weighted.

    Args:
      schema: What the batches hold, with fitted statistics; the directory it was read from holds the vocabularies.
      wiring: Sets, experts and readers. Its tasks must be labels of the schema.
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
        options = options or RankerOptions()
        self.outputs = TaskOutputs(schema, wiring, options)
        check_scenario_column(schema, wiring, options.scenario)
        self.schema, self.wiring, self.options = schema, wiring, options
        self._vocabularies = read_vocabularies(schema) if vocabularies is None else vocabularies
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
            spec.name: SetInputs(self.encoder, self.dense, schema, width=spec.width, options=options, name=scope)
            for spec, scope in zip(wiring.sets, set_scopes(wiring), strict=True)
        }
        names = next(iter(self.inputs_of_sets.values())).field_names
        layout = field_layout(schema, names)
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
        self.tower = Towers(options.tower, dropout=options.dropout, name="towers")
        self.head = self._heads()
        self.objective = Objective(self.outputs, task_weights=options.task_weights, name="objective", dtype="float32")
        self.sample_weights = SampleWeights(schema, self.outputs, repetition=options.repetition, name="sample_weights")
        self.task_metrics = TaskMetrics(self.outputs, name="task_metrics")
        self(self.example_batch())
        if isinstance(self.head, TaskHeads):
            self.head.bias.assign(self.outputs.start()[:, np.newaxis])

    def _heads(self) -> TaskHeads | GaussianHeads:
        options, towers = self.options, self.outputs.tower_of
        if options.head == "logit":
            return TaskHeads(towers, name="logits", dtype="float32")
        rates = 1.0 / (1.0 + np.exp(-self.outputs.start().astype(np.float64)))
        examples = max((split.examples for split in self.schema.splits), default=_UNKNOWN_EXAMPLES)
        return GaussianHeads(
            towers,
            base_rates=rates.tolist(),
            inducing_points=options.inducing_points,
            kernel=options.kernel,
            examples=examples,
            name="logits",
            dtype="float32",
        )

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

    def representation(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """What each tower reads, `[B, G, H]`; G = T unless the wiring groups tasks."""
        return self._represent(batch, training)[0]

    def _represent(self, batch: Mapping[str, tf.Tensor], training: bool | None) -> tuple[tf.Tensor, list[tf.Tensor]]:
        outputs, fields, means = self._expert_outputs(batch, training)
        return self.mixture(outputs, means, training=training), fields

    def _expert_outputs(
        self, batch: Mapping[str, tf.Tensor], training: bool | None
    ) -> tuple[tf.Tensor, list[tf.Tensor], dict[str, tf.Tensor]]:
        lookups, dense, elapsed = self.encoder(batch), self.dense(batch), elapsed_seconds(batch, schema=self.schema)
        inputs = {name: read(lookups, dense, elapsed) for name, read in self.inputs_of_sets.items()}
        outputs = [
            expert(*inputs[spec.set], training=training)
            for spec, expert in zip(self.wiring.experts, self.experts, strict=True)
        ]
        fields = {name: read[0] for name, read in inputs.items()}
        means = {name: tf.reduce_mean(each, axis=1) for name, each in fields.items()}
        return tf.stack(outputs, axis=1), list(fields.values()), means

    def inside(self, batch: Mapping[str, tf.Tensor]) -> Inside:
        """What an analysis looks at, without dropout."""
        outputs, fields, means = self._expert_outputs(batch, False)
        predicted = self._ended(self.mixture(outputs, means, training=False), batch, False)
        return Inside(predicted, fields, self.mixture.weights_of(outputs, means))

    def _predict(self, batch: Mapping[str, tf.Tensor], training: bool | None) -> tuple[Predicted, list[tf.Tensor]]:
        read, fields = self._represent(batch, training)
        return self._ended(read, batch, training), fields

    def _ended(self, read: tf.Tensor, batch: Mapping[str, tf.Tensor], training: bool | None) -> Predicted:
        """From what the towers read to what is predicted."""
        top = self.tower(read, training=training)
        if isinstance(self.head, TaskHeads):
            return self.outputs.read(self.head(top), batch)
        return self.outputs.uncertain(self.head(top, training=training), divergence=self.head.divergence())

    @property
    def is_uncertain(self) -> bool:
        """Whether the logits have a distribution."""
        return isinstance(self.head, GaussianHeads)

    def logit_distributions(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """`{task: (mean [B], variance [B])}` of the logits, with a Gaussian-process head.

        Raises:
          ValueError: If the model has another one.
        """
        predicted = self._predict(batch, False)[0]
        if predicted.variance is None:
            raise ValueError("Logits have a distribution with a Gaussian-process head only: build with head='gp'.")
        means, variances = self.outputs.by_task(predicted.logits), self.outputs.by_task(predicted.variance)
        return {task: (means[task], variances[task]) for task in self.wiring.tasks}

    def precompute(self) -> None:
        """Makes ready for serving what depends on weights alone; do not train on."""
        if isinstance(self.head, GaussianHeads):
            self.head.precompute()

    def logits(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """`{task: logit [B]}` in float32; of a value task, that of a value above 0."""
        return self.outputs.logits(self._predict(batch, training)[0])

    def call(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """`{task: probability or mean [B]}` in float32, and what else `outputs.names` lists."""
        return self.outputs.named(self._predict(batch, training)[0])

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The objective, plus the penalty on looked-up rows; updates the metrics."""
        predicted, fields = self._predict(inputs, training)
        labels = tf.stack([inputs[task] for task in self.wiring.tasks], axis=1)
        given = inputs[self.schema.weight] if self.schema.weight is not None else None
        self.task_metrics.update(labels, self.outputs.predictions(predicted), given)
        loss = self.objective(predicted, labels, self.sample_weights(inputs, labels))
        if self.options.embedding_l2:
            loss += self.options.embedding_l2 * embedding_penalty(fields)
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
        copy_weights(self, other)
        return other

    def without(self, *, tasks: Collection[str]) -> Ranker:
        """A model that predicts the other tasks alike, without what only these tasks needed.

        Equal to the last bit where the batch is a multiple of the processor's vector length; elsewhere TensorFlow takes
        the exponential of the last few numbers of a tensor by another routine.
        """
        wiring = without_tasks(self.wiring, tasks=tasks)
        given = self.options.task_weights
        weights = given if isinstance(given, str) else tuple(pair for pair in given if pair[0] in wiring.tasks)
        chain = chain_without(self.options.chain, tasks=tasks)
        options = dataclasses.replace(self.options, task_weights=weights, chain=chain)
        other = Ranker(self.schema, wiring, options, vocabularies=self._vocabularies, name=self.name)
        copy_weights(self, other)
        return other


def _flat(results: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Lifts the values of metrics that report several out of their dicts."""
    flat: dict[str, tf.Tensor] = {}
    for name, value in results.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


__all__ = ["Ranker"]
