"""The state in a checkpoint of online training, in addition to the model: join, position in the source, trace."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.events.event_source import EventSource
from fullrank.data.events.packed_arrays import nested, pack, part_of_nested, unpack
from fullrank.trainers.streaming.join import Join

TRACE: Final = np.dtype([("step", "<i8"), ("id", "<i8"), ("role", "i1"), ("weight", "<f4")])


@dataclasses.dataclass
class Trace:
    """A file of every row that was trained on, cut back to a checkpoint when a run resumes.

    Attributes:
      file: The file; `None` for no trace.
      rows: Number of rows that the run has written.
    """

    file: Path | None
    rows: int = 0

    def append(self, *, step: int, ids: Any, roles: Any, weights: Any) -> None:
        """Writes the rows of a step; they are in the file when the call returns."""
        if self.file is None:
            return
        rows = np.zeros(len(ids), TRACE)
        rows["step"], rows["id"], rows["role"], rows["weight"] = step, ids, roles, weights
        with open(self.file, "ab", buffering=0) as file:
            file.write(rows.tobytes())
        self.rows += len(rows)

    def cut(self) -> None:
        """Drops the rows that a killed run wrote after its last checkpoint."""
        if self.file is not None and self.file.exists():
            os.truncate(self.file, self.rows * TRACE.itemsize)


class OnlineState(tf.train.experimental.PythonState):
    """Puts join, source and trace into the same checkpoint as the model, as arrays.

    Args:
      join: Waiting clicks, rows that are not trained on yet, rule and counters.
      source: Its position is saved.
      trace: Its number of rows is saved.
    """

    def __init__(self, *, join: Join, source: EventSource, trace: Trace) -> None:
        self._join, self._source, self._trace = join, source, trace

    def serialize(self) -> bytes:
        """The whole state as bytes."""
        text = json.dumps({"position": self._source.position(), "trace": self._trace.rows}).encode()
        own = {"json": np.frombuffer(text, np.uint8)}
        return pack(nested({"own": own, "join": self._join.state()}))

    def deserialize(self, string_value: bytes) -> None:
        """Restores the result of `serialize`."""
        arrays = unpack(string_value)
        own = json.loads(part_of_nested(arrays, "own")["json"].tobytes())
        self._join.restore(part_of_nested(arrays, "join"))
        self._source.seek(own["position"])
        self._trace.rows = own["trace"]
