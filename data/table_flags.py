"""The flags by which commands name and read tables."""

from __future__ import annotations

import pyarrow as pa
from absl import flags

from fullrank.data.bad_rows import BadRows
from fullrank.data.command_errors import UsageError
from fullrank.data.join_table import JoinTable
from fullrank.data.table_columns import FILE_COLUMN, ROW_COLUMN
from fullrank.data.table_reader import TableReader, find_files


def define_table_flags(flag_values: flags.FlagValues) -> None:
    """Defines --separator, --header, --list_delimiter, and --join with its companions."""
    flags.DEFINE_string(
        "separator",
        None,
        "What separates the cells of CSV and TSV; 'tab' for a tab. By default a comma, and a tab in .tsv and .txt.",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "header",
        None,
        "Column names, separated by commas, if CSV and TSV files do not begin with a line of names.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "list_delimiter",
        "|",
        "What separates the values of a list within a cell of text. Lists in brackets, [1, 2], are recognised as well.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "join",
        None,
        "Table whose columns are added to every row by --on, e.g. bits.parquet of fullrank.data.hash_id; it is held in "
        "memory. Rows without a partner get missing values. May be repeated.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "on",
        None,
        "Key of --join: item_id, or ad_id=item_id if it is ad_id in --input and item_id in --join. One for all, or one "
        "for each --join, in order.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "join_prefix",
        None,
        "Goes before the names of added columns; one for each --join, in order. It may be empty.",
        flag_values=flag_values,
    )


def read_joins(flag_values: flags.FlagValues) -> tuple[JoinTable, ...]:
    """The tables that --join names, in memory.

    Raises:
      UsageError: If the numbers of flags do not fit each other.
      ValueError: If a table cannot be read, or cannot be joined.
    """
    files, keys = flag_values.join or [], flag_values.on or []
    prefixes = flag_values.join_prefix or [""] * len(files)
    if not files and not keys and not flag_values.join_prefix:
        return ()
    if not files or len(keys) not in (1, len(files)):
        raise UsageError(
            f"--join needs --on=KEY, one for all or one for each. Received: {len(files)} --join and {len(keys)} --on."
        )
    if len(prefixes) != len(files):
        raise UsageError(
            f"--join_prefix is given once for each --join. Received: {len(files)} --join and {len(prefixes)} prefixes."
        )
    keys = keys * len(files) if len(keys) == 1 else keys
    return tuple(_read_join(*given) for given in zip(files, keys, prefixes, strict=True))


def _read_join(pattern: str, on: str, prefix: str) -> JoinTable:
    key, _, own = on.partition("=")
    batches = [
        batch.drop_columns([FILE_COLUMN, ROW_COLUMN]) for batch in TableReader(files=find_files(pattern)).batches()
    ]
    if not batches:
        raise ValueError(f"--join={pattern} has no rows.")
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    table = pa.concat_tables(tables, promote_options="permissive")
    return JoinTable(table, source=pattern, on=own or key, key=key, prefix=prefix)


def make_table_reader(
    pattern: str,
    *,
    flag_values: flags.FlagValues,
    bad_rows: BadRows | None = None,
    joins: tuple[JoinTable, ...] = (),
) -> TableReader:
    """The files that `pattern` names, read as the flags say, with the columns of `joins`.

    Raises:
      UsageError: If a separator or delimiter is not one character.
    """
    separator = {"tab": "\t", "\\t": "\t"}.get(flag_values.separator, flag_values.separator)
    if separator is not None and len(separator) != 1:
        raise UsageError(f"--separator must be one character, or tab. Received: {separator!r}.")
    if not flag_values.list_delimiter:
        raise UsageError("--list_delimiter must not be empty.")
    return TableReader(
        files=find_files(pattern),
        separator=separator,
        header=tuple(name.strip() for name in flag_values.header) if flag_values.header else None,
        bad_rows=BadRows() if bad_rows is None else bad_rows,
        joins=joins,
    )
