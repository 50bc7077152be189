"""The flags by which commands name and read tables."""

from __future__ import annotations

from absl import flags

from fullrank.data.bad_rows import BadRows
from fullrank.data.command_errors import UsageError
from fullrank.data.table_reader import TableReader, find_files


def define_table_flags(flag_values: flags.FlagValues) -> None:
    """Defines --separator, --header and --list_delimiter."""
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


def make_table_reader(pattern: str, *, flag_values: flags.FlagValues, bad_rows: BadRows | None = None) -> TableReader:
    """The files that `pattern` names, read as the flags say.

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
    )
