"""Schemas, records and pipelines: from a user's tables to batches of named tensors.

What needs TensorFlow is imported when it is first used, so that `--help`, a wrong flag or counting the ids of a table
do not wait for it, nor does every worker process.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from fullrank.data.bad_data import INPUT_ERRORS, BadDataError, BadRecord
from fullrank.data.columns import Column
from fullrank.data.features import (
    Bits,
    Feature,
    IdMap,
    Key,
    Label,
    Numeric,
    NumericStatistics,
    Sequence,
    Sparse,
    SparseStatistics,
    Vector,
)
from fullrank.data.ragged import Columns, Ragged
from fullrank.data.schema import Schema, SchemaError, Shard, Split
from fullrank.data.schema_json import read_schema, write_schema
from fullrank.data.to_columns import row_to_record, to_columns
from fullrank.data.vocabulary import read_vocabulary, write_vocabulary

if TYPE_CHECKING:
    from fullrank.data.bad_records import diagnose, explain, verify
    from fullrank.data.build import build_records
    from fullrank.data.example_layout import encode_examples, example_parser
    from fullrank.data.read import read_records
    from fullrank.data.repair import Repaired, repair_split
    from fullrank.data.split_batch import split_batch
    from fullrank.data.write import RecordWriter, write_records

_WITH_TENSORFLOW: Final = {
    "RecordWriter": "write",
    "Repaired": "repair",
    "build_records": "build",
    "diagnose": "bad_records",
    "encode_examples": "example_layout",
    "example_parser": "example_layout",
    "explain": "bad_records",
    "read_records": "read",
    "repair_split": "repair",
    "split_batch": "split_batch",
    "verify": "bad_records",
    "write_records": "write",
}


def __getattr__(name: str) -> Any:
    """Imports what needs TensorFlow when it is asked for."""
    if name not in _WITH_TENSORFLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WITH_TENSORFLOW[name]}"), name)
    globals()[name] = value
    return value


__all__ = [
    "INPUT_ERRORS",
    "BadDataError",
    "BadRecord",
    "Bits",
    "Column",
    "Columns",
    "Feature",
    "IdMap",
    "Key",
    "Label",
    "Numeric",
    "NumericStatistics",
    "Ragged",
    "RecordWriter",
    "Repaired",
    "Schema",
    "SchemaError",
    "Sequence",
    "Shard",
    "Sparse",
    "SparseStatistics",
    "Split",
    "Vector",
    "build_records",
    "diagnose",
    "encode_examples",
    "example_parser",
    "explain",
    "read_records",
    "read_schema",
    "read_vocabulary",
    "repair_split",
    "row_to_record",
    "split_batch",
    "to_columns",
    "verify",
    "write_records",
    "write_schema",
    "write_vocabulary",
]
