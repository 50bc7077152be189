"""Follows the dimensional collapse of embedding tables while `fit` runs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.analysis.embeddings.spectrum import information_abundance, spectrum
from fullrank.analysis.inputs.trained_rows import touched_rows
from fullrank.data.table_layout import StoredTable
from fullrank.models.table_layout import table_layout

MAX_ROWS: Final = 50_000
"""Rows of a table that are looked at; of a larger one, as many at equal distances."""


class Collapse(keras.callbacks.Callback):
    """Adds `ia/<set>/<table>` to the logs of each epoch: the information abundance of the table's trained rows.

    It stands before the callbacks that write the logs down. A row was trained if the optimiser's slot beside it has
    left its initial value; a table without such a row is left out. The cost does not grow with tables beyond
    `MAX_ROWS` rows, whose information abundance is that of a sample. `python -m fullrank.analysis.collapse` tells the
    rest.
    """

    def __init__(self) -> None:
        super().__init__()
        self._supports_tf_logs = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures all tables."""
        if logs is None:
            return
        layout = table_layout(self.model)
        variables = {_full_name(variable): variable for variable in self.model.table_variables.values()}
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
    """What the optimiser keeps for each row of a variable."""
    return [
        variable
        for variable in optimizer.variables
        if _full_name(variable).endswith(f"/{name}") and variable.shape.rank and variable.shape[0] == rows
    ]


def _full_name(variable: tf.Variable) -> str:
    return str(variable.name).removesuffix(":0")
