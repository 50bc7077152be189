"""Measures while `fit` runs: collapse of tables, codes in use, and the gradient of negatives ([Tencent] §6.1)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.analysis.embeddings.spectrum import information_abundance, spectrum
from fullrank.analysis.inputs.variables import touched_rows
from fullrank.data.schema.saved_tables import StoredTable
from fullrank.layers.remote_rows import full_name
from fullrank.models.objectives import logit_gradients
from fullrank.models.table_layout import table_layout

MAX_ROWS: Final = 50_000
"""The most rows of a table that are read; a larger one is sampled at equal distances."""


LogitLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Labels `[B]` and logits `[B]` -> scalar."""


class Collapse(keras.callbacks.Callback):
    """Adds `ia/<set>/<table>` to the logs of each epoch: the information abundance of the table's trained rows.

    It must come before the callbacks that write the logs. A row was trained if the optimiser's slot for it has
    left its initial value; a table without such a row is left out. The cost does not grow with tables beyond
    `MAX_ROWS` rows, whose information abundance is that of a sample. `fullrank collapse` measures it in full.
    """

    def __init__(self) -> None:
        super().__init__()
        self._supports_tf_logs = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures all tables."""
        if logs is None:
            return
        layout = table_layout(self.model)
        variables = {full_name(variable): variable for variable in self.model.table_variables.values()}
        for entry in layout.variables:
            variable = variables[entry.variable]
            slots = _slots(self.model.optimizer, entry.variable, rows=int(variable.shape[0]))
            for table in entry.tables:
                places = _sample(table)
                trained = [touched_rows(tf.gather(slot, places).numpy()) for slot in slots]
                rows = np.logical_or.reduce(trained) if trained else None
                if rows is None or rows.any():
                    values = tf.gather(variable, places).numpy()
                    found = spectrum(values, rows=rows).singular_values
                    logs[f"ia/{entry.set}/{table.name}"] = information_abundance(found)


def _sample(table: StoredTable) -> np.ndarray[Any, Any]:
    number = min(table.rows, MAX_ROWS)
    return table.start + np.linspace(0, table.rows - 1, number).astype(np.int64)


def _slots(optimizer: Any, name: str, *, rows: int) -> list[tf.Variable]:
    """The optimiser's slot for each row of a variable."""
    return [
        variable
        for variable in optimizer.variables
        if full_name(variable).endswith(f"/{name}") and variable.shape.rank and variable.shape[0] == rows
    ]


class Groups(keras.callbacks.Callback):
    """Adds `groups/<place>/usage_1` and `groups/<place>/perplexity_1` to the logs of each epoch, for each level.

    Both are computed from the running shares that training keeps, as `ResidualQuantizer.statistics` returns them: no
    batch is read. It must come before the callbacks that write the logs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._supports_tf_logs = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reads the statistics of every place."""
        if logs is None:
            return
        for place, statistics in self.model.trunk.groups.statistics().items():
            for name, values in statistics.items():
                for level, value in enumerate(values.numpy().tolist(), 1):
                    logs[f"groups/{place}/{name}_{level}"] = value


class NegativeGradients(keras.callbacks.Callback):
    """Adds `negative_gradient/<loss>` to the logs of each epoch: the mean absolute gradient on logits of negatives.

    The gradients are those of each loss on one fixed batch, regardless of the loss in training, so that a run with
    cross entropy also shows the gradient that a ranking loss would have. They are on the scale of a single example's
    loss, see `logit_gradients`. It must come before the callbacks that write the logs.

    Args:
      batch: Columns of the model's inputs, and the label. It should be large: at a base rate of 0.1 %, a thousand
        examples have one positive.
      task: The label, for which `model.logits(batch)` gives logits.
      losses: Name -> loss.
    """

    def __init__(self, batch: Mapping[str, tf.Tensor], *, task: str, losses: Mapping[str, LogitLoss]) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._batch = dict(batch)
        self._task = task
        self._losses = dict(losses)
        self._measure: Callable[[], dict[str, tf.Tensor]] | None = None

    def set_model(self, model: Any) -> None:
        """Sets the model whose logits are measured."""
        super().set_model(model)
        self._measure = tf.function(self._gradients, autograph=False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures on the batch."""
        if logs is not None and self._measure is not None:
            logs.update({f"negative_gradient/{name}": value.numpy() for name, value in self._measure().items()})

    def _gradients(self) -> dict[str, tf.Tensor]:
        labels = self._batch[self._task]
        logits = self.model.logits(self._batch, training=False)[self._task]
        return {
            name: logit_gradients(labels=labels, logits=logits, loss=functools.partial(loss, labels)).negative
            for name, loss in self._losses.items()
        }
