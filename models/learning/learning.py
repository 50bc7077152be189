"""The training side of a ranker: labels of a batch, keys, a teacher and training-only heads.

It also keeps the training metrics of the tasks, and the mean losses of an epoch, where Keras would report those of the
last batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import tensorflow as tf
import tf_keras as keras

from fullrank.data.reading.weights import example_weights
from fullrank.data.schema.schema import Schema
from fullrank.layers.mixture.training_heads import TrainingHeads
from fullrank.layers.replicas import REPLICATED, replicas, summed, whole_batch
from fullrank.models.heads.task_outputs import Predicted, TaskOutputs
from fullrank.models.learning.objective import (
    LEVEL,
    NEGATIVE,
    POSITIVE,
    PSEUDO,
    Objective,
    ObjectiveInputs,
    Teacher,
    predictions_of,
)
from fullrank.models.learning.sample_weights import SampleWeights
from fullrank.models.metrics import StreamingTasks, StreamingValues
from fullrank.models.metrics.streaming_tasks import BinnedRows
from fullrank.models.options import ObjectiveOptions, RankerOptions
from fullrank.models.wirings.wiring import Wiring

LOSSES: Final = ("loss", "regularization_loss", "total_loss")


_OTHER_THAN_DEFAULT: Final = ("classification", "ranking")
_OF_A_LIKELIHOOD: Final = ("gp", "rff_gp", "laplace")
"""Heads whose distribution is learned from the likelihood of the labels."""


class _Means(keras.metrics.MeanTensor):
    """Keras's mean, whose state is the same on every replica."""

    def add_weight(self, name: str, **settings: Any) -> tf.Variable:
        return super().add_weight(name, **{**settings, **REPLICATED})


