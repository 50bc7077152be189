"""Checks, in a graph, that the parts of every block fit together.

Each returns an operation that stops the graph with `InvalidArgumentError` at a block that is not as it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.records.packing import HEADER, MATRICES, ROWS, Packing, Part

MOST_ROWS: Final = 1 << 24
"""The most rows of a block."""


def check_sizes(parsed: Mapping[str, Any], counts: Mapping[str, tf.Tensor], packing: Packing) -> tf.Operation:
    """Stops at a block of other columns, or one whose parts do not have the size that its number of rows implies.

    Args:
      parsed: The features of K blocks.
      counts: Prefix of a part -> its rows in each block, `[K]`.
      packing: How blocks should have been written.
    """
    good = [parsed[HEADER] == packing.header(), (parsed[ROWS] >= 1) & (parsed[ROWS] <= MOST_ROWS)]
    for part in packing.parts:
        rows = counts[part.prefix]
        good += [number_of(parsed[f"{part.prefix}{d}"], d) == rows * width for d, width in part.widths().items()]
        lengths = (parsed[f"{part.prefix}lengths:{column.name}"] for column in part.many)
        good += [number_of(each, "int32") == rows for each in lengths]
        good.append(rows >= 1)
    message = "fullrank: blocks of different columns in one split, or a block whose parts do not fit together"
    return tf.debugging.Assert(tf.reduce_all(tf.stack(good)), [message])


def check_requests(sizes: tf.Tensor, *, requests: tf.Tensor, rows: tf.Tensor) -> tf.Operation:
    """Stops at a block whose requests do not have as many rows as the block, or of which one has none.

    Args:
      sizes: Rows of the requests of all blocks.
      requests: Requests of each block, `[K]`, which add up to the length of `sizes`.
      rows: Rows of each block, `[K]`.
    """
    # If the sizes count all rows up to the end of each block, they do so in every block.
    found = tf.gather(tf.cumsum(tf.cast(sizes, tf.int64)), tf.cumsum(requests) - 1)
    good = tf.reduce_all(found == tf.cumsum(rows)) & tf.reduce_all(sizes >= 1)
    return tf.debugging.Assert(good, ["fullrank: a block whose requests do not have as many rows as it has itself"])


def check_lengths(
    parsed: Mapping[str, Any],
    lengths: Mapping[str, tf.Tensor],
    counts: tf.Tensor,
    part: Part,
    aligned: Iterable[tuple[str, ...]],
) -> list[tf.Operation]:
    """Stops at a block in which the lengths of a column are not those of its values, or not those of another column.

    Args:
      parsed: The features of K blocks.
      lengths: Column of the part -> how many values each of its rows has, of all blocks.
      counts: Rows of the part in each block, `[K]`.
      part: The part.
      aligned: Groups of columns with equally many values; those of other parts are left out.
    """
    last = tf.cumsum(counts) - 1
    good = []
    for column in part.many:
        # As in `check_requests`.
        found = tf.gather(tf.cumsum(tf.cast(lengths[column.name], tf.int64)), last)
        values = tf.cumsum(number_of(parsed[f"{part.prefix}values:{column.name}"], column.dtype))
        good += [tf.reduce_all(found == values), tf.reduce_all(lengths[column.name] >= 0)]
    groups = [group for group in aligned if lengths.keys() >= set(group)]
    good += [tf.reduce_all(lengths[first] == lengths[other]) for first, *others in groups for other in others]
    message = "fullrank: a block whose lengths do not fit its values, or those of another column"
    return [tf.debugging.Assert(tf.reduce_all(tf.stack(good)), [message])] if good else []


def number_of(part: Any, dtype: str) -> tf.Tensor:
    """How many values each block has in a feature, int64 `[K]`; -1 where its bytes are not a whole number of values."""
    if dtype == "bytes":
        return tf.cast(part.row_lengths(), tf.int64)
    size = np.dtype(MATRICES.get(dtype, "<i4")).itemsize
    bytes_found = tf.cast(tf.strings.length(part), tf.int64)
    return tf.where(bytes_found % size == 0, bytes_found // size, -1)
