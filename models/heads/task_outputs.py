"""The predictions of a model for each task, from the columns of its heads ([Tencent] §2)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from fullrank.data.schema.features import Label
from fullrank.data.schema.schema import Schema
from fullrank.layers.mixture.task_heads import ConversionChain
from fullrank.layers.uncertainty.gauss_hermite import calibrated_probability
from fullrank.layers.uncertainty.task_logits import GaussianLogits
from fullrank.models.heads.chain import check_chain
from fullrank.models.heads.starts import LEAST_RATE, first_biases
from fullrank.models.heads.task_rows import TaskRows
from fullrank.models.objectives.zero_inflated_lognormal import (
    lognormal_scale,
    ziln_log_mean,
    ziln_mean,
    ziln_quantile,
)
from fullrank.models.options import RankerOptions
from fullrank.models.wirings.scenarios import of_scenario, spread_of_scenarios
from fullrank.models.wirings.wiring import Wiring


class Predicted(NamedTuple):
    """The outputs for a batch, in float32.

    Attributes:
      logits: `[B, T]`, of the probability that a binary label is 1, or with `ziln` that a value is above 0; along a
        chain, of the joint probability. The value itself with `squared`, in the task's unit.
      given: `[B, T]`, as `logits`, but along a chain of the probability given the previous task.
      location: `[B, V]`, mu of the value tasks with `ziln`; no columns otherwise.
      scale: `[B, V]`, s of the value tasks with `ziln`; no columns otherwise.
      variance: `[B, T]`, of the logits, whose means are then in `logits`; `None` where logits are certain.
      divergence: `[T]`, `KL(q || p) / N` of uncertain logits.
    """

    logits: tf.Tensor
    given: tf.Tensor
    location: tf.Tensor
    scale: tf.Tensor
    variance: tf.Tensor | None = None
    divergence: tf.Tensor | None = None


class TaskOutputs:
    """The columns of the heads, their meaning and their initial biases.

    A binary task has one column, its logit. A value task has one with `squared`, the value in units of the label's mean
    size, so that the loss does not depend on the currency; with `ziln` it has three, the logit of a positive value, mu
    and the raw deviation. The tasks of a chain predict joint probabilities, see `ConversionChain`.

    Attributes:
      tasks: T of them.
      binary: Indices of the binary tasks among them.
      values: Indices of the V value tasks.
      has_ziln: Whether a value task is a zero-inflated log-normal.
      rows: The labels of a batch that each of them learns from.

    Args:
      schema: Schema with the statistics of the labels.
      wiring: Its tasks must be labels of the schema.
      options: Chain, loss and quantiles of value tasks, and the scenario column.

    Raises:
      ValueError: If a task is not a label, or chain and tasks are incompatible.
    """

    def __init__(self, schema: Schema, wiring: Wiring, options: RankerOptions) -> None:
        self.tasks = wiring.tasks
        labels = zip(self.tasks, wiring.labels, strict=True)
        self._labels = tuple(dataclasses.replace(schema.label(label), name=task) for task, label in labels)
        self._wiring, self._options = wiring, options
        self.binary = tuple(place for place, label in enumerate(self._labels) if label.type == "binary")
        self.values = tuple(place for place, label in enumerate(self._labels) if label.type == "value")
        self.has_ziln = bool(self.values) and options.value_loss == "ziln"
        check_chain(options.chain, labels=self._labels, value_loss=options.value_loss, auxiliary=wiring.auxiliary)
        negative = [label.name for label in self._labels if label.type == "value" and (label.minimum or 0.0) < 0]
        if self.has_ziln and negative:
            raise ValueError(
                f"Values of {', '.join(negative)} fall below 0, which no log-normal has: use --value_loss=squared."
            )
        if options.head != "logit" and (self.values or options.chain):
            raise ValueError(
                f"head={options.head!r} gives a normal distribution to the logit of one probability. A real value has "
                "no such logit, and the logit of a product along a chain no normal distribution. Take head='logit', or "
                "other tasks."
            )
        self.rows = TaskRows(wiring, options.scenario)
        self._parts = self.tasks
        if self.has_ziln:
            self._parts += tuple(f"{self.tasks[v]}/{part}" for part in ("location", "scale") for v in self.values)
        self._units = np.array([abs(self._labels[v].mean or 1.0) for v in self.values], np.float32)
        self._in_chain = tuple(self.tasks.index(task) for task in options.chain)
        self._chain = ConversionChain(name="chain", dtype="float32")
        clash = [name for name in self._more if name in self.tasks]
        if clash:
            raise ValueError(f"The outputs {clash} would have the names of tasks: rename these labels.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the heads by name, all different: the wiring's heads, then mu and deviations."""
        more = self._parts[len(self.tasks) :]
        scenarios = self._wiring.head_scenarios
        return self._wiring.heads + (tuple(f"{part}@{s}" for part in more for s in scenarios) if scenarios else more)

    @property
    def tower_of(self) -> tuple[int, ...]:
        """The tower of each column."""
        towers = dict(zip(self._wiring.heads, self._wiring.tower_of, strict=True))
        more = self._parts[len(self.tasks) :]
        heads: list[str] = []
        for part in more:
            task = part.rpartition("/")[0]
            heads += [f"{task}@{s}" for s in self._wiring.head_scenarios] or [task]
        return (*self._wiring.tower_of, *(towers[head] for head in heads))

    def label(self, task: str) -> Label:
        """The label of a task in the schema, renamed to the task."""
        return self._labels[self.tasks.index(task)]

    @property
    def _binary_heads(self) -> dict[str, int]:
        """The heads of binary tasks by name, with their towers: one per task, or one for each of its scenarios."""
        binary = {self.tasks[place] for place in self.binary}
        heads = zip(self._wiring.heads, self._wiring.task_of_heads, self._wiring.tower_of, strict=True)
        return {head: tower for head, task, tower in heads if task in binary}

    @property
    def towers_of_binary(self) -> tuple[int, ...]:
        """The tower of each head of a binary task, on which training-only heads are also built."""
        return tuple(self._binary_heads.values())

    def binary_start(self) -> np.ndarray[Any, Any]:
        """The logit of the label's mean, within `LEAST_RATE` of 0 and 1, for each head of a binary task."""
        places = {self.tasks[place]: number for number, place in enumerate(self.binary)}
        scenarios = self._wiring.head_scenarios
        tasks = [head.rpartition("@")[0] if scenarios else head for head in self._binary_heads]
        rates = np.clip(self.base_rates[[places[task] for task in tasks]], LEAST_RATE, 1.0 - LEAST_RATE)
        logits: np.ndarray[Any, Any] = np.log(rates / (1.0 - rates))
        return logits

    def of_own_scenario(self, values: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Selects, for each binary task, the value of the head that belongs to the scenario of the example."""
        if not self._wiring.head_scenarios:
            return values
        parts = [self.tasks[place] for place in self.binary]
        ids, scenarios = batch[str(self._options.scenario)], self._wiring.head_scenarios
        return of_scenario(values, ids, columns=tuple(self._binary_heads), parts=parts, scenarios=scenarios)

    @property
    def base_rates(self) -> np.ndarray[Any, Any]:
        """Share of positives of each binary task, 0.5 if the schema does not state it."""
        return np.array([self._labels[place].mean or 0.5 for place in self.binary], np.float64)

    def labels_among(self, examples: int) -> np.ndarray[Any, Any]:
        """N of each task, `[T]`: the number of training examples that have its label.

        It is the share in the statistics of the split `train` times the number of examples; all examples if the schema
        has no statistics, and at least 1. A sample weight does not change N, only how labels share it.
        """
        shares = [1.0 if label.observed is None else label.observed for label in self._labels]
        return np.maximum(np.array(shares, np.float64) * examples, 1.0)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of `named`: a prediction per task, and further outputs of chain and values."""
        return (*self.tasks, *self._more)

    @property
    def not_negative(self) -> tuple[str, ...]:
        """The tasks that predict a probability or, with `ziln`, a value that is never below 0."""
        return tuple(task for n, task in enumerate(self.tasks) if self.has_ziln or n in self.binary)

    @property
    def _more(self) -> tuple[str, ...]:
        chain = self._options.chain
        given = tuple(f"{task}_given_{before}" for before, task in itertools.pairwise(chain))
        if not self.has_ziln:
            return given
        return given + tuple(f"{self.tasks[v]}_q{100 * q:g}" for v in self.values for q in self._options.quantiles)

    def start(self) -> np.ndarray[Any, Any]:
        """The initial bias of each column, at which a task predicts its label's mean and need not learn it."""
        biases = first_biases(self._labels, chain=self._options.chain, value_loss=self._options.value_loss)
        scenarios = self._wiring.head_scenarios
        parts = [column.rpartition("@")[0] for column in self.columns] if scenarios else self.columns
        return np.array([biases[part] for part in parts], np.float32)

    def read(self, columns: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> Predicted:
        """Interprets the columns of the heads, `[B, C]`."""
        columns = tf.cast(columns, tf.float32)
        if self._wiring.head_scenarios:
            ids, scenarios = batch[str(self._options.scenario)], self._wiring.head_scenarios
            columns = of_scenario(columns, ids, columns=self.columns, parts=self._parts, scenarios=scenarios)
        first, many = len(self.tasks), len(self.values) if self.has_ziln else 0
        given = columns[:, :first]
        logits = given
        if self._in_chain:
            joint = self._chain(tf.gather(given, self._in_chain, axis=1))
            places = [first + self._in_chain.index(t) if t in self._in_chain else t for t in range(first)]
            logits = tf.gather(tf.concat([given, joint], axis=1), places, axis=1)
        return Predicted(
            logits=logits,
            given=given,
            location=columns[:, first : first + many],
            scale=lognormal_scale(columns[:, first + many :]),
        )

    def uncertain(
        self, found: GaussianLogits, batch: Mapping[str, tf.Tensor], *, divergence: tf.Tensor, training: bool
    ) -> Predicted:
        """Interprets the logits of uncertain heads, `[B, C]`.

        Each task of an example has the distribution of the head of the example's scenario. An example of an unlisted
        scenario has the mean of all means; its variance is the mean of all variances plus, in prediction, the
        disagreement of the scenarios (`spread_of_scenarios`).

        Args:
          found: The logits of the heads.
          batch: Columns.
          divergence: `[C]`, `KL / N` of each head, with the N of its task: a task's divergence is the sum over its
            heads, as each of them has a prior of its own.
          training: Whether the disagreement is left out, because heads learn from their own examples.
        """
        none, scenarios = found.mean[:, :0], self._wiring.head_scenarios
        if not scenarios:
            return Predicted(found.mean, found.mean, none, none, variance=found.variance, divergence=divergence)
        ids = batch[str(self._options.scenario)]
        given: dict[str, Any] = {"columns": self.columns, "parts": self.tasks, "scenarios": scenarios}
        mean, variance = (of_scenario(each, ids, **given) for each in found)
        if not training:
            variance += spread_of_scenarios(found.mean, ids, **given)
        places = [self.tasks.index(task) for task in self._wiring.task_of_heads]
        of_tasks = tf.math.unsorted_segment_sum(divergence, places, len(self.tasks))
        return Predicted(mean, mean, none, none, variance=variance, divergence=of_tasks)

    def predictions(self, predicted: Predicted) -> tf.Tensor:
        """The prediction of each label, `[B, T]`: the probability of a binary one, the mean of a value.

        For an uncertain logit it is the expected probability, by quadrature, not the probability at the mean.
        """
        if predicted.variance is not None:
            return calibrated_probability(mean=predicted.logits, variance=predicted.variance)
        if not self.values:
            return tf.sigmoid(predicted.logits)
        return self.merged(tf.sigmoid(self.of_binary(predicted.logits)), self._means(predicted))

    def _means(self, predicted: Predicted) -> tf.Tensor:
        heads = self.of_values(predicted.logits)
        if self.has_ziln:
            return ziln_mean(logits=heads, location=predicted.location, scale=predicted.scale)
        return heads * self._units

    def value_scores(self, predicted: Predicted) -> tf.Tensor:
        """Unit-free scores that order the examples of each value task, `[B, V]`.

        With `ziln` the logarithm of the predicted mean; with `squared`, where a mean may be negative, the value itself
        in units of the label's mean size.
        """
        heads = self.of_values(predicted.logits)
        if self.has_ziln:
            return ziln_log_mean(logits=heads, location=predicted.location, scale=predicted.scale)
        return heads

    def named(self, predicted: Predicted) -> dict[str, tf.Tensor]:
        """`{name: values [B]}`.

        Each task's prediction; along a chain also `conversion_given_click`, the probability given the previous task;
        and with `ziln` also `spend_q50`, a quantile over all examples, those of value 0 included.
        """
        found = self.by_task(self.predictions(predicted))
        if self._in_chain:
            given = self.by_task(tf.sigmoid(predicted.given))
            found |= dict(zip(self._more, (given[task] for task in self._options.chain[1:]), strict=False))
        for q in self._options.quantiles if self.has_ziln else ():
            heads = self.of_values(predicted.logits)
            at = ziln_quantile(q, logits=heads, location=predicted.location, scale=predicted.scale)
            found |= {f"{self.tasks[v]}_q{100 * q:g}": at[:, n] for n, v in enumerate(self.values)}
        return {name: found[name] for name in self.names}

    def logits(self, predicted: Predicted) -> dict[str, tf.Tensor]:
        """`{task: logit [B]}` of the tasks that have a probability."""
        found = self.by_task(predicted.logits)
        return {task: found[task] for task in self.not_negative}

    def squared(self, values: tf.Tensor) -> tf.Tensor:
        """Labels of the value tasks, `[B, V]`, in the units of their columns with `squared`."""
        return values / self._units

    def of_binary(self, values: tf.Tensor) -> tf.Tensor:
        """The columns of the binary tasks, of `[B, T]`."""
        return tf.gather(values, np.array(self.binary, np.int32), axis=1) if self.values else values

    def of_values(self, values: tf.Tensor) -> tf.Tensor:
        """The columns of the value tasks, of `[B, T]`."""
        return tf.gather(values, np.array(self.values, np.int32), axis=1) if self.binary else values

    def merged(self, binary: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """`[..., T]`: reverses `of_binary` and `of_values`."""
        order = np.argsort([*self.binary, *self.values])
        return tf.gather(tf.concat([binary, values], axis=-1), order, axis=-1)

    def by_task(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """`{task: values [B]}` from `[B, T]`."""
        return dict(zip(self.tasks, tf.unstack(values, axis=1), strict=True))
