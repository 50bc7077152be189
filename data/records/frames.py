"""TFRecord files without TensorFlow: their names, their bytes, and how to continue after a damaged record.

TensorFlow's own reader stops at the first damaged record without saying which one it was. This reader finds out;
training never uses it.

A frame is: length (8 bytes), checksum of the length (4), data, checksum of the data (4), all little-endian. If the data
is damaged, the next frame is still where the length says; if the length is damaged, nothing after it can be found.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple, cast

import google_crc32c

_HEADER: Final = struct.Struct("<QI")
_FOOTER: Final = struct.Struct("<I")
_READ: Final = 1 << 22
_MASK_DELTA: Final = 0xA282EAD8


class Frame(NamedTuple):
    """One record of a file.

    Attributes:
      record: Its number, from 0.
      data: Its content, or `None` if it is damaged.
      reason: Description of its fault; empty if it has none.
      end: Where it ends, in bytes of the decompressed file; 0 where the file cannot be followed.
    """

    record: int
    data: bytes | None
    reason: str = ""
    end: int = 0


def shard_name(*, split: str, shard: int, shards: int, compression: str) -> str:
    """The file name of a shard, e.g. `train-00002-of-00016.tfrecord.gz`."""
    return f"{split}-{shard:05d}-of-{shards:05d}.tfrecord" + (".gz" if compression else "")


def framed(records: Iterable[bytes]) -> bytes:
    """Records as an uncompressed file holds them."""
    parts: list[bytes] = []
    for record in records:
        length = len(record).to_bytes(8, "little")
        parts += (length, _FOOTER.pack(_masked_crc(length)), record, _FOOTER.pack(_masked_crc(record)))
    return b"".join(parts)


def compressed(content: bytes, compression: Literal["", "GZIP"]) -> bytes:
    """Framed records as bytes of a file. Pieces of GZIP can be joined: a gzip file is a sequence of members."""
    if compression == "":
        return content
    # A gzip member without a time in its header, so that the same rows give the same bytes.
    member = zlib.compressobj(level=6, wbits=31)
    return member.compress(content) + member.flush()


def read_frames(path: str | Path, *, compression: str, record: int = 0, start: int = 0) -> Iterator[Frame]:
    """Yields every record of a file, damaged ones without their data, as far as records can be located.

    Args:
      path: The file.
      compression: `""` or `"GZIP"`.
      record: Number of the first record to read.
      start: Where it begins, in bytes of the decompressed file: the `end` of the one before.

    Raises:
      OSError: If the file cannot be opened.
    """
    with _opened(path, compression) as file:
        if start:
            file.seek(start)
        while True:
            frame = _read_frame(file, record)
            if frame is None:
                return
            start += frame.end
            lost = frame.reason and frame.reason != _DAMAGED
            yield frame._replace(end=0 if lost else start)
            if lost:
                return
            record += 1


def fault_in_lengths(path: str | Path, *, compression: str) -> Frame | None:
    """The first record that claims more bytes than the file has, or than a record may have; `None` if none does.

    TensorFlow's reader allocates what a record claims, and a length beyond the memory ends the process; it also
    takes some files that end within a record for files that end before it. This function goes from length to length
    without reading the data between them, which takes a small part of the time of reading; only compressed files must
    be decompressed for it. A length with a wrong checksum ends the search, as it ends TensorFlow's reading.

    Raises:
      OSError: If the file cannot be opened.
    """
    size = None if compression else os.path.getsize(path)
    record, end = 0, 0
    try:
        with _opened(path, compression) as file:
            while header := file.read(_HEADER.size):
                if len(header) < _HEADER.size:
                    return Frame(record, None, _CUT_OFF)
                length, checksum = _HEADER.unpack(header)
                end += _HEADER.size + length + _FOOTER.size
                too_long = length > _LONGEST
                reached = 0 if too_long else file.seek(length + _FOOTER.size, os.SEEK_CUR)
                if (reached if size is None else min(reached, size)) < end:
                    damaged = _masked_crc(header[:8]) != checksum
                    return None if damaged else Frame(record, None, _TOO_LONG if too_long else _CUT_OFF)
                record += 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return Frame(record, None, _GZIP.format(error))
    return None


_DAMAGED: Final = "damaged data: its checksum differs"
_NO_LENGTH: Final = "damaged length, so what follows in this file is lost"
_CUT_OFF: Final = "the file ends within this record: it is cut off"
_TOO_LONG: Final = "a length of 2 GiB or more, which no record may have, so what follows in this file is lost"
_GZIP: Final = "damaged gzip data, so what follows in this file is lost ({})"
_LONGEST: Final = 2**31 - 1


@contextlib.contextmanager
def _opened(path: str | Path, compression: str) -> Iterator[IO[bytes]]:
    with open(path, "rb") as raw:
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if compression else raw


def _read_frame(file: IO[bytes], record: int) -> Frame | None:
    """The next frame, its `end` counted from where the file stands, or `None` at a clean end."""
    try:
        header = _read_exactly(file, _HEADER.size)
        if not header:
            return None
        if len(header) < _HEADER.size:
            return Frame(record, None, _CUT_OFF)
        length, checksum = _HEADER.unpack(header)
        if _masked_crc(header[:8]) != checksum:
            return Frame(record, None, _NO_LENGTH)
        if length > _LONGEST:
            return Frame(record, None, _TOO_LONG)
        body = _read_exactly(file, length + _FOOTER.size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return Frame(record, None, _GZIP.format(error))
    if len(body) < length + _FOOTER.size:
        return Frame(record, None, _CUT_OFF)
    data, size = body[:length], len(header) + len(body)
    if _masked_crc(data) != _FOOTER.unpack_from(body, length)[0]:
        return Frame(record, None, _DAMAGED, size)
    return Frame(record, data, "", size)


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    """Up to `size` bytes, in pieces, so that a wrong size asks for no more memory than the file has bytes."""
    pieces = []
    while size > 0:
        piece = file.read(min(size, _READ))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _masked_crc(data: bytes) -> int:
    """TFRecord rotates and shifts the CRC, so that the checksum of data that holds checksums stays meaningful."""
    checksum = int(google_crc32c.value(data))
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF
