"""Schemas, records and pipelines: from a user's tables to batches of named tensors."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from fullrank.data.content.sign_bits import hash_vectors
from fullrank.data.exposures.history import ExposureHistory, exposure_history
from fullrank.data.records.bad_data import BadDataError, BadRecord
from fullrank.data.records.encode_examples import encode_examples
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import (
    BehaviourColumn,
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
from fullrank.data.schema.json import read_schema, write_schema
from fullrank.data.schema.ragged import Columns, Ragged
from fullrank.data.schema.reading import Along, Derived, History, Input, Past, Reading
from fullrank.data.schema.schema import Schema, SchemaError, Shard, Split
from fullrank.data.schema.vocabulary import read_vocabulary, write_vocabulary

if TYPE_CHECKING:
    from fullrank.data.reading.bad_records import diagnose, explain, verify
    from fullrank.data.reading.pipeline import INPUT_ERRORS
    from fullrank.data.reading.read import read_records, split_batch
    from fullrank.data.reading.repair import Repaired, repair_split
    from fullrank.data.records.example_layout import example_parser
    from fullrank.data.tables.row_columns import row_to_record, to_columns
    from fullrank.data.writing.build import build_records
    from fullrank.data.writing.writer import RecordWriter, write_records

_WHEN_USED: Final = {
    "INPUT_ERRORS": "reading.pipeline",
    "RecordWriter": "writing.writer",
    "Repaired": "reading.repair",
    "build_records": "writing.build",
    "diagnose": "reading.bad_records",
    "example_parser": "records.example_layout",
    "explain": "reading.bad_records",
    "read_records": "reading.read",
    "repair_split": "reading.repair",
    "row_to_record": "tables.row_columns",
    "split_batch": "reading.read",
    "to_columns": "tables.row_columns",
    "verify": "reading.bad_records",
    "write_records": "writing.writer",
}
"""Name -> its module. These load Arrow or TensorFlow, which takes seconds, so they are imported when first used: a
process that only counts or converts never pays for TensorFlow."""


def __getattr__(name: str) -> Any:
    """Imports what needs Arrow or TensorFlow when it is first asked for."""
    if name not in _WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHEN_USED[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "INPUT_ERRORS",
    "Along",
    "BadDataError",
    "BadRecord",
    "BehaviourColumn",
    "Bits",
    "Column",
    "Columns",
    "Derived",
    "ExposureHistory",
    "Feature",
    "History",
    "IdMap",
    "Input",
    "Key",
    "Label",
    "Numeric",
    "NumericStatistics",
    "Past",
    "Ragged",
    "Reading",
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
    "exposure_history",
    "hash_vectors",
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
