"""DuckDB as this package uses it: it loads and sends nothing, and a user's expression cannot open a file."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import duckdb

MEMORY: Final = "1GB"
"""How much DuckDB keeps in memory before it spills to disk."""


@contextlib.contextmanager
def open_database(
    directory: Path, *, threads: int | None = None, readable: Sequence[Path] = (), memory: str = MEMORY
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in a directory, for tables larger than memory.

    Args:
      directory: An existing directory, for the database and for data that does not fit in memory.
      threads: Number of threads; `None` for one per core.
      readable: The files that queries may read; nothing else outside `directory` can be opened.
      memory: Memory limit, as DuckDB writes it.
    """
    threads = threads if threads is not None else cores()
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "memory_limit": memory,
        "temp_directory": str(directory / "spilled"),
    }
    connection = duckdb.connect(str(directory / "rows.duckdb"), config=config)
    try:
        connection.execute("SET allowed_directories = ?", [[str(directory)]])
        connection.execute("SET allowed_paths = ?", [[str(file) for file in readable]])
        _lock(connection)
        yield connection
    finally:
        connection.close()


def in_memory() -> duckdb.DuckDBPyConnection:
    """A cursor of a database in memory, for a few rows at a time."""
    return _shared().cursor()


@functools.cache
def _shared() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={"threads": 1})
    _lock(connection)
    return connection


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    # The value ranges in Parquet files ignore NaN, and DuckDB would infer from them that no cell is NaN.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    # A name in an expression is a column or an error, never a variable of this program.
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
