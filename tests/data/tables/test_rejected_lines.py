"""Lines of CSV files that are not rows, and quotes that do not end where their cells do."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import pytest
from staged_tables import staged, write

from fullrank.data.tables.bad_rows import BadRows, TooManyBadRowsError
from fullrank.data.tables.files import Dialect
from fullrank.data.tables.text_files import lines_at


def cells(directory: Path, *patterns: str, **given: Any) -> list[tuple[Any, ...]]:
    """X and y of all good rows."""
    with staged(directory, *patterns, **given) as rows:
        return list(rows.connection.execute("SELECT s0, s1 FROM staged WHERE bad IS NULL").fetchall())


def test_a_quote_without_a_partner_costs_no_other_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{n},a" for n in range(3000)]
    lines[151] = '151,"a'
    write(tmp_path / "a.csv", "x,y\n" + "\n".join(lines) + "\n")
    found = cells(tmp_path, "a.csv")
    assert found == [(n, b'"a' if n == 151 else b"a") for n in range(3000)]
    assert "a.csv: the quote in line 153 is never closed, and without quoting all lines have" in capsys.readouterr().err
    # Where other lines do need quotes, nobody can tell where the cell ends.
    lines[7] = '7,"b,c"'
    write(tmp_path / "a.csv", "x,y\n" + "\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"a\.csv, line 153: a quote opens here .*--quote=none\.$"):
        cells(tmp_path, "a.csv", bad_rows=BadRows(on_bad_record="skip"))


@pytest.mark.parametrize(
    "names",
    ['"x","y"#', '"x","y"\t', '"x",""y"', '"x"","y"', '"x","y', '"\r\n"x","y"', "x,' y'z"],
    ids=["rest", "tab", "doubled", "swallowed", "open", "only a quote", "another quote"],
)
def test_a_quote_among_the_names_that_does_not_end_with_its_cell(tmp_path: Path, names: str) -> None:
    """DuckDB gives no row of such a file, and rejects none."""
    quote = "'" if "'" in names else '"'
    write(tmp_path / "a.csv", "x,y\n1,a\n")
    write(tmp_path / "b.csv", f"{names}\n" + f"{quote}2{quote},{quote}b{quote}\n" * 3)
    message = r"b\.csv, line 1: a quote opens before the name '.*' and does not end where the name does\. Correct it"
    with pytest.raises(ValueError, match=message):
        cells(tmp_path, "*.csv", dialect=Dialect(quote=quote), bad_rows=BadRows(on_bad_record="skip"))


@pytest.mark.parametrize(
    ("content", "dialect"),
    [
        ('"x" , "y"  \n1,"a"\n2,"b"\n', Dialect()),
        ('"x" "y"\n1 a\n2 b\n', Dialect(separator=" ")),
        ('"x"::"y"\n1::"a"\n2::b\n', Dialect(separator="::")),
    ],
    ids=["blanks", "separated by blanks", "a separator of two characters"],
)
def test_quotes_around_names(tmp_path: Path, content: str, dialect: Dialect) -> None:
    write(tmp_path / "a.csv", content)
    assert cells(tmp_path, "a.csv", dialect=dialect) == [(1, b"a"), (2, b"b")]


@pytest.mark.parametrize("line", [b'"2","b\xff', b'"2",""b\xff\xff', b'"2","b\xff\xe9'])
def test_no_other_fault_of_a_line_hides_a_quote_that_takes_the_next_one_with_it(tmp_path: Path, line: bytes) -> None:
    """The same lines are told whichever columns are read, and no row is lost beside the one that is counted."""
    write(tmp_path / "a.csv", b'"x","y","z"\n"1","a","p"\n' + line + b'\n"3","c","q"\n"4","d","r"\n')
    with pytest.raises(ValueError, match=r"a\.csv, line 3: a quote opens here that does not end where its cell does"):
        cells(tmp_path, "a.csv", bad_rows=BadRows(on_bad_record="skip", max_fraction=1.0))


def test_half_open_quotes_are_ordinary_characters(tmp_path: Path) -> None:
    write(tmp_path / "a.tsv", "x\ty\n" + "".join(f'{n}\t"title {n}\n' for n in range(12)))
    assert cells(tmp_path, "a.tsv") == [(n, b'"title %d' % n) for n in range(12)]


def test_malformed_lines_fail_or_are_counted(tmp_path: Path) -> None:
    lines = [f"{n},{n}" for n in range(1, 41)]
    lines[6], lines[20] = "7", "21,21,21"
    write(tmp_path / "a.csv", "x,y\n" + "\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"a\.csv, line 8: 1 cells instead of 2: '7'\. \(--on_bad_record=skip leaves"):
        cells(tmp_path, "a.csv")
    bad_rows = BadRows(on_bad_record="skip", max_fraction=0.05)
    assert [x for x, _ in cells(tmp_path, "a.csv", bad_rows=bad_rows)] == [n for n in range(1, 41) if n not in (7, 21)]
    assert (bad_rows.skipped, bad_rows.seen) == (2, 40)
    assert [(Path(file).name, row) for file, row, _ in bad_rows.rejects] == [("a.csv", 8), ("a.csv", 22)]
    assert bad_rows.report().startswith("Left out 2 bad rows of 40. The first: ")
    bad_rows.check()
    bad_rows.add("one more")
    with pytest.raises(TooManyBadRowsError, match=r"^3 of 40 rows are bad, more than --max_bad_fraction=0\.05 allows"):
        bad_rows.check()


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("a.csv", Dialect()),
        ("a.csv.gz", Dialect()),
        ("a.csv", Dialect(encoding="latin-1")),
        ("a.csv", Dialect(encoding="cp1252")),
        ("a.csv", Dialect(comment="#")),
    ],
)
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_an_editor_does(tmp_path: Path, name: str, dialect: Dialect, line_break: str) -> None:
    # The comments on lines 2 and 6 are ordinary bad lines, of one cell, where --comment does not name them.
    lines = ["x,y", "#", '1,"ä', "ö", 'ü"', "#", "2,b", "seven cells too few", '3,"c', 'd"', "9,9,9"]
    content = line_break.join([*lines, ""]).encode("utf-8" if dialect.encoding == "utf-8" else "latin-1")
    write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    bad_rows = BadRows(on_bad_record="skip", max_fraction=1.0)
    assert [x for x, _ in cells(tmp_path, name, dialect=dialect, bad_rows=bad_rows)] == [1, 2, 3]
    assert [row for _, row, _ in bad_rows.rejects] == ([8, 11] if dialect.comment else [2, 6, 8, 11])


def test_bad_rows_are_reported_one_by_one_whatever_breaks_their_lines(tmp_path: Path) -> None:
    # Lines end with returns, and a line feed stands in a cell.
    write(tmp_path / "a.csv", b'"x","y"\r"1","a\nb"\r"2","\xa8\xb9"\r"3","\xa8\xb9"\r"4","d"\r')
    bad_rows = BadRows(on_bad_record="skip", max_fraction=1.0)
    assert cells(tmp_path, "a.csv", bad_rows=bad_rows) == [(1, b"a\nb"), (4, b"d")]
    assert [row for _, row, _ in bad_rows.rejects] == [4, 5]


@pytest.mark.parametrize("piece", [1, 2, 3, 5])
def test_a_line_break_may_lie_across_pieces(tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullrank.data.tables.text_files._PIECE", piece)
    write(tmp_path / "a", b"1\r\n2\r3\n\r\n5\r\r7")
    found = lines_at(tmp_path / "a", [1, 4, 6, 8, 10, 13], encoding="utf-8")
    assert found == {1: 1, 4: 2, 6: 3, 8: 4, 10: 5, 13: 7}


def test_files_of_one_encoding_are_read_by_it_with_and_without_a_copy(tmp_path: Path) -> None:
    for name, text in (("a.csv.bz2", "x,y\n1,ä\n"), ("b.csv", "x,y\n2,ö\n"), ("c.csv", "x,y\n3,ü\r\n4,ß\n")):
        content = text.encode("latin-1")
        write(tmp_path / name, bz2.compress(content) if name.endswith("bz2") else content)
    found = cells(tmp_path, "*.csv*", dialect=Dialect(encoding="latin-1"))
    assert [(x, y.decode()) for x, y in found] == [(1, "ä"), (2, "ö"), (3, "ü"), (4, "ß")]
