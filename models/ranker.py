"""The one model class: builds whatever a wiring describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf

from fullrank.data.records.per_request import PerRequest
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.vocabulary import read_vocabularies
from fullrank.layers.embedding.embedding_set import EmbeddingSet, variables_by_name
from fullrank.layers.legacy_keras import tfrs
from fullrank.layers.mixture.task_heads import TaskHeads
from fullrank.layers.mixture.towers import Towers
from fullrank.layers.replicas import own_rows, share_of_mean
from fullrank.models.copy_weights import copy_weights
from fullrank.models.encoding.missing_batch import missing_batch
from fullrank.models.group_places import FoundGroups
from fullrank.models.heads.chain import chain_without
from fullrank.models.heads.task_outputs import Predicted, TaskOutputs
from fullrank.models.heads.uncertain import UncertainHeads, uncertain_heads
from fullrank.models.learning.label_counts import LabelCounts
from fullrank.models.learning.learning import Learning
from fullrank.models.learning.objective import Objective, Teacher, embedding_penalty, field_penalties
from fullrank.models.objectives.losses import observed_weights
from fullrank.models.options import ObjectiveOptions, RankerOptions
from fullrank.models.trunk import Mixed, Trunk
from fullrank.models.wirings.pruning import without_tasks
from fullrank.models.wirings.scenarios import check_scenario_column
from fullrank.models.wirings.wiring import Wiring

_UNKNOWN_EXAMPLES: Final = 1_000_000
"""Examples that a schema without records is taken to have."""


class Inside(NamedTuple):
    """Predictions and inner tensors of a batch.

    Attributes:
      predicted: The predictions.
      fields: `[B, F, d]` of each set, in the wiring's order, without those that groups add.
      gates: `[B, G, E]`, how each tower mixes the experts of the last level.
      read: `[B, G, H]`, what the towers read; G = T unless the wiring groups tasks.
      groups: Results of group structure learning at each of its places.
    """

    predicted: Predicted
    fields: list[tf.Tensor]
    gates: tf.Tensor
    read: tf.Tensor
    groups: FoundGroups


class Ranker(tfrs.Model):
    """Encoder, embedding sets, experts, gates and towers, as a wiring says.

    A batch is the flat dict of columns that `fullrank.data.read_records` yields. Calling the model gives
    `{task: prediction [B]}`, a probability or the mean of a value; `fit` minimises the tasks' mean loss, weighted.

    Args:
      schema: Schema of the batches, with fitted statistics; the directory it was read from holds the vocabularies.
      wiring: Sets, experts and readers. Its tasks must be labels of the schema.
      options: Settings that a wiring leaves open.
      vocabularies: Feature -> known ids; read from the schema's directory if `None`.
      objective: How binary tasks are learned; by cross entropy alone if `None`.
      taught: Whether training also learns from a teacher, which `learn_from` is given ([Meta] §3.2).
      train_split: Split that it is trained on; the largest split if the schema has none of this name.
      tables_of: A ranker of the same schema, wiring and options, whose embedding sets this one uses.
    """

    def __init__(
        self,
        schema: Schema,
        wiring: Wiring,
        options: RankerOptions | None = None,
        *,
        vocabularies: Mapping[str, np.ndarray[Any, Any]] | None = None,
        objective: ObjectiveOptions | None = None,
        taught: bool = False,
        train_split: str = "train",
        tables_of: Ranker | None = None,
        name: str = "ranker",
    ) -> None:
        super().__init__(name=name, autocast=False)
        # What a step reports is the same on every replica; Keras would add it up over processes.
        self.distribute_reduction_method = "first"
        options = options or RankerOptions()
        self.outputs = TaskOutputs(schema, wiring, options)
        check_scenario_column(schema, wiring, options.scenario)
        self.schema, self.wiring, self.options = schema, wiring, options
        self._train_split = train_split
        self.vocabularies = read_vocabularies(schema) if vocabularies is None else vocabularies
        self.trunk: Trunk = Trunk(
            schema,
            wiring,
            options,
            vocabularies=self.vocabularies,
            tables_of=None if tables_of is None else tables_of.trunk,
        )
        self._penalties = field_penalties(options, fields=self.trunk.looked_up_fields)
        self.tower = Towers(options.tower, dropout=options.dropout, name="towers")
        self.head = self._heads()
        self.counts: LabelCounts | None = None
        if options.scenario is not None and options.head != "logit":
            self.counts = LabelCounts(len(wiring.heads), scenarios=len(wiring.scenarios), name="label_counts")
        self.learning = Learning(
            self.outputs,
            wiring=wiring,
            schema=schema,
            options=options,
            objective=objective or ObjectiveOptions(),
            taught=taught,
            examples=self._examples,
            name="learning",
        )
        example = self.example_batch()
        self(example)
        if isinstance(self.head, TaskHeads):
            self.head.bias.assign(self.outputs.start()[:, np.newaxis])
        if self.learning.heads is not None:
            self.learning.start(*self.trunk(example, training=False).read.shape[1:])

    @property
    def objective(self) -> Objective:
        """The objective that training minimises."""
        return self.learning.objective

    @property
    def _examples(self) -> int:
        sizes = {split.name: split.examples for split in self.schema.splits}
        return sizes.get(self._train_split, max(sizes.values(), default=_UNKNOWN_EXAMPLES)) or _UNKNOWN_EXAMPLES

    def learn_from(self, teacher: Teacher) -> None:
        """Sets the teacher of a model that was built to be taught; nothing of it is saved with the model."""
        self.learning.learn_from(teacher)

    def _heads(self) -> TaskHeads | UncertainHeads:
        options, towers = self.options, self.outputs.tower_of
        if options.head == "logit":
            return TaskHeads(towers, name="logits", dtype="float32")
        rates = 1.0 / (1.0 + np.exp(-self.outputs.start().astype(np.float64)))
        of_tasks = dict(zip(self.wiring.tasks, self.outputs.labels_among(self._examples).tolist(), strict=True))
        labels = np.array([of_tasks[task] for task in self.wiring.task_of_heads])
        return uncertain_heads(towers, options=options, base_rates=rates.tolist(), labels=labels.tolist())

    def example_batch(self, size: int = 1) -> dict[str, tf.Tensor]:
        """A batch of missing values in the right shapes and dtypes, inputs only."""
        return missing_batch(self.schema.input_columns, size)

    @property
    def learns_groups(self) -> bool:
        """Whether it learns groups at any place."""
        return bool(self.trunk.groups.learners)

    def representation(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Inputs of the towers, `[B, G, H]`; G = T unless the wiring groups tasks."""
        return self.trunk(batch, training=training).read

    def inside(self, batch: Mapping[str, tf.Tensor]) -> Inside:
        """Predictions and inner tensors of a batch, without dropout, for analyses."""
        mixed = self.trunk(batch, training=False)
        predicted = self.predicted_from(mixed, batch)
        gates = self.trunk.mixture.weights_of(mixed.experts, mixed.means)
        return Inside(predicted, list(mixed.fields.values()), gates, mixed.read, mixed.groups)

    def group_codes(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """`{place: codes [B, Q]}`, the groups that an example belongs to at each place, coarse to fine."""
        codes: dict[str, tf.Tensor] = self.trunk(batch, training=False).groups.codes
        return codes

    def _predict(self, batch: Mapping[str, tf.Tensor], training: bool | None) -> Predicted:
        top = self.tower(self.trunk(batch, training=training).read, training=training)
        return self._ended(top, batch, training)

    def logits_of(self, mixed: Mixed, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """From what `trunk` returns to the logits of the tasks, `[B, T]`, without dropout."""
        return self.predicted_from(mixed, batch).logits

    def predicted_from(self, mixed: Mixed, batch: Mapping[str, tf.Tensor]) -> Predicted:
        """From what `trunk` returns to what is predicted, without dropout; of the batch only the scenario is read."""
        return self._ended(self.tower(mixed.read, training=False), batch, False)

    def _ended(self, top: tf.Tensor, batch: Mapping[str, tf.Tensor], training: bool | None) -> Predicted:
        """From what the towers give to what is predicted."""
        if isinstance(self.head, TaskHeads):
            return self.outputs.read(self.head(top), batch)
        found = self.head(top, training=training)
        divergence = self.head.divergence()
        if self.counts is not None and self.wiring.domains:
            divergence /= self.counts.share()
        return self.outputs.uncertain(found, batch, divergence=divergence, training=bool(training))

    @property
    def is_uncertain(self) -> bool:
        """Whether the logits have a distribution."""
        return not isinstance(self.head, TaskHeads)

    def logit_distributions(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """`{task: (mean [B], variance [B])}` of the logits, with a head that has them.

        Raises:
          ValueError: If the model has another one.
        """
        return self.distributions_of(self._predict(batch, False))

    def distributions_of(self, predicted: Predicted) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """`{task: (mean [B], variance [B])}` of predicted logits.

        Raises:
          ValueError: If they are certain.
        """
        if predicted.variance is None:
            raise ValueError(
                "A logit head has no distribution: build with head='gp', 'rff_gp', 'laplace' or 'dropout'."
            )
        means, variances = self.outputs.by_task(predicted.logits), self.outputs.by_task(predicted.variance)
        return {task: (means[task], variances[task]) for task in self.wiring.tasks}

    def precompute(self) -> None:
        """Makes ready for serving what depends on weights alone; do not train on."""
        if not isinstance(self.head, TaskHeads):
            self.head.precompute()

    def logits(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """`{task: logit [B]}` in float32; of a value task, that of a value above 0."""
        return self.outputs.logits(self._predict(batch, training))

    def call(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """`{task: probability or mean [B]}` in float32, and what else `outputs.names` lists."""
        return self.outputs.named(self._predict(batch, training))

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The objective, plus the losses of groups and the penalty on looked-up rows; updates the metrics.

        On several replicas `inputs` are the rows of this one, and the losses of all add up to that of the batch.
        """
        mixed = self.trunk(inputs, training=training)
        top = self.tower(mixed.read, training=training)
        predicted = self._ended(top, inputs, training)
        step = getattr(getattr(self, "optimizer", None), "iterations", None)
        targets = self.learning.targets(inputs)
        loss = self.learning(inputs, targets, predicted, mixed.read, step=step, training=training)
        if training and not isinstance(self.head, TaskHeads):
            weights = self.outputs.rows.of_heads(observed_weights(targets.labels, targets.weights), inputs)
            share: tf.Tensor | None = None
            if self.counts is not None:
                self.counts.observe(tf.math.count_nonzero(weights, axis=0), self.outputs.rows.labels_in(inputs))
                share = self.counts.share()
            self.head.observe(top, weights, share)
        return loss + share_of_mean(self._penalty(mixed), rows=tf.shape(mixed.read)[0])

    def logits_and_penalty(self, batch: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """For a training loss of one's own: the logits as in training, and what does not depend on labels, a scalar.

        That is the losses of groups and the penalty on looked-up rows.

        Raises:
          ValueError: If the head has a distribution, whose training needs more than logits.
        """
        if self.is_uncertain:
            raise ValueError(f"head={self.options.head!r} is not trained on logits alone: take head='logit'.")
        mixed = self.trunk(batch, training=True)
        predicted = self._ended(self.tower(mixed.read, training=True), batch, True)
        return self.outputs.logits(predicted), self._penalty(mixed)

    def _penalty(self, mixed: Mixed) -> tf.Tensor:
        penalty = tf.zeros([])
        if mixed.groups.losses:
            penalty += self.trunk.groups.loss(mixed.groups)
        if any(self._penalties):
            penalty += embedding_penalty(list(mixed.fields.values()), self._penalties)
        return penalty

    # Nothing below a step branches in Python on a tensor, and converting its code costs more than tracing it.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of gradient descent; returns the epoch's mean losses so far and `task_metric` values.

        On several replicas, those of one process share `inputs`.
        """
        inputs = own_rows(inputs, of_worker=True)
        return self._reported(inputs, super().train_step(inputs))

    @tf.autograph.experimental.do_not_convert
    def test_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Mean losses so far and `task_metric` values without a step.

        On several replicas, all of them share `inputs`, which every process reads in full.
        """
        inputs = own_rows(inputs, of_worker=False)
        return self._reported(inputs, super().test_step(inputs))

    def _reported(self, inputs: Mapping[str, tf.Tensor], results: dict[str, Any]) -> dict[str, tf.Tensor]:
        examples = tf.shape(next(value for value in inputs.values() if not isinstance(value, PerRequest)))[0]
        return self.learning.loss_means.reported(results, examples=examples)

    def metrics_so_far(self) -> dict[str, tf.Tensor]:
        """What a step reports, of the steps since the metrics were last reset."""
        return self.learning.loss_means.so_far({metric.name: metric.result() for metric in self.metrics})

    @property
    def sets(self) -> dict[str, EmbeddingSet]:
        """The embedding sets by name."""
        return self.trunk.sets

    @property
    def table_variables(self) -> dict[str, tf.Variable]:
        """The embedding variables by `set/table` (or `set/tables_v`): what the sparse optimisers train."""
        return variables_by_name(self.sets)

    @property
    def small_tables(self) -> list[tf.Variable]:
        """Tables of few rows outside the embedding sets, such as positions and intervals of a behaviour sequence."""
        layers = (layer for layer in self.submodules if layer is not self)
        return [table for layer in layers for table in getattr(layer, "small_tables", ())]

    def merged(self, *, table_variables: int | None) -> Ranker:
        """A model of equal outputs whose tables are merged into another number of variables; 1 is best for serving."""
        other = Ranker(
            self.schema,
            self.wiring,
            dataclasses.replace(self.options, table_variables=table_variables),
            vocabularies=self.vocabularies,
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
        scenario = self.options.scenario if wiring.scenarios else None
        options = dataclasses.replace(self.options, task_weights=weights, chain=chain, scenario=scenario)
        other = Ranker(self.schema, wiring, options, vocabularies=self.vocabularies, name=self.name)
        copy_weights(self, other)
        return other


__all__ = ["Ranker"]
