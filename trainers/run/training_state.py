"""How far a run has come, as a part of its checkpoints."""

from __future__ import annotations

import dataclasses
import json

import tensorflow as tf


@dataclasses.dataclass
class Progress:
    """The counters of a run.

    Attributes:
      epoch: Epochs finished, each with its validation.
      step: Steps taken of the epoch after those.
      global_step: Steps taken in all.
      best: Best value of the monitored metric, `None` before the first defined one.
      best_epoch: The epoch whose weights are kept, from 1: that of `best`, or the last one while there is none.
      stale: Epochs since then whose metric was defined.
      undefined: Epochs whose metric was not defined.
      plateau: Epochs since the last best one, or since the learning rates were lowered, whose metric was defined.
      stopped: Why training ended before the last epoch; empty if it did not.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    undefined: int = 0
    plateau: int = 0
    stopped: str = ""


class TrainingState(tf.train.experimental.PythonState):
    """Puts `progress` into a checkpoint, as JSON."""

    def __init__(self) -> None:
        self.progress = Progress()

    def serialize(self) -> str:
        """The counters as text."""
        return json.dumps(dataclasses.asdict(self.progress))

    def deserialize(self, string_value: str | bytes) -> None:
        """Takes the counters over from text."""
        self.progress = Progress(**json.loads(string_value))
