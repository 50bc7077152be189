"""The step of online training: the model, the model of delays, and the loss that `--late` names."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.data.events.event_columns import Batch
from fullrank.data.reading.weights import example_weights
from fullrank.data.schema.columns import Column
from fullrank.models import Ranker
from fullrank.models.objectives import (
    dfm_loss,
    es_dfm_weights,
    fnc_loss,
    fnw_weights,
    weighted_cross_entropy,
)
from fullrank.trainers.streaming.delay_model import DELAYED, LOG_RATE, REAL, delay_loss, with_wait
from fullrank.trainers.streaming.join import Late
from fullrank.trainers.streaming.training_rows import FIELDS

_DTYPES: Final = {"int64": tf.int64, "float32": tf.float32, "bytes": tf.string}


class LateTraining:
    """Scores clicks and takes steps; compiled once for any number of rows.

    Args:
      model: A compiled model with one task.
      delays: The model of delays, compiled; `None` if `late` needs none.
      late: The loss.
      columns: The columns of a batch.
      weight: Column of the sample weight; `None` for none.
    """

    def __init__(
        self, model: Ranker, delays: Ranker | None, *, late: Late, columns: tuple[Column, ...], weight: str | None
    ) -> None:
        self._model, self._delays, self._late, self._weight = model, delays, late, weight
        (self._task,) = model.wiring.tasks
        batch = {column.name: tf.TensorSpec(column.batch_shape, _DTYPES[column.dtype]) for column in columns}
        rows = {f"row/{name}": tf.TensorSpec([None], tf.dtypes.as_dtype(kind)) for name, kind in FIELDS.items()}
        self._names, self._row_names = tuple(batch), tuple(rows)
        self._score = tf.function(self._scored, input_signature=[batch])
        self._step = tf.function(self._stepped, input_signature=[batch, rows])
        self._delay_step = tf.function(self._delay_stepped, input_signature=[batch, rows])

    def score(self, batch: Batch) -> npt.NDArray[np.float64]:
        """Probabilities of a conversion, `[n]`."""
        found: npt.NDArray[np.float64] = self._score(self._tensors(batch, self._names)).numpy().astype(np.float64)
        return found

    def step(self, rows: Batch) -> tuple[float, npt.NDArray[np.float32]]:
        """Takes a step on rows of `TrainingRows`; returns the loss, and the weight of each row `[n]`."""
        loss, weights = self._step(self._tensors(rows, self._names), self._tensors(rows, self._row_names))
        return float(loss), weights.numpy()

    def delay_step(self, rows: Batch) -> float:
        """Takes a step of the model of delays on complete rows; returns its loss."""
        found = self._delay_step(self._tensors(rows, self._names), self._tensors(rows, self._row_names))
        return float(found)

    @staticmethod
    def _tensors(batch: Batch, names: tuple[str, ...]) -> dict[str, tf.Tensor]:
        return {name: tf.constant(batch[name]) for name in names}

    def _scored(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return self._model(batch, training=False)[self._task]

    def _stepped(self, batch: dict[str, tf.Tensor], rows: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        models = [self._model, *([self._delays] if self._delays is not None and self._late == "dfm" else [])]
        given = example_weights(batch, self._weight)
        own = tf.ones_like(rows["row/label"]) if given is None else given
        with tf.GradientTape() as tape:
            logits, penalty = self._model.logits_and_penalty(batch)
            loss, weights, more = self._loss(batch, rows, logits[self._task], own)
            total = loss + penalty + more
        _apply(tape, total, models)
        return loss, weights

    def _loss(
        self, batch: dict[str, tf.Tensor], rows: dict[str, tf.Tensor], logits: tf.Tensor, own: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loss, weight of each row, and the penalty of the second model."""
        labels, none = rows["row/label"], tf.zeros([])
        if self._late == "fnc":
            return fnc_loss(labels=labels, logits=logits, weights=own), own, none
        if self._late == "fnw":
            own *= fnw_weights(labels=labels, logits=logits)
        if self._delays is None:
            return weighted_cross_entropy(labels=labels, logits=logits, weights=own), own, none
        waiting = with_wait(batch, waited_days=rows["row/waited"])
        if self._late == "es_dfm":
            chances = self._delays(waiting, training=False)
            own *= es_dfm_weights(labels=labels, delayed=chances[DELAYED], real_negative=chances[REAL])
            return weighted_cross_entropy(labels=labels, logits=logits, weights=own), own, none
        found, penalty = self._delays.logits_and_penalty(waiting)
        loss = dfm_loss(
            labels=labels,
            logits=logits,
            log_rate=found[LOG_RATE],
            elapsed=rows["row/elapsed"],
            seen_silent=rows["row/silent"],
            weights=own,
        )
        return loss, own, penalty

    def _delay_stepped(self, batch: dict[str, tf.Tensor], rows: dict[str, tf.Tensor]) -> tf.Tensor:
        assert self._delays is not None  # noqa: S101
        with tf.GradientTape() as tape:
            loss = delay_loss(self._delays, batch, rows)
        _apply(tape, loss, [self._delays])
        return loss


def _apply(tape: tf.GradientTape, loss: tf.Tensor, models: list[Ranker]) -> None:
    """Takes a step with each model's own optimiser."""
    variables: list[list[Any]] = [list(model.trainable_variables) for model in models]
    for model, own, gradients in zip(models, variables, tape.gradient(loss, variables), strict=True):
        model.optimizer.apply_gradients(zip(gradients, own, strict=True))
