"""The few pieces of the protocol buffer format that `tf.train.Example` is made of.

Putting the bytes together is faster than filling message objects, and needs no TensorFlow.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Tags of fields of wire type 2, which are a length and content: (field number << 3) | 2.
FIRST: Final = b"\x0a"
SECOND: Final = b"\x12"
LIST_TAG: Final = {"bytes": b"\x0a", "float32": b"\x12", "int64": b"\x1a"}
"""The field of a `tf.train.Feature` by the dtype of its values."""

Bytes = bytes | memoryview
Pieces = tuple[Bytes, ...]
"""The pieces in order; they are joined once, at the end."""


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


def bytes_feature(content: Bytes) -> Pieces:
    """A `tf.train.Feature` of one byte string."""
    head = FIRST + varint(len(content))
    return LIST_TAG["bytes"] + varint(len(head) + len(content)), head, content


def list_feature(content: Bytes) -> Pieces:
    """A `tf.train.Feature` of byte strings, whose list is already encoded."""
    return LIST_TAG["bytes"] + varint(len(content)), content


def list_items(*columns: npt.NDArray[Any] | pa.Array) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Byte strings as a list holds them, each after its tag and length, row by row.

    Args:
      columns: Each `[n]`, of objects or of large binary.

    Returns:
      Where each row begins and the last one ends: `[n + 1]`, and the bytes.
    """
    parts: list[Any] = []
    for values in columns:
        array = values if isinstance(values, pa.Array) else pa.array(values, pa.large_binary())
        sizes = byte_strings(*varints(pc.binary_length(array).to_numpy(zero_copy_only=False)))
        parts += (pa.scalar(FIRST, pa.large_binary()), sizes, array)
    return joined(*parts)


def varints(values: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], bytes]:
    """The variable-length encoding of 64-bit numbers: where each begins and the last one ends, and all bytes."""
    unsigned = values.view(np.uint64)
    longest = max(1, -(-int(unsigned.max(initial=0)).bit_length() // 7))
    if longest == 1:
        return np.arange(len(values) + 1), values.astype(np.uint8).tobytes()
    shifted = unsigned[:, None] >> np.arange(0, 7 * longest, 7, dtype=np.uint64)
    sizes = np.maximum(1, (shifted != 0).sum(axis=1))
    groups = (shifted & np.uint64(127)).astype(np.uint8)
    position = np.arange(longest)
    groups[position < sizes[:, None] - 1] |= np.uint8(128)
    return np.concatenate(([0], np.cumsum(sizes))), groups[position < sizes[:, None]].tobytes()


def byte_strings(offsets: npt.NDArray[np.int64], content: Bytes) -> pa.Array:
    """The pieces of `content` between offsets `[n + 1]`, as large binary `[n]`."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def joined(*parts: pa.Array) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Byte strings `[n]` one after the other, row by row: where each row begins, `[n + 1]`, and the bytes.

    Raises:
      TypeError: If a value is `None`.
    """
    rows = pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
    if rows.null_count:
        raise TypeError("A column of bytes holds None: use an empty byte string for a missing value.")
    offsets = np.frombuffer(rows.buffers()[1], np.int64, len(rows) + 1)
    return offsets, memoryview(rows.buffers()[2] or b"")[: offsets[-1]]


def example(features: dict[str, Pieces]) -> bytes:
    """A `tf.train.Example` of serialized features, in the order of their names."""
    entries: list[Bytes] = []
    for name in sorted(features):
        size = sum(map(len, features[name]))
        head = field(FIRST, name.encode()) + SECOND + varint(size)
        entries += (FIRST + varint(len(head) + size), head, *features[name])
    return b"".join((FIRST + varint(sum(map(len, entries))), *entries))
