"""Files as DuckDB reads them: which query reads which files, and the names of their columns in it."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq

from fullrank.data.files.find_files import SEPARATORS, Format, ending, format_of, partition_of
from fullrank.data.tables.canonical import TEXT_LIST, VARCHAR, identifier, literal
from fullrank.data.tables.columns import TableColumn
from fullrank.data.tables.example_tables import LINES, ExampleTable, examples_as_arrow
from fullrank.data.tables.naming_errors import naming_errors, unreadable
from fullrank.data.tables.text_files import NATIVE, names_in_first_line, rewritten

FILE: Final = "file"
"""Column of the query that says which file a row came from."""
BROKEN: Final = "broken"
"""Column of the query that is true if a line is not a row at all."""
PAIRS: Final = ("feature_ids", "feature_weights")
"""Columns of libsvm files."""
FIRST: Final = ("first",)
_LONGEST_LINE: Final = 16 << 20
_SHOWN_OF_REJECTS: Final = 4_096
_SAMPLED_LINES: Final = 20_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dialect:
    """How CSV files are written.

    Attributes:
      separator: Between cells; `None` for a comma, or a tab in .tsv and .txt.
      header: Column names if files have no header line, `FIRST` if only the first has one, `None` if all do.
      quote: The quote character, "" if there is none, or `auto`: a double quote, unless quotes are unbalanced.
      encoding: Encoding of the text, as Python names it.
      comment: Beginning of lines that are comments; `None` for none.
    """

    separator: str | None = None
    header: tuple[str, ...] | None = None
    quote: str = "auto"
    encoding: str = "utf-8"
    comment: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """Files that one query reads.

    Attributes:
      files: In the order of their rows.
      format: Format of all of them.
      columns: Name of a column -> its expression in the query.
      sql: The FROM expression, which also has the columns `FILE` and `BROKEN`.
      broken: Message about a broken line, whose text is in column `LINES`; `None` if no line can be broken.
    """

    files: tuple[Path, ...]
    format: Format
    columns: dict[str, TableColumn]
    sql: str
    broken: str | None = None


class TableFiles:
    """Tables in files, in order.

    Args:
      connection: A database that may read the files.
      files: From `find_files`.
      dialect: Dialect of those that are CSV.
      directory: For copies of files that DuckDB cannot read directly.

    Raises:
      ValueError: If a file cannot be read, or has a column more than once.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[Path],
        *,
        dialect: Dialect,
        directory: Path,
    ) -> None:
        self.files = tuple(files)
        self.dialect = dialect
        self._connection = connection
        self._directory = directory
        self._copies: dict[Path, Path] = {}
        self._originals: dict[str, Path] = {}
        self._left_out: dict[str, list[int]] = {}
        self._unquoted: set[Path] = set()
        self._examples: dict[Path, ExampleTable] = {}
        described = [(file, self._key(file)) for file in self.files]
        self._groups = [
            tuple(file for file, _ in group) for _, group in itertools.groupby(described, key=lambda each: each[1])
        ]

    @property
    def names(self) -> dict[str, None]:
        """Every column that any of the files has, in order."""
        return {name: None for part in self.parts() for name in part.columns}

    def parts(self) -> Iterator[Part]:
        """The queries, in the order of the files."""
        for files in self._groups:
            yield self.part(files)

    def part(self, files: tuple[Path, ...]) -> Part:
        """The query of some files of one group."""
        kind = format_of(files[0])
        readers = {"csv": self._csv, "json": self._json, "libsvm": self._libsvm, "parquet": self._parquet}
        part = {**readers, "arrow": self._arrow, "example": self._example}[kind](files)
        folders = partition_of(files[0])
        own = {name: TableColumn(_constant(value), VARCHAR) for name, value in folders.items()}
        return dataclasses.replace(part, columns={**part.columns, **own})

    def named(self, file: str) -> Path:
        """The file that was given, for its name in a query's result."""
        return self._originals.get(file, Path(file))

    def line(self, file: str, number: int) -> int:
        """The number of a line in the file that was given."""
        return number + bisect.bisect_right(self._left_out.get(file, []), number)

    def rewrite(self, file: Path) -> bool:
        """From now on reads a file from a copy with one kind of line break; returns whether this is new."""
        if file in self._copies:
            return False
        self._copy(file)
        return True

    def read_unquoted(self, file: Path, *, chosen: bool = True) -> None:
        """From now on treats quotes in this file as ordinary characters, or no longer if not `chosen`."""
        (self._unquoted.add if chosen else self._unquoted.discard)(file)
        if self.dialect.comment is not None:
            self._copies.pop(file, None)  # which lines are comments depends on the quotes

    def quote(self, file: Path) -> str:
        """The quote character of a file, "" for none."""
        if file in self._unquoted:
            return ""
        return '"' if self.dialect.quote == "auto" else self.dialect.quote

    def separator(self, file: Path) -> str:
        """The separator of the cells of a CSV file."""
        return self.dialect.separator or SEPARATORS[ending(file)]

    def _key(self, file: Path) -> Any:
        """Files of equal keys can be read by one query."""
        part = self.part((file,))
        separator = self.separator(file) if part.format == "csv" else None
        first = self.dialect.header == FIRST and file == self.files[0]
        columns = tuple((name, str(column.type)) for name, column in part.columns.items())
        return (
            part.format,
            separator,
            first,
            columns,
            tuple(partition_of(file).items()),
            part.format in ("arrow", "example") and file,
        )

    def _names(self, file: Path) -> list[str]:
        header = self.dialect.header
        if header is not None and header != FIRST:
            return list(header)
        first = self.files[0] if header == FIRST else file
        names = names_in_first_line(
            self._copies.get(first, first),
            separator=self.separator(file),
            quote=self.quote(file),
            encoding="utf-8" if first in self._copies else self.dialect.encoding,
            comment=self.dialect.comment,
        )
        if not names:
            raise ValueError(f"{first}: cannot be read: it is empty, without a header line.")
        return names

    def _csv(self, files: tuple[Path, ...]) -> Part:
        names = self._names(files[0])
        check_once(names, source=str(files[0]))
        quote = literal(self.quote(files[0]))
        header = self.dialect.header is None or (self.dialect.header == FIRST and files[0] == self.files[0])
        options = {
            "header": str(header).lower(),
            "delim": literal(self.separator(files[0])),
            **{"quote": quote, "escape": quote},
        }
        for file in files if self.dialect.comment is not None else ():
            self._copy(file)
        sql = self._scan(files, [f"c{number}" for number in range(len(names))], options)
        columns = {name: TableColumn(f"c{number}", VARCHAR) for number, name in enumerate(names)}
        return Part(files=files, format="csv", columns=columns, sql=f"(SELECT *, FALSE AS {BROKEN} FROM {sql})")

    def _json(self, files: tuple[Path, ...]) -> Part:
        lines = self._scan(files, [LINES], {"header": "false", "delim": "''", "quote": "''", "escape": "''"})
        valid = f"(CASE WHEN json_valid({LINES}) THEN json_type({LINES}) = 'OBJECT' ELSE FALSE END)"
        some = f"(SELECT {LINES}, row_number() OVER () AS place FROM {lines} LIMIT {_SAMPLED_LINES})"
        keys = f"(SELECT {LINES}, place, unnest(json_keys(CASE WHEN {valid} THEN {LINES} END)) AS key FROM {some})"
        kinds = f"(SELECT key, place, json_type({LINES}, '$.' || json_quote(key)) AS kind FROM {keys})"
        found = self._connection.execute(
            f"SELECT key, bool_and(kind = 'ARRAY') FROM {kinds} WHERE kind <> 'NULL' GROUP BY key "
            "ORDER BY min(place), key"
        ).fetchall()
        paths = ", ".join(f"'$.' || json_quote({literal(key)})" for key, _ in found)
        columns = {}
        for number, (name, is_list) in enumerate(found):
            text = f"cells[{number + 1}]"
            # A number with a fraction is a double: one that is no longer exact is spelled such that it is not an id.
            whole = f"regexp_full_match({text}, '-?[0-9]{{16,}}[.]0') AND abs(TRY_CAST({text} AS DOUBLE)) > {2**53}"
            exact = f"CASE WHEN {whole} THEN {text} || 'e0' ELSE {text} END"
            listed = TableColumn(f"from_json({text}, '[\"VARCHAR\"]')", TEXT_LIST)
            columns[name] = listed if is_list else TableColumn(exact, VARCHAR)
        cells = f"CASE WHEN {valid} THEN json_extract_string({LINES}, [{paths}]) END"
        sql = (
            f"(SELECT {FILE}, {LINES}, coalesce(NOT {valid}, TRUE) AS {BROKEN}, {cells} AS cells FROM {lines} "
            f"WHERE {LINES} IS NOT NULL)"
        )
        return Part(files=files, format="json", columns=columns, sql=sql, broken="is not a JSON object")

    def _libsvm(self, files: tuple[Path, ...]) -> Part:
        """A label, optionally qid:id, and pairs id:weight, separated by blanks; text after # is a comment."""
        lines = self._scan(files, [LINES], {"header": "false", "delim": "''", "quote": "''", "escape": "''"})
        words = f"regexp_split_to_array(trim(split_part({LINES}, '#', 1)), '\\s+')"
        qid = "starts_with(coalesce(words[2], ''), 'qid:')"
        pairs = f"words[CASE WHEN {qid} THEN 3 ELSE 2 END :]"
        wrong = f"len(list_filter({pairs}, lambda p: NOT regexp_full_match(p, '[^:]+:[^:]+'))) > 0"
        sql = (
            f"(SELECT {FILE}, {LINES}, contains(words[1], ':') OR {wrong} AS {BROKEN}, words[1] AS label, "
            f"CASE WHEN {qid} THEN substr(words[2], 5) END AS qid, {pairs} AS pairs "
            f"FROM (SELECT {FILE}, {LINES}, {words} AS words FROM {lines}) WHERE words[1] <> '')"
        )
        taken = {name: f"list_transform(pairs, lambda p: split_part(p, ':', {k + 1}))" for k, name in enumerate(PAIRS)}
        columns = {"label": TableColumn("label", VARCHAR)}
        if self._connection.execute(f"SELECT 1 FROM {sql} WHERE qid IS NOT NULL LIMIT 1").fetchall():
            columns["qid"] = TableColumn("qid", VARCHAR)
        columns |= {name: TableColumn(expression, TEXT_LIST) for name, expression in taken.items()}
        return Part(files=files, format="libsvm", columns=columns, sql=sql, broken="is not a label and pairs id:weight")

    def _scan(self, files: tuple[Path, ...], columns: list[str], options: dict[str, str]) -> str:
        encoding = self.dialect.encoding
        copied = [file for file in files if file in self._copies or file.suffix.lower() == ".bz2"]
        if encoding not in NATIVE or (copied and encoding != "utf-8"):
            # A query reads one encoding, and copies are in UTF-8.
            copied, encoding = list(files), "utf-8"
        for file in copied:
            self._copy(file)
        paths = ", ".join(literal(str(self._copies.get(file, file))) for file in files)
        types = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in columns)
        given = {
            **{"auto_detect": "false", "columns": f"{{{types}}}", "filename": literal(FILE)},
            **{"store_rejects": "true", "rejects_limit": "0", "rejects_line_size_limit": str(_SHOWN_OF_REJECTS)},
            **{
                "encoding": literal(encoding),
                "max_line_size": str(_LONGEST_LINE),
            },
            **options,
        }
        scan = f"read_csv([{paths}], {', '.join(f'{name} = {value}' for name, value in given.items())})"
        copies = {copy: file for file in files if (copy := self._copies.get(file)) is not None}
        if not copies:
            return scan
        # A row is identified by the file that was given, not by the copy.
        cases = " ".join(f"WHEN {literal(str(copy))} THEN {literal(str(file))}" for copy, file in copies.items())
        return f"(SELECT * REPLACE (CASE {FILE} {cases} ELSE {FILE} END AS {FILE}) FROM {scan})"

    def _parquet(self, files: tuple[Path, ...]) -> Part:
        with naming_errors(files[0]):
            names = list(pq.read_schema(files[0]).names)
        check_once(names, source=str(files[0]))
        paths = ", ".join(literal(str(file)) for file in files)
        scan = f"read_parquet([{paths}], filename = 'fullrank.file', hive_partitioning = false)"
        return self._typed(files, "parquet", names, scan, '"fullrank.file"')

    def _arrow(self, files: tuple[Path, ...]) -> Part:
        view = f"arrow_{self.files.index(files[0])}"
        with naming_errors(files[0]):
            table = pa_dataset.dataset(files[0], format="ipc")
            self._connection.register(view, table)
        names = list(table.schema.names)
        check_once(names, source=str(files[0]))
        return self._typed(files, "arrow", names, view, literal(str(files[0])))

    def _example(self, files: tuple[Path, ...]) -> Part:
        view = f"examples_{self.files.index(files[0])}"
        if files[0] not in self._examples:
            self._examples[files[0]] = examples_as_arrow(files[0], directory=self._directory, stem=view)
        found = self._examples[files[0]]
        self._connection.register(view, found.rows)
        kinds = self._connection.sql(f"FROM {view}").types[1:]
        columns = {}
        for name, place in found.places.items():
            single = TableColumn(f"c{place}[1]", dict(kinds[place].children)["child"])
            columns[name] = TableColumn(f"c{place}", kinds[place]) if name in found.listed else single
        sql = f"(SELECT *, {literal(str(files[0]))} AS {FILE}, {LINES} IS NOT NULL AS {BROKEN} FROM {view})"
        return Part(files=files, format="example", columns=columns, sql=sql, broken="is not a tf.train.Example")

    def _typed(self, files: tuple[Path, ...], kind: Format, names: list[str], scan: str, file: str) -> Part:
        try:
            rows = self._connection.sql(f"FROM {scan}")
        except duckdb.Error as error:
            raise unreadable(files[0], error) from error
        own = list(zip(rows.columns, rows.types, strict=True))[: len(names)]
        cells = ", ".join(f"{identifier(written)} AS c{number}" for number, (written, _) in enumerate(own))
        columns = {name: TableColumn(f"c{number}", own[number][1]) for number, name in enumerate(names)}
        sql = f"(SELECT {file} AS {FILE}, FALSE AS {BROKEN}, {cells} FROM {scan})"
        return Part(files=files, format=kind, columns=columns, sql=sql)

    def _copy(self, file: Path) -> None:
        if file not in self._copies:
            with naming_errors(file):
                copy, left_out = rewritten(
                    file,
                    directory=self._directory,
                    number=len(self._originals),
                    encoding=self.dialect.encoding,
                    comment=self.dialect.comment if format_of(file) == "csv" else None,
                    quote=self.quote(file),
                )
            self._left_out[str(copy)] = [line - before for before, line in enumerate(left_out)]
            self._copies[file] = copy
            self._originals[str(copy)] = file


def check_once(names: Sequence[str], *, source: str) -> None:
    """Rejects a table with two columns of the same name.

    Raises:
      ValueError: If there are two; the message names the column.
    """
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"{source} has column {twice!r} more than once. Rename one of them; names of CSV columns can be given by "
            "--header if the file has no header line."
        )


def _constant(value: str | None) -> str:
    return "CAST(NULL AS VARCHAR)" if value is None else literal(value)
