"""The bytes of a TFRecord file: records framed by length and checksums, optionally compressed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Literal

import google_crc32c

_MASK = 0xA282EAD8


def framed(records: Iterable[bytes]) -> bytes:
    """Records as they lie in an uncompressed file: length, checksum of the length, content, checksum of the content."""
    parts: list[bytes] = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += (length, _checksum(length), record, _checksum(record))
    return b"".join(parts)


def compressed(content: bytes, compression: Literal["", "GZIP"]) -> bytes:
    """A piece of a file. Pieces of GZIP can be joined, because a gzip file is a sequence of members."""
    if compression == "":
        return content
    # A gzip member without a time in its header, so that the same rows give the same bytes.
    member = zlib.compressobj(level=6, wbits=31)
    return member.compress(content) + member.flush()


def _checksum(content: bytes) -> bytes:
    plain: int = google_crc32c.value(content)
    # TFRecord rotates and shifts the CRC, so that the checksum of data that holds checksums stays meaningful.
    return struct.pack("<I", ((plain >> 15 | plain << 17) + _MASK) & 0xFFFFFFFF)
