"""The files of a stream: a directory with a schema, files that appear whole by a rename, and a marker when it ends.

Files are read in the order of their names, so a writer counts upwards: `events-00000017.tfrecord`.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.events.event_columns import CLICK, CLICKED, CONVERTED, ID, KIND, TIME, event_packing, missing_rows
from fullrank.data.files.write_aside import file_aside, write_text
from fullrank.data.records.encode_block import BLOCK_ROWS, encode_blocks
from fullrank.data.records.frames import framed
from fullrank.data.schema.json import write_schema
from fullrank.data.schema.ragged import Columns, Ragged, take_rows
from fullrank.data.schema.schema import Schema

PATTERN: Final = "events-*.tfrecord"
END: Final = "END"


def start_stream(directory: Path, *, schema: Schema) -> None:
    """Makes the directory of a stream: `schema.json`, without splits, and the vocabularies next to it.

    Raises:
      FileExistsError: If there is a stream already.
      SchemaError: If a column of the schema has the name of an event column.
    """
    event_packing(schema)
    if (directory / "schema.json").exists():
        raise FileExistsError(f"{directory} holds a stream already: choose another directory.")
    directory.mkdir(parents=True, exist_ok=True)
    if schema.directory is not None and (schema.directory / "vocabulary").is_dir():
        shutil.copytree(schema.directory / "vocabulary", directory / "vocabulary", dirs_exist_ok=True)
    write_schema(dataclasses.replace(schema, splits=(), layout="block", compression=""), directory)


def write_events(file: Path, *, schema: Schema, columns: Columns) -> None:
    """Writes one file of a stream, whole or not at all.

    Args:
      file: File to write; its name must sort after those of existing files.
      schema: Schema of the stream.
      columns: Every column of the schema and of `EVENT_COLUMNS`, in order of time.
    """
    with file_aside(file) as aside:
        aside.write_bytes(framed(event_blocks(columns, schema=schema)))


def event_blocks(columns: Columns, *, schema: Schema) -> list[bytes]:
    """Events as blocks of up to a thousand: the records of a file, or the values of Kafka messages."""
    return encode_blocks(columns, packing=event_packing(schema), block_rows=BLOCK_ROWS)


def end_stream(directory: Path) -> None:
    """Marks the end of a stream: no file will follow."""
    write_text(directory / END, "")


def merged_events(
    clicks: Columns,
    *,
    schema: Schema,
    ids: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    conversions: npt.NDArray[np.int64],
    conversion_times: npt.NDArray[np.int64],
) -> dict[str, npt.NDArray[Any] | Ragged]:
    """Clicks and conversions as one stream, in order of time, each click before its own conversion.

    Conversions get ids after the largest id of a click.

    Args:
      clicks: Columns of the schema, n rows.
      schema: Schema of the stream.
      ids: `[n]`.
      times: `[n]`, in the schema's unit of time.
      conversions: `[m]`, the ids of the clicks that converted.
      conversion_times: `[m]`.
    """
    n, m = len(ids), len(conversions)
    empty = missing_rows(schema, m)
    joined: dict[str, npt.NDArray[Any] | Ragged] = {}
    for column in schema.columns:
        first, second = clicks[column.name], empty[column.name]
        if isinstance(first, Ragged) and isinstance(second, Ragged):
            joined[column.name] = Ragged(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))
        else:
            joined[column.name] = np.concatenate([np.asarray(first), np.asarray(second)])
    own = int(ids.max(initial=-1)) + 1 + np.arange(m, dtype=np.int64)
    joined |= {
        ID: np.concatenate([ids, own]),
        KIND: np.repeat(np.array([CLICKED, CONVERTED], np.int64), [n, m]),
        TIME: np.concatenate([times, conversion_times]).astype(np.int64),
        CLICK: np.concatenate([np.full(n, -1, np.int64), conversions]),
    }
    return take_rows(joined, np.lexsort((joined[KIND], joined[TIME])))
