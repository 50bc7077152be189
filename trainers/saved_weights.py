"""What can be wrong with saved weights, each in one line with its repair."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from google.protobuf.message import DecodeError

READING_ERRORS: Final = (
    AssertionError,
    DecodeError,
    IndexError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    tf.errors.OpError,
)
"""What `tf.train.Checkpoint.restore` raises: of other variables, of a file that is cut off, damaged or gone."""

_OF_OTHER_VARIABLES: Final = (AssertionError, ValueError)
_LONGEST: Final = 300


def _number(path: str) -> int:
    number = path.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def newest_first(manager: tf.train.CheckpointManager, directory: Path) -> list[str]:
    """The checkpoints of a directory; those whose files are there where its list of them cannot be read."""
    listed = [str(path) for path in manager.checkpoints]
    found = listed or [str(file.with_suffix("")) for file in directory.glob("*-*.index")]
    return sorted(found, key=_number, reverse=True)


def is_misfit(error: BaseException) -> bool:
    """Whether a checkpoint was read but is of other variables, rather than damaged."""
    return isinstance(error, _OF_OTHER_VARIABLES)


def reason(error: BaseException) -> str:
    """What TensorFlow says, in one line."""
    text: Any = getattr(error, "message", None) or str(error)
    return " ".join(str(text).split())[:_LONGEST].rstrip(".")
