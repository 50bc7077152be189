"""Reading files of every kind into staged rows, and dividing rows into splits."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from staged_tables import XY, staged, write

from fullrank import data
from fullrank.data.files.find_files import find_files
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.files import Dialect


def cells(directory: Path, *patterns: str, **given: Any) -> list[tuple[Any, ...]]:
    """X and y of all good rows."""
    with staged(directory, *patterns, **given) as rows:
        return list(rows.connection.execute("SELECT s0, s1 FROM staged WHERE bad IS NULL").fetchall())


GOOD = [(1, b"two\nlines"), (None, b'say "hi"'), (3, None)]


CUT_GZIP = gzip.compress(b"x,y\n" + np.random.default_rng(1).bytes(10_000).hex().encode(), mtime=0)[:-100]


CSV = 'x,y\n1,"two\nlines"\n\n,"say ""hi"""\n3,\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.csv", f"\ufeff{CSV}"),
        ("a.csv", 'x , y\n1,"two\nlines"\n,"say ""hi"""\n3.0,\\N\n'),
        ("a.csv", CSV.rstrip("\n")),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv.bz2", bz2.compress(CSV.encode())),
        ("a.csv.zst", pa.compress(CSV.encode(), codec="zstd", asbytes=True)),
        ("a.jsonl", '{"x": 1, "y": "two\\nlines"}\n\n{"y": "say \\"hi\\"", "z": [1]}\n{"x": 3.0, "y": null}\n'),
    ],
)
def test_every_kind_of_text_gives_the_same_rows(tmp_path: Path, name: str, content: str | bytes) -> None:
    write(tmp_path / name, content)
    assert cells(tmp_path, "a.*") == GOOD


def test_line_breaks_may_be_of_two_kinds(tmp_path: Path) -> None:
    # DuckDB reads each of these alone only; the second would be read as an empty table if one kind were named.
    write(tmp_path / "a.csv", b"x,y\n1,a\n2,b\r\n3,c\n")
    write(tmp_path / "b.csv", b"x,y\r\n4,d\r\n5,e\n6,f\r\n")
    assert cells(tmp_path, "*.csv") == [(n, b"%c" % (96 + n)) for n in range(1, 7)]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_typed_tables_give_the_same_rows(tmp_path: Path, kind: str) -> None:
    table = pa.table({"y": ["two\nlines", 'say "hi"', None], "x": pa.array([1, None, 3], pa.float64())})
    if kind == "parquet":
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    else:
        feather.write_feather(table, tmp_path / "a.arrow")
    assert cells(tmp_path, "a.*") == GOOD


