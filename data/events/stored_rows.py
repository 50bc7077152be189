"""All rows of some splits of a data set, in memory, as they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fullrank.data.records.block_layout import decode_block
from fullrank.data.records.frames import read_frames
from fullrank.data.schema.ragged import Columns, Ragged
from fullrank.data.schema.schema import Schema


def read_rows(schema: Schema, *, splits: Sequence[str]) -> dict[str, npt.NDArray[Any] | Ragged]:
    """All rows of splits, with the columns of the schema.

    Raises:
      ValueError: If records are damaged, of the other layout or missing.
    """
    if schema.layout != "block" or schema.directory is None:
        raise ValueError(f"{schema.directory or schema.name}: delays are for records of the block layout.")
    parts: list[Columns] = []
    for shard in (shard for split in splits for shard in schema.split(split).shards):
        for frame in read_frames(schema.directory / shard.file, compression=schema.compression):
            if frame.data is None:
                raise ValueError(f"{schema.directory / shard.file}, record {frame.record}: {frame.reason}.")
            parts.append(decode_block(frame.data)[1])
    if not parts:
        raise ValueError(f"{schema.directory}: the splits {', '.join(splits)} hold no rows.")
    rows: dict[str, npt.NDArray[Any] | Ragged] = {}
    for column in schema.columns:
        of_parts: list[Any] = [part[column.name] for part in parts]
        if column.form == "many":
            rows[column.name] = Ragged(*(np.concatenate(each) for each in zip(*of_parts, strict=True)))
        else:
            rows[column.name] = np.concatenate(of_parts)
    return rows
