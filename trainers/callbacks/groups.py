"""Follows how many codes of learned groups are in use while `fit` runs."""

from __future__ import annotations

from typing import Any

import tf_keras as keras


class Groups(keras.callbacks.Callback):
    """Adds `groups/<place>/usage_1` and `groups/<place>/perplexity_1` to the logs of each epoch, for each level.

    Both are of the running shares that training keeps, as `ResidualQuantizer.statistics` gives them: no batch is read
    for it. It stands before the callbacks that write the logs down.
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
