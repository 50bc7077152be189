"""Lets TensorFlow open a file of records after its lengths were looked at."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.bad_data import BadDataError, BadRecord
from fullrank.data.record_file import fault_in_lengths

_REMEMBERED: Final = 1 << 16
"""Files whose lengths a process looks at once, as long as they do not change."""


def checked_file(file: tf.Tensor, *, compression: str) -> tf.Tensor:
    """The same path, a string `[]`, for use in a graph; stops it where `fault_in_lengths` finds a fault."""

    def check(path: Any) -> Any:
        path = np.array(path, object)
        name = Path(os.fsdecode(path.item()))
        stat = name.stat()
        _check(name, compression, stat.st_size, stat.st_mtime_ns)
        return path

    return tf.ensure_shape(tf.numpy_function(check, [file], tf.string), [])


@functools.lru_cache(_REMEMBERED)
def _check(path: Path, compression: str, _size: int, _changed: int) -> None:
    fault = fault_in_lengths(path, compression=compression)
    if fault is not None:
        raise BadDataError(str(BadRecord(file=str(path), record=fault.record, reason=fault.reason)))
