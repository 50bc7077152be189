"""Reading CSV, TSV and Parquet files with the row that every value came from, and dividing rows into splits."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullrank import data
from fullrank.data import table_reader
from fullrank.data.bad_rows import BadRows, TooManyBadRowsError
from fullrank.data.split_rows import SplitRows, at_random, by_column, by_time, whole
from fullrank.data.table_columns import FILE_COLUMN, ROW_COLUMN
from fullrank.data.table_reader import TableReader, find_files


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(reader: TableReader, columns: Sequence[str] | None = None) -> list[tuple[Any, ...]]:
    """All rows as tuples: file name, row number, cells."""
    rows: list[tuple[Any, ...]] = []
    for batch in reader.batches(columns):
        table = batch.to_pydict()
        files, numbers = table.pop(FILE_COLUMN), table.pop(ROW_COLUMN)
        rows += [(Path(f).name, n, *cells) for f, n, *cells in zip(files, numbers, *table.values(), strict=True)]
    return rows


def test_every_kind_of_file_gives_its_rows_with_their_numbers(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", '\ufeffx,y\n1,"two\nlines"\n\n,"say ""hi"""\n')
    write(tmp_path / "b.tsv", "x\ty\n3\t\n")
    write(tmp_path / "c.csv.gz", gzip.compress(b"x,y\r\n4,\xff\r\n"))
    pq.write_table(pa.table({"y": ["p", "q"], "x": [5, 6]}), tmp_path / "d.parquet", row_group_size=1)
    reader = TableReader(files=find_files(f"{tmp_path}/*.csv,{tmp_path}/*.tsv,{tmp_path}/*.gz,{tmp_path}/*.parquet"))
    assert rows_of(reader, ["x", "y"]) == [
        ("a.csv", 1, b"1", b"two\nlines"),
        ("a.csv", 2, None, b'say "hi"'),
        ("b.tsv", 1, b"3", None),
        ("c.csv.gz", 1, b"4", b"\xff"),
        ("d.parquet", 1, "p", 5),
        ("d.parquet", 2, "q", 6),
    ]
    assert rows_of(reader, ["y"])[0] == ("a.csv", 1, b"two\nlines")
    assert [row[:2] for row in rows_of(reader, [])] == [row[:2] for row in rows_of(reader)]


def test_a_separator_and_a_header_of_ones_own(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "1;2\n3;4\n")
    reader = TableReader(files=(file,), separator=";", header=("p", "q"))
    assert reader.names(file) == ["p", "q"]
    assert rows_of(reader, ["q"]) == [("a.csv", 1, b"2"), ("a.csv", 2, b"4")]


