"""The loss that training minimises, the weighted sum of the tasks' losses, and what it reads beside predictions.

Weights are fixed, or learned from the uncertainty of each task (Kendall, Gal and Cipolla 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.models.heads.task_outputs import Predicted, TaskOutputs
from fullrank.models.learning.binary_losses import BinaryLosses, of_each_task
from fullrank.models.learning.sample_weights import of_tasks
from fullrank.models.objectives.losses import observed_share, observed_weights, squared_error
from fullrank.models.objectives.ranking import value_pairwise_loss
from fullrank.models.objectives.residual import distillation_loss, residual_loss
from fullrank.models.objectives.zero_inflated_lognormal import ziln_loss
from fullrank.models.options import ObjectiveOptions, RankerOptions, TaskWeights

Teacher = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]
"""Batch -> `{task: probability [B]}`, NaN where there is none."""

PSEUDO: Final = "pseudo"
NEGATIVE: Final = "negative"
POSITIVE: Final = "positive"
LEVEL: Final = "level"


class ObjectiveInputs(NamedTuple):
    """Inputs of `Objective` in addition to predictions and labels, for the T binary tasks of a model.

    Attributes:
      heads: Part -> logits `[B, T]` of `TrainingHeads`: f_pseudo, f_0 and f_1 with a teacher, `level` with JRC.
      teacher: Its probabilities, `[B, T]`; NaN where it has none.
      keys: `[B]`; examples of equal key form the lists and pairs of a ranking loss; `None` for the whole batch.
      seed: Two integers that differ between steps; `None` draws them from TensorFlow's global generator.
    """

    heads: Mapping[str, tf.Tensor]
    teacher: tf.Tensor | None = None
    keys: tf.Tensor | None = None
    seed: tf.Tensor | None = None


def predictions_of(teacher: Teacher, batch: Mapping[str, tf.Tensor], *, tasks: tuple[str, ...]) -> tf.Tensor:
    """The teacher's predictions of each task, `[B, T]`, without gradient; NaN for tasks that it does not predict.

    Raises:
      ValueError: If it predicts none of them.
    """
    known = teacher(batch)
    if not set(tasks) & set(known):
        raise ValueError(f"The teacher predicts {', '.join(known)}, but none of the tasks {', '.join(tasks)}.")
    none = tf.fill(tf.shape(next(iter(known.values()))), float("nan"))
    columns = [tf.cast(known[task], tf.float32) if task in known else none for task in tasks]
    return tf.stop_gradient(tf.stack(columns, axis=1))


@keras.saving.register_keras_serializable(package="fullrank")
class UncertaintyWeights(keras.layers.Layer):
    """`L = 1/T sum_t exp(-s_t) L_t + s_t`, with s_t trained and 0 at the start, where L is the tasks' mean.

    For fixed losses the minimum is at `s_t = log L_t`, so every task tends to the weight `1 / L_t`. Kendall et al.
    write `s = log sigma^2` and, for classification, `exp(-s) L_t + s / 2`, whose weights are half as large throughout.

    A task for which no example of the batch has a label contributes nothing: otherwise its s_t would fall forever. The
    sum can be negative.

    Call arguments:
      losses: `[T]`.
      observed: `[T]`, bool: whether the batch holds a label of the task; all of them if `None`.

    Returns:
      A scalar.
    """

    def __init__(self, *, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)

    def build(self, input_shape: Any) -> None:
        """Creates s, `[T]`."""
        self.log_variance = self.add_weight(name="log_variance", shape=(input_shape[0],), initializer="zeros")
        super().build(input_shape)

    def call(self, losses: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the weighted loss."""
        s = tf.cast(self.log_variance, losses.dtype)
        terms = tf.exp(-s) * losses + s
        if observed is not None:
            terms = tf.where(observed, terms, tf.zeros_like(terms))
        return tf.reduce_mean(terms)


