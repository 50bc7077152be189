"""Flags as advice shows them: a shell passes them on as they are meant, and expressions name the columns of tables."""

from __future__ import annotations

import functools
import shlex

from fullrank.data.tables.canonical import identifier
from fullrank.data.tables.database import in_memory

_SPECIAL = str.maketrans({character: f"\\{character}" for character in '\\"$`'})
"""What a shell reads between double quotes."""


def written_flag(flag: str, value: str) -> str:
    """A flag as a shell reads it; a value that holds single quotes stands between double ones."""
    return f'--{flag}="{value.translate(_SPECIAL)}"' if "'" in value else f"--{flag}={shlex.quote(value)}"


def in_expression(column: str) -> str:
    """The name of a column in an expression, quoted unless it is a plain word that SQL does not use itself."""
    plain = column.isascii() and column.isidentifier() and column.lower() not in _keywords()
    return column if plain else identifier(column)


@functools.cache
def _keywords() -> frozenset[str]:
    """The words that cannot name a column without quotes."""
    found = in_memory().execute(
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
    )
    return frozenset(name for (name,) in found.fetchall())
