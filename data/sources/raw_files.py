"""Finds the files of public data sets that users keep themselves, and reads delimited text as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv


def required(raw_dir: Path | None, *, dataset: str, holds: str) -> Path:
    """`raw_dir`, or an error that says what belongs in it.

    Args:
      raw_dir: The folder that the user named.
      dataset: Name of the data set.
      holds: The files it must hold and where they come from.

    Raises:
      ValueError: If no folder was given.
      NotADirectoryError: If it is not a folder.
    """
    if raw_dir is None:
        raise ValueError(
            f"{dataset} is not fetched: give --raw_dir=DIR with {holds}; --dataset=synthetic needs no files."
        )
    if not raw_dir.is_dir():
        raise NotADirectoryError(f"{dataset}: --raw_dir={raw_dir} is not a folder.")
    return raw_dir


def find_file(directory: Path, *names: str, dataset: str) -> Path:
    """The first of several file names that exists.

    Args:
      directory: Where to look.
      *names: Names in order of preference.
      dataset: Name of the data set, for the error.

    Raises:
      FileNotFoundError: If none exists; the message names all of them.
    """
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise FileNotFoundError(
        f"{dataset}: found no {' or '.join(names)} in {directory}. Point --raw_dir to the folder that holds the data "
        "set."
    )


def read_delimited(
    path: Path,
    *,
    types: Mapping[str, pa.DataType],
    delimiter: str,
    names: Sequence[str] | None = None,
    quoted: bool = False,
    encoding: str = "utf8",
    required: Sequence[str] = (),
    nulls: Sequence[str] = ("",),
) -> pa.Table:
    """Reads the named columns of a delimited text file, compressed or not.

    Args:
      path: The file; `.gz` is decompressed.
      types: Columns wanted and their types, in the order of the result.
      delimiter: One character.
      names: Column names, if the file has no header line.
      quoted: Whether a field may be in double quotes.
      encoding: Encoding of the text.
      required: Columns that must have a value in every line.
      nulls: Fields that mean "missing".

    Returns:
      A table with exactly the columns of `types`.

    Raises:
      ValueError: If the file is not text of that form, lacks a column, or lacks a required value.
    """
    try:
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(column_names=list(names) if names else None, encoding=encoding),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, quote_char='"' if quoted else False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict(types),
                include_columns=list(types),
                null_values=list(nulls),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(f"Cannot read {path}: {str(error).splitlines()[0].strip(chr(39))}.") from error
    if table.num_rows == 0:
        raise ValueError(f"Cannot read {path}: it holds no rows.")
    for name in required:
        if table[name].null_count:
            line = table[name].is_null().combine_chunks().index(True).as_py() + (1 if names else 2)
            raise ValueError(f"Cannot read {path}: line {line} has no {name}.")
    return table
