"""Writes a data set directory: statistics and vocabularies of the training split, then the shards of every split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa

from fullrank.data.schema import Schema


def build_records(
    *,
    splits: Mapping[str, Callable[[], Iterable[pa.RecordBatch]]],
    schema: Schema,
    output: str | Path,
    layout: Literal["block", "example"] | None = None,
    compression: Literal["", "GZIP"] | None = None,
    shards: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    list_delimiter: str = "|",
    max_distinct_in_memory: int = 5_000_000,
) -> Schema:
    """Converts tables to records and returns the finished schema, which is also in `output/schema.json`.

    The first pass reads the training split and counts: statistics, label means, vocabularies. The second reads every
    split and writes it. Vocabularies and statistics know the training split only. The result does not depend on the
    number of workers. `output` appears as a whole at the end; until then everything lies in a sibling directory.

    Args:
      splits: Split name to a function that starts a pass over its rows, in order; it is called twice and has to give
        the same rows both times. `train` must be among them.
      schema: What to convert; its statistics, vocabulary sizes and splits are filled in.
      output: Directory to write.
      layout: `block` or `example`; `None` for the schema's.
      compression: `""` or `"GZIP"`; `None` for the schema's.
      shards: Files a split; `None` for one per 100,000 examples.
      workers: Processes that convert and encode; `None` for the number of cores, 1 for none beside this one.
      overwrite: Whether an existing `output` is replaced.
      progress: Whether to show progress bars.
      list_delimiter: What separates the values of a list in a column of strings.
      max_distinct_in_memory: Distinct ids, over all columns, that are counted in memory before counts go to disk.

    Raises:
      FileExistsError: If `output` exists and `overwrite` is false.
      ValueError: If a cell cannot be converted; the message names file, row, column and value.
    """
    raise NotImplementedError("build_records is being written.")
