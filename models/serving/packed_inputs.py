"""Requests in a few wide tensors instead of one tensor per column.

Clients and servers pay for every tensor of a request, whatever its content: for one row of 39 columns that is most of
the time. Packed, all columns of one dtype are side by side in one tensor; the assets of the export hold the layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.schema.columns import Column
from fullrank.data.schema.schema import Schema

PACKED_ASSET: Final = "packed_inputs.json"
_DTYPES: Final = {"int64": tf.int64, "float32": tf.float32, "bytes": tf.string}


def packed_layout(schema: Schema) -> dict[str, tuple[Column, ...]]:
    """Input name (`int64`, `float32`, `bytes`) -> its columns from left to right.

    Columns of one value come first, then the wide ones, both in the order of the schema. A dtype that no column has is
    no input.
    """
    layout: dict[str, tuple[Column, ...]] = {}
    for dtype in _DTYPES:
        columns = [column for column in schema.input_columns if column.dtype == dtype]
        if columns:
            layout[dtype] = tuple(sorted(columns, key=lambda column: column.form != "one"))
    return layout


def packed_layout_json(schema: Schema) -> dict[str, list[dict[str, Any]]]:
    """The layout as JSON values: for each input, name and width of its columns from left to right."""
    return {
        dtype: [{"column": column.name, "width": column.length} for column in columns]
        for dtype, columns in packed_layout(schema).items()
    }


def packed_specs(schema: Schema) -> dict[str, tf.TensorSpec]:
    """Input name -> spec `[None, sum of widths]`."""
    return {
        dtype: tf.TensorSpec([None, sum(column.length for column in columns)], _DTYPES[dtype], name=dtype)
        for dtype, columns in packed_layout(schema).items()
    }


def unpack(inputs: Mapping[str, tf.Tensor], *, schema: Schema) -> dict[str, tf.Tensor]:
    """The batch in packed inputs: column -> `[B]` or `[B, length]`."""
    batch: dict[str, tf.Tensor] = {}
    for dtype, columns in packed_layout(schema).items():
        values = inputs[dtype]
        single = [column for column in columns if column.form == "one"]
        wide = columns[len(single) :]
        if single:
            batch.update(zip((c.name for c in single), tf.unstack(values[:, : len(single)], axis=1), strict=True))
        if wide:
            parts = tf.split(values[:, len(single) :], [column.length for column in wide], axis=1)
            batch.update(zip((c.name for c in wide), parts, strict=True))
    return batch


def pack(rows: Mapping[str, np.ndarray[Any, Any]], *, schema: Schema) -> dict[str, np.ndarray[Any, Any]]:
    """The packed inputs of rows: column -> `[n]` or `[n, length]`."""
    return {
        dtype: np.concatenate([rows[c.name].reshape(len(rows[c.name]), c.length) for c in columns], axis=1)
        for dtype, columns in packed_layout(schema).items()
    }
