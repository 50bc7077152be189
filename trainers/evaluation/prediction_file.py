"""Writes predictions to a Parquet or CSV file, or as CSV to standard output."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fullrank.data.files.write_aside import file_aside

STANDARD_OUTPUT: Final = "-"
_WRITERS: Final[dict[str, Any]] = {".parquet": pq.ParquetWriter, ".pq": pq.ParquetWriter, ".csv": pa_csv.CSVWriter}


class Writer(Protocol):
    """Takes batches."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Writes one."""


def check_output(output: str) -> None:
    """Rejects a name without a known format.

    Raises:
      ValueError: If it is neither `-` nor the name of a Parquet or CSV file.
    """
    if output != STANDARD_OUTPUT and Path(output).suffix.lower() not in _WRITERS:
        raise ValueError(
            f"--output={output}: the name must end in {', '.join(_WRITERS)}, or be - for CSV on standard output."
        )


@contextlib.contextmanager
def open_predictions(output: str, schema: pa.Schema) -> Iterator[Writer]:
    """Yields a writer of batches of a schema; a file appears when the block ends without an error."""
    if output == STANDARD_OUTPUT:
        yield _StandardOutput(schema)
        return
    with (
        file_aside(Path(output), alone=True) as aside,
        _WRITERS[Path(output).suffix.lower()](aside, schema) as writer,
    ):
        yield writer


class _StandardOutput:
    def __init__(self, schema: pa.Schema) -> None:
        self._header = True
        self.write_batch(pa.RecordBatch.from_pylist([], schema=schema))

    def write_batch(self, batch: pa.RecordBatch) -> None:
        text = io.BytesIO()
        pa_csv.write_csv(batch, text, pa_csv.WriteOptions(include_header=self._header))
        sys.stdout.write(text.getvalue().decode())
        self._header = False
