"""Schemas, records and pipelines: from a user's tables to batches of named tensors."""

from fullrank.data.bad_data import BadDataError, BadRecord
from fullrank.data.bad_records import diagnose, explain, verify
from fullrank.data.columns import Column
from fullrank.data.example_layout import encode_examples, example_parser
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
from fullrank.data.read import read_records
from fullrank.data.repair import Repaired, repair_split
from fullrank.data.schema import Schema, SchemaError, Shard, Split
from fullrank.data.schema_json import read_schema, write_schema
from fullrank.data.split_batch import split_batch
from fullrank.data.vocabulary import read_vocabulary, write_vocabulary
from fullrank.data.write import RecordWriter, write_records

__all__ = [
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
    "diagnose",
    "encode_examples",
    "example_parser",
    "explain",
    "read_records",
    "read_schema",
    "read_vocabulary",
    "repair_split",
    "split_batch",
    "verify",
    "write_records",
    "write_schema",
    "write_vocabulary",
]