def test_malformed_lines_fail_or_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "_BLOCK_BYTES", 16)  # a few rows a block, so that numbers go on over blocks
    lines = [f"{n},{n}" for n in range(1, 41)]
    lines[6], lines[20] = "7", "21,21,21"
    file = write(tmp_path / "a.csv", "x,y\n" + "\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"a\.csv, row 7: 1 cells instead of 2: '7'\. \(--on_bad_record=skip leaves"):
        rows_of(TableReader(files=(file,)))
    bad_rows = BadRows(on_bad_record="skip", max_fraction=0.05)
    reader = TableReader(files=(file,), bad_rows=bad_rows)
    for _ in range(2):
        assert [(row[1], int(row[2])) for row in rows_of(reader)] == [(n, n) for n in range(1, 41) if n not in (7, 21)]
    assert (bad_rows.skipped, bad_rows.seen) == (2, 40)
    assert bad_rows.report().startswith("Left out 2 bad rows of 40. The first: ")
    bad_rows.check()
    bad_rows.add("one more")
    with pytest.raises(TooManyBadRowsError, match=r"^3 of 40 rows are bad, more than --max_bad_fraction=0\.05 allows"):
        bad_rows.check()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv: cannot be read: Empty CSV file"),
        ("a.csv.gz", gzip.compress(b"x,y\n" + os.urandom(10_000).hex().encode())[:-100], "cannot be read: Truncated"),
        ("a.parquet", b"PAR1 no more", "a.parquet: cannot be read: "),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    reader = TableReader(files=(write(tmp_path / name, content),))
    with pytest.raises(ValueError, match=message):
        rows_of(reader)


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No file matches '.*none\*'\."):
        find_files(f"{tmp_path}/none*")
    with pytest.raises(FileNotFoundError, match="is a directory: name its files, for example"):
        find_files(str(tmp_path))
    with pytest.raises(ValueError, match=r"a\.json: the name must end in \.csv"):
        find_files(str(write(tmp_path / "a.json", "{}")))
    file = write(tmp_path / "a.csv", "x\n1\n")
    assert find_files(f"{file}, {tmp_path}/*.csv") == (file,)


SCHEMA = data.Schema(
    name="log", features=(data.Sparse(name="x"),), labels=(data.Label(name="click"),), time="time", time_unit="s"
)


def log_reader(directory: Path, times: Sequence[object], **columns: Sequence[object]) -> TableReader:
    """Two files with the number of the row as x."""
    rows: list[list[Any]] = [
        [number, number % 2, time, *(cells[number] for cells in columns.values())] for number, time in enumerate(times)
    ]
    header = ["x", "click", "time", *columns]
    half = len(rows) // 2
    for name, part in (("a.csv", rows[:half]), ("b.csv", rows[half:])):
        write(directory / name, "\n".join(",".join(map(str, row)) for row in [header, *part]) + "\n")
    return TableReader(files=find_files(f"{directory}/*.csv"), bad_rows=BadRows())


def numbers(split: SplitRows) -> list[int]:
    found = [int(cell) for batch in split() for cell in batch.column("x").to_pylist()]
    assert len(found) == split.rows
    return found


@given(times=st.lists(st.integers(0, 6), min_size=10, max_size=60))
def test_a_split_by_time_is_that_of_a_stable_sort(tmp_path_factory: pytest.TempPathFactory, times: list[int]) -> None:
    reader = log_reader(tmp_path_factory.mktemp("time"), times)
    splits = by_time(reader, schema=SCHEMA, fractions=(0.8, 0.1, 0.1), max_distinct_in_memory=3)
    order = np.argsort(times, kind="stable")
    first, second = round(0.8 * len(times)), round(0.9 * len(times))
    expected = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    # Rows keep the order of the files.
    assert {name: numbers(split) for name, split in splits.items()} == {
        name: sorted(chosen.tolist()) for name, chosen in expected.items()
    }


def test_rows_without_a_time_cannot_be_split_by_time(tmp_path: Path) -> None:
    times = [5, 4, 3, 2, 1, "", 7, "never", 9, 10]
    with pytest.raises(ValueError, match=r"b\.csv, row 1, column 'time': an empty cell is no time, by which rows are"):
        by_time(log_reader(tmp_path, times), schema=SCHEMA, fractions=(0.5, 0.5))
    reader = log_reader(tmp_path, times)
    reader.bad_rows.on_bad_record = "skip"
    splits = by_time(reader, schema=SCHEMA, fractions=(0.5, 0.5))
    assert {name: numbers(split) for name, split in splits.items()} == {
        "train": [1, 2, 3, 4],
        "validation": [0, 6, 8, 9],
    }
    assert reader.bad_rows.skipped == 2


def test_a_split_by_time_needs_a_time(tmp_path: Path) -> None:
    schema = data.Schema(name="log", features=SCHEMA.features, labels=SCHEMA.labels)
    with pytest.raises(ValueError, match='--split=time needs a time column in the schema: set its "time", or use'):
        by_time(log_reader(tmp_path, [1, 2]), schema=schema, fractions=(0.5, 0.5))


def test_a_random_split_is_the_same_every_time_and_has_the_shares_asked_for(tmp_path: Path) -> None:
    reader = log_reader(tmp_path, range(10_000))
    splits = {n: numbers(s) for n, s in at_random(reader, schema=SCHEMA, fractions=(0.8, 0.15, 0.05)).items()}
    assert sorted(number for found in splits.values() for number in found) == list(range(10_000))
    # Within five standard deviations of the binomial distribution: 5 * sqrt(10,000 * .8 * .2) = 200.
    assert abs(len(splits["train"]) - 8000) < 200
    assert abs(len(splits["test"]) - 500) < 110
    again = at_random(reader, schema=SCHEMA, fractions=(0.8, 0.15, 0.05))
    assert {name: numbers(split) for name, split in again.items()} == splits
    other = at_random(reader, schema=SCHEMA, fractions=(0.8, 0.15, 0.05), seed=1)
    assert numbers(other["test"]) != splits["test"]
    # Neighbouring rows are not more likely to be in the same split than others.
    inside = np.isin(np.arange(10_000), splits["train"])
    assert abs(np.corrcoef(inside[1:], inside[:-1])[0, 1]) < 0.05


def test_a_column_may_name_the_split(tmp_path: Path) -> None:
    fold = ["test", "train", "train", "extra", "validation", "train"]
    reader = log_reader(tmp_path, range(6), fold=fold)
    splits = by_column(reader, schema=SCHEMA, column="fold")
    assert list(splits) == ["train", "validation", "test", "extra"]
    assert {n: numbers(s) for n, s in splits.items()} == {
        "train": [1, 2, 5],
        "validation": [4],
        "test": [0],
        "extra": [3],
    }
    with pytest.raises(ValueError, match=r"a\.csv has no column 'Fold', which --split_column names\."):
        by_column(reader, schema=SCHEMA, column="Fold")
    with pytest.raises(ValueError, match=r"Column 'fold' must hold the name of a split on every row\. It holds ''\."):
        by_column(log_reader(tmp_path, range(2), fold=["", "train"]), schema=SCHEMA, column="fold")


def test_all_rows_may_be_one_split(tmp_path: Path) -> None:
    assert numbers(whole(log_reader(tmp_path, range(7)), schema=SCHEMA)) == list(range(7))