def test_files_of_all_kinds_are_one_table(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n1,7.0\n")
    write(tmp_path / "b.csv", "y,more,x\n007,0,2\n")  # another order, another column
    write(tmp_path / "c.csv", "x\n3\n")  # a column less
    pq.write_table(pa.table({"y": [7, 8], "x": ["4", None]}), tmp_path / "d.parquet")
    pq.write_table(pa.table({"y": pa.array([b"\xff"], pa.binary()), "x": [5]}), tmp_path / "e.parquet")
    assert cells(tmp_path, "*.*") == [(1, b"7"), (2, b"007"), (3, None), (4, b"7"), (None, b"8"), (5, b"\xff")]


def test_folders_may_name_columns(tmp_path: Path) -> None:
    for day in ("7", "8", "__HIVE_DEFAULT_PARTITION__"):
        write(tmp_path / f"y={day}" / "a.csv", "x\n1\n")
    assert cells(tmp_path, "*/*.csv") == [(1, b"7"), (1, b"8"), (1, None)]
    # As a URL spells them; a % that no hexadecimal digits follow is itself.
    for number, day in enumerate(("news%2Fsport", "x%3Ay%25", "50%", "it%27s")):
        write(tmp_path / "written" / f"y={day}" / f"{number}.csv", f"x\n{number}\n")
    found = sorted(cells(tmp_path, "written/*/*.csv"))
    assert found == [(0, b"news/sport"), (1, b"x:y%"), (2, b"50%"), (3, b"it's")]


EXACT = ["1234567890123456780.0", "1234567890123456781.0", "9223372036854775807"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_no_id_passes_through_a_float(tmp_path: Path, name: str) -> None:
    spelled = EXACT if name == "a.csv" else [text.removesuffix(".0") for text in EXACT]
    lines = (
        [f'{{"x": {x}, "y": {x}}}' for x in spelled] if name == "a.jsonl" else ["x,y", *(f"{x},{x}" for x in spelled)]
    )
    write(tmp_path / name, "\n".join(lines) + "\n")
    whole = [int(text.removesuffix(".0")) for text in EXACT]
    assert cells(tmp_path, "a.*") == [(number, str(number).encode()) for number in whole]


def test_json_numbers_with_a_fraction_are_floats(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", '{"x": 9007199254740992.0, "y": 1000000000000001.0}\n')
    assert cells(tmp_path, "a.*") == [(2**53, b"1000000000000001")]
    write(tmp_path / "a.jsonl", '{"x": 9007199254740994.0, "y": 1}\n')  # beyond 2^53
    with pytest.raises(ValueError, match=r"row 1, column 'x': '9007199254740994\.0e0' is not a 64-bit whole number"):
        cells(tmp_path, "a.*")


@pytest.mark.parametrize(
    ("kind", "value", "x", "y"),
    [
        (pa.uint64(), 2**64 - 1, None, b"18446744073709551615"),
        (pa.decimal128(38, 0), 2**100, None, str(2**100).encode()),
        (pa.decimal128(10, 2), 3, 3, b"3"),
        (pa.float64(), 2.0**53, 2**53, b"9007199254740992"),
        (pa.float64(), 2.0**53 + 2, None, None),
        (pa.float32(), 2.0**24 + 2, None, None),
        (pa.bool_(), True, 1, b"true"),
        (pa.string(), "0x10", None, b"0x10"),
        (pa.string(), "1e5", None, b"1e5"),
        (pa.string(), "-1", None, b"-1"),
        (pa.string(), "007", 7, b"007"),
        (pa.string(), "7.0", 7, b"7"),
        (pa.string(), " 7 ", 7, b"7"),
        (pa.string(), "7.5", None, b"7.5"),
        (pa.string(), "1.10", None, b"1.10"),
        (pa.string(), "1_000", None, b"1_000"),
        (pa.string(), "NA", None, b"NA"),
    ],
)
def test_the_canonical_form_of_an_id(
    tmp_path: Path, kind: pa.DataType, value: Any, x: int | None, y: bytes | None
) -> None:
    """As a 64-bit whole number and as text; a number that cannot be exact makes its row a bad one."""
    pq.write_table(pa.table({"x": pa.array([value], kind)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"y": pa.array([value], kind)}), tmp_path / "b.parquet")
    skip = BadRows(on_bad_record="skip", max_fraction=1.0)
    assert cells(tmp_path, "a.parquet", optional={"y", "click"}, bad_rows=skip) == (
        [(x, None)] if x is not None or value in ("NA", "-1") else []
    )
    assert cells(tmp_path, "b.parquet", optional={"x", "click"}, bad_rows=skip) == (
        [(None, y)] if y is not None else []
    )


def test_words_for_missing_can_be_given(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n-,-\nNULL,NULL\n0,0\n#N/A,none\n")
    assert cells(tmp_path, "a.csv") == [(None, b"-"), (None, b"NULL"), (0, b"0"), (None, b"none")]
    given = dataclasses.replace(XY, reading=data.Reading(missing=("-", "0")))
    found = [(None, None), (None, b"NULL"), (None, None), (None, b"none")]
    assert cells(tmp_path, "a.csv", schema=given) == found


@pytest.mark.parametrize(
    ("content", "dialect"),
    [
        ("1;a\n2;b\n", Dialect(separator=";", header=("x", "y"))),
        ("x::y\n1::a\n2::b\n", Dialect(separator="::", quote="")),
        ("# made by a tool\nx,y\n#no row\n1,a\n2,b\n", Dialect(comment="#")),
        ("x,y\n1,'a'\n2,'b'\n", Dialect(quote="'")),
    ],
)
def test_dialects(tmp_path: Path, content: str, dialect: Dialect) -> None:
    write(tmp_path / "a.csv", content)
    assert cells(tmp_path, "a.csv", dialect=dialect) == [(1, b"a"), (2, b"b")]


def test_a_comment_is_a_line_of_its_own(tmp_path: Path) -> None:
    """DuckDB alone would cut each row at the character, without a word, and lose one below such a name."""
    content = '\ufeff# by a tool\nx,#y\n1,a#b\n# "no\n3#,e\n4,f # g\n#no,row\n5\n2,"c\n#d"\n'
    schema = dataclasses.replace(XY, features=(XY.features[0], data.Sparse(name="#y", dtype="bytes")))
    write(tmp_path / "a.csv", content)
    skip = BadRows(on_bad_record="skip", max_fraction=1.0)
    given: dict[str, Any] = {"dialect": Dialect(comment="#"), "schema": schema, "bad_rows": skip}
    assert cells(tmp_path, "a.csv", **given) == [(1, b"a#b"), (4, b"f # g"), (2, b"c\n#d")]
    assert [message.split("a.csv, ")[1].split(":")[0] for message in skip.examples] == ["line 8", "row 2, column 'x'"]
    # The same where quotes turn out to be ordinary characters.
    write(tmp_path / "b.csv", "x,y\n" + "".join(f'{n},"title {n}\n# no\n' for n in range(12)))
    assert cells(tmp_path, "b.csv", dialect=Dialect(comment="#")) == [(n, b'"title %d' % n) for n in range(12)]


def test_only_the_first_file_may_have_names(tmp_path: Path) -> None:
    for name, content in (("a", "y,x\na,1\n"), ("b", "b,2\n"), ("c", "c,3\n")):
        write(tmp_path / f"{name}.csv", content)
    assert cells(tmp_path, "*.csv", dialect=Dialect(header=("first",))) == [(1, b"a"), (2, b"b"), (3, b"c")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "cp1252", "gb18030"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    word = "ä" if encoding != "gb18030" else "中"
    write(tmp_path / "a.csv", f"x,y\n1,{word}\n".encode(encoding))
    assert cells(tmp_path, "a.csv", dialect=Dialect(encoding=encoding)) == [(1, word.encode())]


def test_a_wrong_encoding_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n1,a\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"a\.csv looks like UTF-16, not UTF-8: read it by --encoding=utf-16\."):
        cells(tmp_path, "a.csv")
    write(tmp_path / "b.csv", b"x,y\n1,a\n2,\xff\n3,c\n")
    with pytest.raises(ValueError, match=r"b\.csv, line 3: cell 2 is not utf-8 \(--encoding=latin-1 reads any bytes\)"):
        cells(tmp_path, "b.csv")
    skip = BadRows(on_bad_record="skip", max_fraction=1.0)
    assert cells(tmp_path, "b.csv", bad_rows=skip) == [(1, b"a"), (3, b"c")]
    assert (skip.skipped, skip.seen) == (1, 3)
    write(tmp_path / "c.csv", b"\xff,y\n1,a\n")
    with pytest.raises(ValueError, match=r"c\.csv, line 1: its names are not utf-8"):
        cells(tmp_path, "c.csv")


def test_a_bad_cell_is_named_by_file_and_row(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n1,a\n2,b\n")
    write(tmp_path / "b.csv", "x,y\n3,a\nfour,b\n")
    with pytest.raises(
        ValueError, match=r"b\.csv, row 2, column 'x': 'four' is not a 64-bit whole number\. \(--on_bad"
    ):
        cells(tmp_path, "*.csv")
    write(tmp_path / "c.jsonl", '{"x": 1}\nnope\n')
    with pytest.raises(ValueError, match=r"c\.jsonl, row 2, 'nope' is not a JSON object\. \(--on_bad"):
        cells(tmp_path, "c.jsonl", optional={"y", "click"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv: cannot be read: it is empty"),
        ("a.csv.gz", CUT_GZIP, "a.csv.gz: cannot be read: "),
        ("a.parquet", b"PAR1 no more", "a.parquet: cannot be read: "),
        ("a.arrow", b"ARROW1 no more", "a.arrow: cannot be read: "),
        ("a.csv", b"x,y,x\n1,2,3\n", r"a\.csv has column 'x' more than once\. Rename one"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message):
        cells(tmp_path, name)


def test_names_that_differ_in_case_are_two_columns(tmp_path: Path) -> None:
    schema = dataclasses.replace(XY, features=(*XY.features, data.Sparse(name="X")))
    write(tmp_path / "a.csv", "x,X,y\n1,2,a\n")
    with staged(tmp_path, "a.csv", schema=schema) as rows:
        assert rows.connection.execute("SELECT s0, s2 FROM staged").fetchall() == [(1, 2)]


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"No file matches '.*none\*'\."):
        find_files(f"{tmp_path}/none*")
    with pytest.raises(FileNotFoundError, match="is a directory: name its files, for example"):
        find_files(str(tmp_path))
    for name in ("a.xlsx", "a.parquet.gz", "a"):
        with pytest.raises(ValueError, match=rf"{name}: the name must end in \.csv"):
            find_files(str(write(tmp_path / name, "{}")))
    file = write(tmp_path / "a.csv", "x\n1\n")
    monkeypatch.chdir(tmp_path)
    assert find_files(f"{file}, {tmp_path}/*.csv, a.csv, ./*.csv") == (file,)


def test_a_query_cannot_open_another_file(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.csv", "x\n1\n")
    write(tmp_path / "a.csv", "x,y\n1,a\n")
    with staged(tmp_path, "a.csv") as rows:
        for query in (
            f"FROM read_csv('{secret}')",
            "SET lock_configuration = false",
            f"COPY staged TO '{secret}'",
            "FROM rows",
        ):
            with pytest.raises(Exception, match=r"(?i)permission|locked|does not exist"):
                rows.connection.execute(query)