class LossMeans(keras.layers.Layer):
    """Means of the losses over the examples since the metrics were last reset, which `fit` does at every epoch.

    The loss of a batch of B examples counts B times, so that a smaller last batch counts less. The means are metrics of
    the model: a checkpoint within an epoch holds them. The losses of several replicas are shares that add up.
    """

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name, autocast=False)
        self._means = _Means(name="loss_means", dtype="float32", shape=(len(LOSSES),))

    def reported(self, results: Mapping[str, Any], *, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """The results of a step by name: each loss replaced by its mean, and each of the values of a metric by itself.

        Args:
          results: The results of a model's step, with the losses of its batch as scalars.
          examples: B, a scalar; on several replicas, of this one.
        """
        shares = tf.stack([tf.cast(value, tf.float32) for value in (*(results[name] for name in LOSSES), examples)])
        sums = summed(shares)
        self._means.update_state(sums[:-1], sample_weight=sums[-1])
        return self.so_far(results)

    def so_far(self, results: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """The results of metrics by name, each of the values of a metric by itself, and the mean losses."""
        means = dict(zip(LOSSES, tf.unstack(self._means.result()), strict=True))
        flat: dict[str, tf.Tensor] = {}
        for name, value in results.items():
            if name != self._means.name:
                flat.update(value if isinstance(value, dict) else {name: value})
        return {**flat, **means}


class TaskMetrics(keras.layers.Layer):
    """Holds the metrics of the binary tasks and of the value tasks; a model that holds this layer reports them.

    Args:
      outputs: The tasks.
    """

    def __init__(self, outputs: TaskOutputs, *, name: str) -> None:
        super().__init__(name=name)
        self._outputs = outputs
        binary, values = ([outputs.tasks[place] for place in places] for places in (outputs.binary, outputs.values))
        self._of_binary = StreamingTasks(binary) if binary else None
        self._of_values = StreamingValues(values) if values else None

    def update(self, labels: tf.Tensor, predictions: tf.Tensor, weights: tf.Tensor | None) -> None:
        """Adds a batch: labels and predictions `[B, T]`, weights `[B]` or `None`."""
        own = self._outputs
        if self._of_binary is not None:
            self._of_binary.update_state(own.of_binary(labels), own.of_binary(predictions), weights)
        if self._of_values is not None:
            self._of_values.update_state(own.of_values(labels), own.of_values(predictions), weights)

    def binned(self, task: str) -> BinnedRows:
        """The rows of a binary task so far; see `StreamingTasks.binned`.

        Raises:
          ValueError: If the task is none.
        """
        if self._of_binary is None:
            raise ValueError(f"Task {task!r} is not binary: no task of this model is.")
        return self._of_binary.binned(task)


class Targets(NamedTuple):
    """Labels and weights of a batch.

    Attributes:
      labels: `[B, T]`; NaN where not observed.
      weights: `None` for ones, `[B]`, or `[B, T]`.
    """

    labels: tf.Tensor
    weights: tf.Tensor | None


class Learning(keras.layers.Layer):
    """Computes the objective with all its inputs, and keeps the metrics of training.

    Call arguments:
      batch: Columns, with labels.
      targets: The result of `targets` for them.
      predicted: The model's outputs for each task.
      read: `[B, G, H]`, the inputs of the towers.
      step: Number of the training step, for the draw of pairs; `None` draws from TensorFlow's global generator.
      training: Whether training-only heads are included.

    Returns:
      A scalar; on N replicas, the loss of the whole batch divided by N, to which every replica contributes its rows.

    Attributes:
      teacher: The teacher set by `learn_from`, for a model that is taught.

    Args:
      outputs: The tasks.
      wiring: The wiring, which assigns towers to tasks.
      schema: Schema of the batches.
      options: Options with the weights of tasks and examples, and the seed of drawn pairs.
      objective: Losses of binary tasks.
      taught: Whether there will be a teacher.
      examples: Examples of the training split.

    Raises:
      ValueError: If the objective needs something that the model or the schema does not have.
    """

    def __init__(
        self,
        outputs: TaskOutputs,
        *,
        wiring: Wiring,
        schema: Schema,
        options: RankerOptions,
        objective: ObjectiveOptions,
        taught: bool,
        examples: int,
        name: str,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self._outputs, self._schema, self._options, self._taught = outputs, schema, objective, taught
        self._seed = options.seed
        self._tasks = tuple(outputs.tasks[place] for place in outputs.binary)
        _check(objective, taught=taught, tasks=self._tasks, schema=schema, options=options)
        self.objective = Objective(
            outputs,
            task_weights=options.task_weights,
            options=objective,
            examples=examples,
            name="objective",
            dtype="float32",
        )
        self.sample_weights = SampleWeights(schema, outputs, repetition=options.repetition, name="sample_weights")
        self.task_metrics = TaskMetrics(outputs, name="task_metrics")
        self.loss_means = LossMeans(name="loss_means")
        self.heads: TrainingHeads | None = None
        if self._parts:
            self.heads = TrainingHeads(
                self._parts,
                tower_of=outputs.towers_of_binary,
                hidden=objective.training_hidden,
                name="training_heads",
            )
        self.teacher: Teacher | None = None

    @property
    def _parts(self) -> tuple[str, ...]:
        level = (LEVEL,) if self._options.ranking == "jrc" else ()
        residual = (NEGATIVE, POSITIVE) if self._options.residual_weight else ()
        return level + ((PSEUDO, *residual) if self._taught else ())

    def start(self, towers: int, width: int) -> None:
        """Builds the heads for representations `[B, towers, width]`; they start at the label's mean."""
        if self.heads is None:
            return
        self.heads(tf.zeros([1, towers, width]))
        logits = self._outputs.binary_start()
        self.heads.start_at({PSEUDO: logits, NEGATIVE: logits, POSITIVE: -logits})

    def learn_from(self, teacher: Teacher) -> None:
        """Sets the teacher.

        Raises:
          ValueError: If the model was not built to be taught.
        """
        if not self._taught:
            raise ValueError("This model has no heads to learn from a teacher: build it with taught=True.")
        self.teacher = teacher

    def targets(self, batch: Mapping[str, tf.Tensor]) -> Targets:
        """Returns labels and weights of a batch, and counts its repeated exposures: call it once per step."""
        labels = self._outputs.rows.labels(batch)
        return Targets(labels, self.sample_weights(batch, labels))

    def call(
        self,
        batch: Mapping[str, tf.Tensor],
        targets: Targets,
        predicted: Predicted,
        read: tf.Tensor,
        *,
        step: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Returns the loss; updates the metrics."""
        given = example_weights(batch, self._schema.weight)
        self.task_metrics.update(targets.labels, self._outputs.predictions(predicted), given)
        inputs = self._inputs(batch, read, step=step, training=training)
        predicted, inputs, targets = _of_whole_batch(predicted, inputs, targets)
        return self.objective(predicted, targets.labels, targets.weights, inputs) / replicas()

    def _inputs(
        self, batch: Mapping[str, tf.Tensor], read: tf.Tensor, *, step: tf.Tensor | None, training: bool
    ) -> ObjectiveInputs:
        options = self._options
        keys = batch[options.ranking_key] if options.ranking_key is not None else None
        seed = None if step is None else tf.stack([tf.constant(self._seed, tf.int32), tf.cast(step, tf.int32)])
        if self.heads is None or not training:
            return ObjectiveInputs({}, keys=keys, seed=seed)
        teacher: Any = None
        if self._taught:
            if self.teacher is None:
                raise ValueError("This model was built to be taught: give it a teacher by learn_from before training.")
            teacher = predictions_of(self.teacher, batch, tasks=self._tasks)
            teacher = self._outputs.rows.of_own_domain(teacher, batch)
        heads = {part: self._outputs.of_own_scenario(each, batch) for part, each in self.heads(read).items()}
        return ObjectiveInputs(heads, teacher=teacher, keys=keys, seed=seed)


def _of_whole_batch(
    predicted: Predicted, inputs: ObjectiveInputs, targets: Targets
) -> tuple[Predicted, ObjectiveInputs, Targets]:
    """What the losses read, of all replicas: means over observed labels, lists and pairs are those of the batch."""
    if replicas() == 1:
        return predicted, inputs, targets
    keys = inputs.keys
    if keys is not None and keys.dtype == tf.string:
        # Processes exchange numbers only, and a key is only compared for equality.
        inputs = inputs._replace(keys=tf.strings.to_hash_bucket_fast(keys, 2**62))
    # Without a row for each example: the divergence of a head, and the seed of a step.
    rows = (predicted._replace(divergence=None), inputs._replace(seed=None), targets)
    predicted_of_all, inputs_of_all, targets = whole_batch(rows)
    return (
        predicted_of_all._replace(divergence=predicted.divergence),
        inputs_of_all._replace(seed=inputs.seed),
        targets,
    )


def _check(
    objective: ObjectiveOptions, *, taught: bool, tasks: tuple[str, ...], schema: Schema, options: RankerOptions
) -> None:
    default = ObjectiveOptions()
    special = [name for name in _OTHER_THAN_DEFAULT if getattr(objective, name) != getattr(default, name)]
    if objective.residual_weight and not taught:
        raise ValueError("Residual learning needs a teacher ([Meta] §3.2): there is none.")
    if not (special or taught):
        return
    if not tasks and (taught or special != ["ranking"] or objective.ranking != "pairwise"):
        raise ValueError(
            "Focal and class-balanced losses, the ranking losses listwise and jrc, and teachers are for binary tasks: "
            "there is none. The pairwise ranking loss also orders real values."
        )
    if objective.classification == "focal" and options.head in _OF_A_LIKELIHOOD:
        raise ValueError(
            f"head={options.head!r} learns its uncertainty from the likelihood of the labels, which the focal loss is "
            "not. Take classification='cross_entropy' or 'class_balanced', or head='logit' or 'dropout'."
        )
    if objective.ranking == "jrc" and objective.classification != "cross_entropy":
        raise ValueError("jrc has a cross entropy of its own: it cannot be combined with another classification loss.")
    columns = {column.name: column for column in schema.columns}
    key = objective.ranking_key
    if key is not None and (key not in columns or columns[key].form != "one" or columns[key].dtype == "float32"):
        raise ValueError(
            f"The ranking key is a column of one id per example. Received: {key!r}. Keys of schema {schema.name!r}: "
            f"{', '.join(each.name for each in schema.keys) or 'none'}."
        )
