"""The few pieces of the protocol buffer format that `tf.train.Example` is made of.

Putting the bytes together is faster than filling message objects, and needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Tags of fields of wire type 2, which are a length and content: (field number << 3) | 2.
FIRST: Final = b"\x0a"
SECOND: Final = b"\x12"
LIST_TAG: Final = {"bytes": b"\x0a", "float32": b"\x12", "int64": b"\x1a"}
"""The field of a `tf.train.Feature` by the dtype of its values."""


def varint(value: int) -> bytes:
    """The variable-length encoding of a number that is not negative."""
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def field(tag: bytes, content: bytes) -> bytes:
    """A field of a message: tag, length, content."""
    return tag + varint(len(content)) + content


def bytes_feature(values: Iterable[bytes]) -> bytes:
    """A `tf.train.Feature` of byte strings."""
    parts = [(_SHORT[len(value)] if len(value) < 128 else FIRST + varint(len(value))) + value for value in values]
    return field(LIST_TAG["bytes"], b"".join(parts))


def example(features: dict[str, bytes]) -> bytes:
    """A `tf.train.Example` of serialized features, in the order of their names."""
    entries = (field(FIRST, name.encode()) + field(SECOND, features[name]) for name in sorted(features))
    return field(FIRST, b"".join(field(FIRST, entry) for entry in entries))


_SHORT: Final = [FIRST + varint(length) for length in range(128)]
"""What stands before a short value of a list, which nearly all are."""
