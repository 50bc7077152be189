"""What each input of an export is, and the mark of a missing value, as an asset of the export.

Every input of a signature is required, so a client has to know what means "no value": -1 for whole numbers, NaN for
real numbers, the empty string for text, and 0 for the weight of an absent id.
"""

from __future__ import annotations

import math
from typing import Any, Final

from fullrank.data.schema.columns import Column
from fullrank.data.schema.request_parts import columns_once
from fullrank.data.schema.schema import Schema
from fullrank.models.serving.request_inputs import input_name

INPUTS_ASSET: Final = "inputs.json"
_TYPES: Final = {"int64": "int64", "float32": "float32", "bytes": "string"}


def input_guide(schema: Schema) -> list[dict[str, Any]]:
    """The inputs of `serving_default`, in the order of the schema, as JSON values.

    Each has the name of the `input`, the `column` of the records, the `dtype`, the `shape` in words, `once`, which says
    whether `serving_request` (where there is one) takes it with one row, and `absent`, which marks a missing value and
    pads a list on its right. NaN, which JSON lacks, is the text "NaN" here; a request
    has it without quotation marks, which TensorFlow Serving reads.
    """
    once = columns_once(schema)
    return [
        {
            "input": input_name(column.name),
            "column": column.name,
            "dtype": _TYPES[column.dtype],
            "shape": _shape(column),
            "once": column.name in once,
            "absent": _absent(column),
        }
        for column in schema.input_columns
    ]


def _shape(column: Column) -> str:
    if column.form == "one":
        return "[rows]"
    if column.form == "fixed":
        return f"[rows, {column.length}]"
    return f"[rows, any width]; the last {column.length} values of a row are read"


def _absent(column: Column) -> int | float | str:
    missing = column.missing
    if isinstance(missing, bytes):
        return missing.decode()
    return "NaN" if isinstance(missing, float) and math.isnan(missing) else missing
