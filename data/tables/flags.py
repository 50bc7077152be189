"""The flags with which commands name and read tables."""

from __future__ import annotations

import codecs
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
from absl import flags

from fullrank.data.command.errors import UsageError
from fullrank.data.files.find_files import find_files
from fullrank.data.schema.reading import Reading
from fullrank.data.tables.files import Dialect, TableFiles
from fullrank.data.tables.join import JoinTable
from fullrank.data.tables.text_files import NATIVE


def define_table_flags(flag_values: flags.FlagValues) -> None:
    """Defines --separator, --header and the other flags of CSV, --list_delimiter, --missing, and --join."""
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string(
        "separator",
        None,
        "Separator of the cells of CSV and TSV; 'tab' for a tab. Default: a comma, but a tab in .tsv and .txt.",
        **at,
    )
    flags.DEFINE_list(
        "header",
        None,
        "Column names, separated by commas, if CSV and TSV files do not begin with a header line; 'first' if only "
        "the first file does. I1..I13 stands for thirteen names.",
        **at,
    )
    flags.DEFINE_string(
        "quote",
        "auto",
        "Quote character around cells of CSV and TSV; 'none' if quotes are ordinary characters. "
        "auto: a double quote, unless the quotes in a file are unbalanced.",
        **at,
    )
    flags.DEFINE_string("encoding", "utf-8", "Encoding of CSV, TSV and JSON lines.", **at)
    flags.DEFINE_string(
        "comment",
        None,
        "Character that begins comment lines of CSV and TSV, for example '#'.",
        **at,
    )
    flags.DEFINE_list(
        "missing",
        None,
        "Texts that mean a missing value in every column, in addition to empty cells and \\N; numbers also recognise "
        "NA, NULL, nan and others (docs/tables.md).",
        **at,
    )
    flags.DEFINE_string(
        "list_delimiter",
        "|",
        "Separator of the values of a list within a cell of text. Lists in brackets, [1, 2], are recognised as well.",
        **at,
    )
    flags.DEFINE_multi_string(
        "join",
        None,
        "Table whose columns are joined to every row by --on, e.g. bits.parquet from fullrank hash-id. Rows without "
        "a match get missing values. May be repeated.",
        **at,
    )
    flags.DEFINE_multi_string(
        "on",
        None,
        "Key of --join: item_id, or ad_id=item_id if it is ad_id in --input and item_id in --join. One for all, or one "
        "for each --join, in order.",
        **at,
    )
    flags.DEFINE_multi_string(
        "join_prefix",
        None,
        "Prefix of the names of the added columns; one for each --join, in order. It may be empty.",
        **at,
    )


@dataclasses.dataclass(frozen=True)
class Join:
    """A table that --join names, not yet read."""

    pattern: str
    files: tuple[Path, ...]
    on: str
    key: str
    prefix: str


def read_joins(flag_values: flags.FlagValues) -> tuple[Join, ...]:
    """The tables that --join names.

    Raises:
      UsageError: If the numbers of flags do not match.
      ValueError: If a file does not exist.
    """
    patterns, keys = flag_values.join or [], flag_values.on or []
    prefixes = flag_values.join_prefix or [""] * len(patterns)
    if not patterns and not keys and not flag_values.join_prefix:
        return ()
    if not patterns or len(keys) not in (1, len(patterns)):
        raise UsageError(
            "--join needs --on=KEY, one for all or one for each. "
            f"Received: {len(patterns)} --join and {len(keys)} --on."
        )
    if len(prefixes) != len(patterns):
        raise UsageError(
            "--join_prefix is given once for each --join. "
            f"Received: {len(patterns)} --join and {len(prefixes)} prefixes."
        )
    keys = keys * len(patterns) if len(keys) == 1 else keys
    joins = []
    for pattern, on, prefix in zip(patterns, keys, prefixes, strict=True):
        key, _, own = on.partition("=")
        joins.append(Join(pattern, find_files(pattern), on=own or key, key=key, prefix=prefix))
    return tuple(joins)


def open_joins(
    connection: duckdb.DuckDBPyConnection, joins: Sequence[Join], directory: Path, *, reading: Reading | None
) -> tuple[JoinTable, ...]:
    """Reads joined tables into a database.

    Args:
      connection: The database.
      joins: The tables.
      directory: An existing directory for temporary files.
      reading: How cells are read; `None` for the defaults.

    Raises:
      ValueError: If a table cannot be read, or cannot be joined.
    """
    opened = []
    for number, join in enumerate(joins):
        folder = directory / f"join-{number}"
        folder.mkdir()
        files = TableFiles(connection, join.files, dialect=Dialect(), directory=folder)
        own = {"name": f"join{number}", "source": join.pattern, "on": join.on, "key": join.key, "prefix": join.prefix}
        opened.append(JoinTable(connection, files, missing=(reading or Reading()).missing, **own))
    return tuple(opened)


def read_dialect(flag_values: flags.FlagValues) -> Dialect:
    """The dialect of CSV files, from the flags.

    Raises:
      UsageError: If the value of a flag is invalid.
    """
    if not flag_values.list_delimiter:
        raise UsageError("--list_delimiter must not be empty.")
    return make_dialect(
        separator=flag_values.separator,
        header=tuple(name for each in flag_values.header or () for name in _numbered(each)),
        quote=flag_values.quote,
        encoding=flag_values.encoding,
        comment=flag_values.comment,
    )


def _numbered(name: str) -> list[str]:
    """The names that `I1..I13` stands for, or the name itself."""
    found = re.fullmatch(r"\s*(.*?)([0-9]{1,6})\.\.(.*?)([0-9]{1,6})\s*", name)
    if found is None or found[1] != found[3] or int(found[2]) > int(found[4]):
        return [name]
    return [f"{found[1]}{number}" for number in range(int(found[2]), int(found[4]) + 1)]


def make_dialect(
    *, separator: str | None, header: tuple[str, ...], quote: str, encoding: str, comment: str | None
) -> Dialect:
    """The dialect of CSV files, from the texts of flags.

    Raises:
      UsageError: If the value of a flag is invalid.
    """
    separator = {"tab": "\t", "\\t": "\t"}.get(separator or "", separator)
    if separator is not None and not 1 <= len(separator) <= 4:
        raise UsageError(f"--separator must be one to four characters, or tab. Received: {separator!r}.")
    quote = {"none": ""}.get(quote, quote)
    if quote != "auto" and len(quote) > 1:
        raise UsageError(f"--quote must be one character, none or auto. Received: {quote!r}.")
    if comment is not None and len(comment) != 1:
        raise UsageError(f"--comment must be one character. Received: {comment!r}.")
    return Dialect(
        separator=separator,
        header=tuple(name.strip() for name in header) or None,
        quote=quote,
        encoding=_encoding(encoding),
        comment=comment,
    )


def read_reading(flag_values: flags.FlagValues, known: Reading | None) -> Reading | None:
    """How cells are read: as the schema says, unless flags say otherwise; `None` if by default."""
    changes: dict[str, Any] = {}
    if flag_values["list_delimiter"].present:
        changes["list_delimiter"] = flag_values.list_delimiter
    if flag_values["missing"].present:
        changes["missing"] = tuple(flag_values.missing or ())
    reading = dataclasses.replace(known or Reading(), **changes)
    return None if reading == Reading() else reading


def _encoding(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        raise UsageError(
            f"--encoding={name} is not known. Common ones are utf-8, utf-16, latin-1, cp1252, gb18030, shift_jis."
        ) from None
    return {"iso8859-1": "latin-1"}.get(found, found) if found not in NATIVE else found
