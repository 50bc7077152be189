"""Files of `tf.train.Example` that others wrote, as tables: every feature is a column."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly
from fullrank.data.records.frames import read_frames

LINES: Final = "_lines"
"""Column that says what stands in place of a record that is no example; NULL for a good one."""
_TYPES: Final = {"bytes_list": pa.large_binary(), "float_list": pa.float32(), "int64_list": pa.int64()}
_ROWS: Final = 10_000


def examples_as_arrow(file: Path, target: Path) -> tuple[str, ...]:
    """Writes an Arrow file with a column for every feature, a list unless no example has more than one value of it.

    The file is read twice: once for its features, because an example may lack any, and once for their values.

    Returns:
      The names of the features, whose columns are c0, c1 and so on.

    Raises:
      ValueError: If a feature is of different types in different examples, or no example has any.
    """
    types: dict[str, str] = {}
    listed: dict[str, bool] = {}
    for number, features in _examples(file):
        for name, feature in () if isinstance(features, str) else features.items():
            kind = feature.WhichOneof("kind")
            if kind is not None and types.setdefault(name, kind) != kind:
                raise ValueError(f"{file}, record {number}: feature {name!r} is a {kind}, before a {types[name]}.")
            listed[name] = listed.get(name, False) or (kind is not None and len(getattr(feature, kind).value) > 1)
    if not types:
        raise ValueError(f"{file}: cannot be read: it holds no tf.train.Example with a value.")
    names = tuple(sorted(types))
    cells = [_TYPES[types[name]] for name in names]
    cells = [pa.list_(cell) if listed[name] else cell for name, cell in zip(names, cells, strict=True)]
    schema = pa.schema([(LINES, pa.string()), *((f"c{place}", cell) for place, cell in enumerate(cells))])
    with pa.OSFile(str(target), "wb") as output, pa.ipc.new_file(output, schema) as writer:
        rows = (_row(features, names, types, listed) for _, features in _examples(file))
        while batch := list(itertools.islice(rows, _ROWS)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
    return names


def _row(features: Any, names: tuple[str, ...], types: dict[str, str], listed: dict[str, bool]) -> dict[str, Any]:
    if isinstance(features, str):
        return {LINES: features}
    row: dict[str, Any] = {}
    for place, name in enumerate(names):
        values = list(getattr(features[name], types[name]).value) if name in features else []
        if values:
            row[f"c{place}"] = values if listed[name] else values[0]
    return row


def _examples(file: Path) -> Iterator[tuple[int, Any]]:
    """Number and features of each record, or what is wrong with it."""
    import_tensorflow_quietly()
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    for frame in read_frames(file, compression="GZIP" if file.suffix.lower() == ".gz" else ""):
        if frame.data is None:
            yield frame.record, frame.reason
            continue
        try:
            yield frame.record, tf.train.Example.FromString(frame.data).features.feature
        except DecodeError:
            yield frame.record, "other bytes"
