"""Files of `tf.train.Example` from other writers, as tables: every feature is a column."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pa_dataset

from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly
from fullrank.data.records.frames import Frame, read_frames

LINES: Final = "_lines"
"""Column that describes a record that is not an example; NULL for a valid one."""
_TYPES: Final = {"bytes_list": pa.large_binary(), "float_list": pa.float32(), "int64_list": pa.int64()}
_FIRST_ROWS: Final = 100
_ROWS: Final = 2_000


class ExampleTable(NamedTuple):
    """A file of examples as Arrow.

    Attributes:
      rows: Column `LINES`, and columns c0, c1 and so on of lists; NULL for a feature that has no value.
      places: Name of a feature, sorted -> the number of its column.
      listed: Features of which an example has more than one value.
    """

    rows: pa_dataset.Dataset
    places: dict[str, int]
    listed: frozenset[str]


class _Found(NamedTuple):
    """Features so far: name -> type, in the order in which they were found, and those with several values."""

    types: dict[str, str]
    listed: set[str]

    @property
    def schema(self) -> pa.Schema:
        cells = [pa.list_(_TYPES[kind]) for kind in self.types.values()]
        return pa.schema([(LINES, pa.string()), *((f"c{place}", cell) for place, cell in enumerate(cells))])


def examples_as_arrow(file: Path, *, directory: Path, stem: str) -> ExampleTable:
    """Reads a file once, into Arrow files; a new one begins where an example has a feature that no earlier one had.

    Raises:
      ValueError: If a feature is of different types in different examples, or no example has any.
    """
    import_tensorflow_quietly()
    found = _Found({}, set())
    frames = iter(read_frames(file, compression="GZIP" if file.suffix.lower() == ".gz" else ""))
    sizes = itertools.chain([_FIRST_ROWS], itertools.repeat(_ROWS))
    # The first examples show most features, which are then parsed in batches.
    groups = iter(lambda: list(itertools.islice(frames, next(sizes))), [])
    batches = (_in_one(group, found) or _one_by_one(group, found, file=file) for group in groups)
    targets: list[Path] = []
    for schema, alike in itertools.groupby(batches, key=lambda batch: batch.schema):
        targets.append(directory / f"{stem}-{len(targets)}.arrow")
        with pa.OSFile(str(targets[-1]), "wb") as output, pa.ipc.new_file(output, schema) as writer:
            for batch in alike:
                writer.write_batch(batch)
    if not found.types:
        raise ValueError(f"{file}: cannot be read: it holds no tf.train.Example with a value.")
    rows = pa_dataset.dataset([str(target) for target in targets], schema=found.schema, format="ipc")
    numbers = {name: number for number, name in enumerate(found.types)}
    return ExampleTable(rows, {name: numbers[name] for name in sorted(numbers)}, frozenset(found.listed))


def _in_one(frames: Sequence[Frame], found: _Found) -> pa.RecordBatch | None:
    """The rows of records that TensorFlow parses as Protocol Buffers would; `None` if one has an unknown feature.

    Also `None` if one is not encoded the way writers usually do it, or has other types: see `_one_by_one`.
    """
    import tensorflow as tf

    from fullrank.data.records.example_bytes import counts_at_once

    records = [frame.data for frame in frames if frame.data is not None]
    if not found.types or len(records) < len(frames):
        return None
    dtypes = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}
    spec = {name: tf.io.RaggedFeature(dtypes[kind], row_splits_dtype=tf.int32) for name, kind in found.types.items()}
    try:
        counts = counts_at_once(records)
        if (counts < 0).any():
            return None
        parsed = tf.io.parse_example(records, spec)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError):
        return None
    present = np.zeros(len(frames), np.int64)
    columns: list[pa.Array] = [pa.nulls(len(frames), pa.string())]
    listed = set()
    for name, kind in found.types.items():
        starts = parsed[name].row_splits.numpy()
        lengths = np.diff(starts)
        present += lengths > 0
        if lengths.max() > 1:
            listed.add(name)
        values = pa.array(parsed[name].flat_values.numpy(), _TYPES[kind])
        columns.append(pa.ListArray.from_arrays(starts, values, mask=pa.array(lengths == 0)))
    # A feature beyond those with values is an empty one, or unknown.
    for place in np.flatnonzero(present != counts):
        if not found.types.keys() >= set(_features(records[place])):
            return None
    found.listed.update(listed)
    return pa.RecordBatch.from_arrays(columns, schema=found.schema)


def _one_by_one(frames: Sequence[Frame], found: _Found, *, file: Path) -> pa.RecordBatch:
    """The rows of any records, with a description of those that are not examples."""
    from google.protobuf.message import DecodeError

    rows: list[dict[str, Any]] = []
    for frame in frames:
        row: dict[str, Any] = {LINES: frame.reason or None}
        try:
            features = {} if frame.data is None else _features(frame.data)
        except DecodeError:
            row[LINES], features = "other bytes", {}
        for name, feature in features.items():
            kind = feature.WhichOneof("kind")
            if kind is None:
                continue
            if found.types.setdefault(name, kind) != kind:
                where, before = f"{file}, record {frame.record}", found.types[name]
                raise ValueError(f"{where}: feature {name!r} is {kind}, but {before} in earlier records.")
            row[name] = list(getattr(feature, kind).value) or None
            if row[name] is not None and len(row[name]) > 1:
                found.listed.add(name)
        rows.append(row)
    schema = found.schema
    names = [LINES, *found.types]
    arrays = [pa.array([row.get(name) for row in rows], kind) for name, kind in zip(names, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _features(record: bytes) -> Mapping[str, Any]:
    import tensorflow as tf

    features: Mapping[str, Any] = tf.train.Example.FromString(record).features.feature
    return features