def task_shares(given: TaskWeights, *, tasks: Sequence[str]) -> np.ndarray[Any, Any]:
    """The share of each task in the loss, `[T]`, with sum 1, so that weights do not change the scale of the loss.

    Args:
      given: Pairs of task and weight; a task that is not named has weight 1. With `uncertainty` no weight is fixed.
      tasks: T of them.

    Raises:
      ValueError: If a task is unknown, a weight negative or all are 0.
    """
    named = {} if isinstance(given, str) else dict(given)
    unknown = [task for task in named if task not in tasks]
    if unknown:
        raise ValueError(f"Task weights name {unknown}, but the tasks are {list(tasks)}.")
    weights = np.array([named.get(task, 1.0) for task in tasks], np.float32)
    if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError(f"Task weights are not negative, and not all 0. Received: {given}.")
    shares: np.ndarray[Any, Any] = weights / weights.sum()
    return shares


class Objective(keras.layers.Layer):
    """`sum_t a_t L_t`, with fixed shares a_t or weights learned with the model; unobserved labels have weight 0.

    The L_t of a binary task is its loss in `BinaryLosses` and, with a teacher, the rest of
    `residual_learning_loss`:

        L_t = L_lr(x, y) + b L_pseudo(x, p_y) + alpha L_res(x, y, p_y)

    That of a value task is its negative log likelihood or squared error; with `ranking="pairwise"` it is `(1 - w)`
    times this plus w times `value_pairwise_loss`, which orders examples by the predicted mean, see
    `TaskOutputs.value_scores`.

    Each of the three is a mean over the labels, or predictions of the teacher, that were observed; with
    `loss_mean="batch"` it is multiplied by their share of the batch, n / B, as is the likelihood, with its divergence,
    of a head with a posterior. Weights by uncertainty cancel such a factor to the extent that it is the same in all
    batches.

    Call arguments:
      predicted: The model's outputs for each task.
      labels: `[B, T]`; NaN where not observed.
      weights: Weights of the examples, `[B]`, or of each label, `[B, T]`; ones if `None`.
      inputs: Teacher, keys and training-only heads; `None` leaves out the losses that need them.

    Returns:
      A scalar.

    Args:
      outputs: The T tasks and the meaning of their outputs.
      task_weights: As in `RankerOptions`.
      options: Losses of binary tasks.
      examples: Examples of the training split.
    """

    def __init__(
        self,
        outputs: TaskOutputs,
        *,
        task_weights: TaskWeights,
        options: ObjectiveOptions | None = None,
        examples: int = 1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._outputs = outputs
        self._options = options or ObjectiveOptions()
        own_labels = outputs.labels_among(examples)[list(outputs.binary)]
        self._binary = BinaryLosses(self._options, base_rates=outputs.base_rates, labels=own_labels)
        self._task_weights = task_shares(task_weights, tasks=outputs.tasks)
        self.uncertainty: UncertaintyWeights | None = None
        if task_weights == "uncertainty":
            if outputs.has_ziln:
                raise ValueError(
                    "Task weights by uncertainty need losses that are never negative, which the likelihood of a "
                    "zero-inflated log-normal can be: fix the weights, or take --value_loss=squared."
                )
            self.uncertainty = UncertaintyWeights(name="uncertainty", dtype="float32")
            self.uncertainty.build(tf.TensorShape([len(outputs.tasks)]))

    def losses(
        self, predicted: Predicted, labels: tf.Tensor, weights: tf.Tensor | None, inputs: ObjectiveInputs | None = None
    ) -> tf.Tensor:
        """The loss of each task, `[T]`, before weighting."""
        own = self._outputs
        binary = self._binary_losses(
            predicted,
            own.of_binary(labels),
            of_tasks(weights, own.of_binary),
            inputs or ObjectiveInputs({}),
        )
        if not own.values:
            return binary
        return own.merged(
            binary,
            self._value_losses(
                predicted, own.of_values(labels), of_tasks(weights, own.of_values), inputs or ObjectiveInputs({})
            ),
        )

    def _averaged(self, losses: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
        """Converts means over observed labels, `[T]`, to the kind that `loss_mean` names."""
        return losses if self._options.loss_mean == "observed" else losses * observed_share(labels, weights)

    def _binary_losses(
        self, predicted: Predicted, labels: tf.Tensor, weights: tf.Tensor | None, inputs: ObjectiveInputs
    ) -> tf.Tensor:
        heads, teacher = inputs.heads, inputs.teacher
        losses = self._binary(
            labels=labels,
            logits=self._outputs.of_binary(predicted.logits),
            weights=weights,
            variance=None if predicted.variance is None else self._outputs.of_binary(predicted.variance),
            divergence=predicted.divergence,
            levels=heads.get(LEVEL),
            keys=inputs.keys,
            seed=inputs.seed,
        )
        losses = self._averaged(losses, labels, weights)
        if teacher is None:
            return losses
        pseudo = distillation_loss(teacher=teacher, logits=heads[PSEUDO], weights=weights)
        losses += self._options.distillation_weight * self._averaged(pseudo, teacher, weights)
        if not self._options.residual_weight:
            return losses
        residual = residual_loss(
            labels=labels,
            teacher=teacher,
            negative_logits=heads[NEGATIVE],
            positive_logits=heads[POSITIVE],
            weights=weights,
            target=self._options.residual_target,
        )
        both = tf.where(tf.math.is_nan(labels), labels, tf.cast(teacher, labels.dtype))
        return losses + self._options.residual_weight * self._averaged(residual, both, weights)

    def _value_losses(
        self, predicted: Predicted, labels: tf.Tensor, weights: tf.Tensor | None, inputs: ObjectiveInputs
    ) -> tf.Tensor:
        losses = self._value_errors(predicted, labels, weights)
        if self._options.ranking == "pairwise":
            w, max_pairs = self._options.ranking_weight, self._options.max_pairs

            def ranking(y: tf.Tensor, s: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
                return value_pairwise_loss(
                    labels=y, scores=s, weights=v, keys=inputs.keys, max_pairs=max_pairs, seed=inputs.seed
                )

            scores = self._outputs.value_scores(predicted)
            ranked = of_each_task(ranking, labels, scores, observed_weights(labels, weights))
            losses = (1.0 - w) * losses + w * ranked
        return self._averaged(losses, labels, weights)

    def _value_errors(self, predicted: Predicted, labels: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
        heads = self._outputs.of_values(predicted.logits)
        if not self._outputs.has_ziln:
            return squared_error(labels=self._outputs.squared(labels), predictions=heads, weights=weights)
        return ziln_loss(
            labels=labels, logits=heads, location=predicted.location, scale=predicted.scale, weights=weights
        )

    def call(
        self,
        predicted: Predicted,
        labels: tf.Tensor,
        weights: tf.Tensor | None = None,
        inputs: ObjectiveInputs | None = None,
    ) -> tf.Tensor:
        """Returns the weighted loss."""
        losses = self.losses(predicted, labels, weights, inputs)
        if self.uncertainty is not None:
            return self.uncertainty(losses, tf.reduce_any(tf.logical_not(tf.math.is_nan(labels)), axis=0))
        return tf.reduce_sum(self._task_weights * losses)


def embedding_penalty(fields: Sequence[tf.Tensor], weights: Sequence[float]) -> tf.Tensor:
    """`sum_f w_f ||e_f||^2` of the fields that a batch looked up, as the mean over its examples, summed over sets.

    Args:
      fields: `[B, F, d]` of each set.
      weights: w, F of them.
    """
    squares = [tf.reduce_sum(tf.square(tf.cast(each, tf.float32)), axis=[0, 2]) for each in fields]
    return tf.reduce_sum(tf.add_n(squares) * tf.constant(weights)) / tf.cast(tf.shape(fields[0])[0], tf.float32)


def field_penalties(options: RankerOptions, *, fields: Sequence[str]) -> tuple[float, ...]:
    """The weight of the L2 penalty of each field.

    Raises:
      ValueError: If the options name a field that the model does not have.
    """
    given = dict(options.field_penalties)
    unknown = next((name for name in given if name not in fields), None)
    if unknown is not None:
        raise ValueError(
            f"L2 penalties (--field_l2) name {unknown!r}, which is not a field. Fields: {', '.join(fields)}."
        )
    return tuple(given.get(name, options.embedding_l2) for name in fields)
