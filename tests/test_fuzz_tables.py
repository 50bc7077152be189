"""What infer proposes convert accepts, every row is counted, and an error is one line."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest

from drawn_tables import Drawn, draw_table
from fullrank.data import convert, infer
from fullrank.data.schema.json import read_schema
from fuzz_tables import fault_of, ran


@pytest.mark.parametrize("number", range(30))
def test_drawn_tables(tmp_path: Path, number: int) -> None:
    assert fault_of(draw_table(1, number), tmp_path)[1] == ""


def table(names: str, *columns: list[str], separator: str = ",") -> bytes:
    """30 rows: a serial number, a label, and columns whose values are repeated in turn."""
    rows = [
        separator.join([f"s{number:06d}", str(number % 2), *(column[number % len(column)] for column in columns)])
        for number in range(30)
    ]
    return "\n".join([separator.join(["serial", "click", *names.split(",")]), *rows, ""]).encode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(table("time", ["2024-01-01", "", "2024-01-02"]), id="times with gaps"),
        pytest.param(table("x", ["1.5", "inf", "2"]), id="infinite numbers"),
        pytest.param(table("weight", ["1.5", "1e300", "2"]), id="weights beyond float32"),
        pytest.param(table("x", ["1|2", "1|inf"]), id="lists with infinite numbers"),
        pytest.param(table("x", ["1.5|2", "1|nan"]), id="vectors with gaps"),
        pytest.param(table("x", ["[1 0 1 1 0 0 1 0]", "[0 1 0 0 1 1 0 1]"]), id="bits in brackets"),
        pytest.param(table("x" * 300, ["a", "b", "c"]), id="a name longer than a file name"),
        pytest.param(table("user_id", ["1.5", "2.25", "3"]), id="users that are real numbers"),
        pytest.param(table("session_id", ["1e-320", "-2e-321", "0"]), id="real numbers that vanish in float32"),
        pytest.param(table("key", ["2.5e29", "1e5", "7"]), id="whole numbers beyond 64 bits"),
        pytest.param(table("x", ["a\0b", "c"]), id="a byte of zero"),
        pytest.param(b"serial,click\n" + b'"s000000\n",1\n' * 30, id="an id with a line break"),
    ],
)
def test_what_is_proposed_is_converted(tmp_path: Path, content: bytes) -> None:
    assert fault_of(Drawn({"a.csv": content}, (), 30), tmp_path) == ("converted", "")


def run_infer(directory: Path, content: bytes, *flags: str) -> str:
    (directory / "a.csv").write_bytes(content)
    found = ran(infer.run, [f"--input={directory}/a.csv", "--label=click", f"--output={directory}/s.json", *flags])
    return found.errors if found.code else found.output


def test_an_error_says_what_to_do(tmp_path: Path) -> None:
    other = run_infer(tmp_path, b"x,click\na,1\nb,yes\nc,0\n")
    assert "cannot be a label, which is a number. It holds 'yes'. --missing names" in other
    infinite = run_infer(tmp_path, b"x,click\na,1\nb,inf\nc,0\n")
    assert "holds numbers beyond float32, such as inf, which cannot be converted: --missing=inf reads" in infinite
    assert run_infer(tmp_path, b"x,click\na,1\nb,inf\nc,0\n", "--missing=inf").startswith("3 rows sampled")
    broken = run_infer(tmp_path, b'x,"click\na,1\n"\nb,0\n', "--overwrite")
    assert "line 1: a quote opens before the name '\"click' and does not end where the name does." in broken


def test_a_note_may_stand_before_an_error(tmp_path: Path) -> None:
    lines = ["serial^click", *(f"s{number:06d}^{number % 2}" for number in range(30))]
    lines[6], lines[9], lines[12] = "s000005^1,,", 's000008^1""', '"000011^0'
    drawn = Drawn({"a.csv": "\n".join([*lines, ""]).encode()}, ("--separator=^",), 30)
    assert fault_of(drawn, tmp_path) == ("refused", "")


def test_the_command_that_infer_names_reads_gaps_in_time(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 31)]
    few = "\n".join(["time,x,click", *(f"{days[row % 30] if row else ''},{row % 7},{row % 2}" for row in range(300))])
    assert run_infer(tmp_path, few.encode()).endswith(" --on_bad_record=skip\n")
    many = "\n".join(["time,x,click", *(f"{days[row % 30] if row % 2 else ''},{row % 7},1" for row in range(300))])
    assert "a time that 50.00% of the rows lack: choose it by --time" in run_infer(
        tmp_path, many.encode(), "--overwrite"
    )
    assert run_infer(tmp_path, many.encode(), "--overwrite", "--time=time").endswith(" --split=random\n")


def test_a_name_longer_than_a_file_name_names_its_vocabulary_by_a_digest(tmp_path: Path) -> None:
    """Two long names that begin alike have vocabularies of their own."""
    first, second = "x" * 300, "x" * 299 + "y"
    (tmp_path / "a.csv").write_text(
        f"{first},{second},click\n" + "".join(f"a{row % 3},b{row % 5},{row % 2}\n" for row in range(50))
    )
    assert ran(infer.run, [f"--input={tmp_path}/a.csv", "--label=click", f"--output={tmp_path}/s.json"]).code == 0
    arguments = [f"--input={tmp_path}/a.csv", f"--schema={tmp_path}/s.json", f"--output={tmp_path}/out"]
    assert ran(convert.run, [*arguments, "--workers=1", "--noprogress"]).code == 0
    assert [feature.ids.size for feature in read_schema(tmp_path / "out").tables] == [3, 5]


QUOTED = [f'"s{number:06d}","{number % 2}","{"abc"[number % 3]}"' for number in range(30)]


def test_a_stray_quote_among_quoted_cells_is_no_reason_to_read_quotes_as_text(tmp_path: Path) -> None:
    """Without quoting every line has the right number of cells, but ids would then have quotes around them."""
    lines = ['"serial","click","x"', *QUOTED]
    lines[5] = lines[5][:-1]
    plain_names = ["serial,click,x", *lines[1:]]
    for text in (lines, plain_names):
        assert "line 6: a quote opens here that does not end where its cell does" in run_infer(
            tmp_path, "\n".join([*text, ""]).encode(), "--overwrite"
        )


def test_a_line_that_ends_within_quotes_takes_no_other_with_it(tmp_path: Path) -> None:
    lines = ['"serial","click","x"', *QUOTED]
    lines[2] = lines[2][:-2]
    assert "line 3: a quote opens here that does not end" in run_infer(tmp_path, "\n".join([*lines, ""]).encode())


def test_line_breaks_of_two_kinds_beside_quotes(tmp_path: Path) -> None:
    lines = ['"serial","click","x"', *QUOTED]
    content = "\r\n".join(lines[:9]) + "\n" + "\r\n".join(lines[9:])
    assert fault_of(Drawn({"a.csv": content.encode()}, (), 30), tmp_path) == ("converted", "")


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_bytes_that_are_no_text_make_one_bad_row_and_name_the_file_that_was_given(
    tmp_path: Path, encoding: str
) -> None:
    """Also where the file is read from a copy, because of its encoding or of line breaks of two kinds."""
    lines = table("x", ["é", "ü"]).decode().encode(encoding).split(b"\n")
    lines[4] += b"\xff"
    (tmp_path / "a.csv").write_bytes(b"\r\n".join(lines[:9]) + b"\n" + b"\r\n".join(lines[9:]))
    schema, records = tmp_path / "s.json", tmp_path / "records"
    dialect = [f"--input={tmp_path}/a.csv", f"--encoding={encoding}"]
    found = ran(infer.run, [*dialect, "--label=click", "--sparse=serial,x", f"--output={schema}"])
    assert "Lines of the sample that are not rows: 1." in found.output
    skip = ["--split_fractions=1", "--workers=1", "--noprogress", "--on_bad_record=skip", "--max_bad_fraction=1"]
    assert ran(convert.run, [*dialect, f"--schema={schema}", f"--output={records}", *skip]).code == 0
    assert read_schema(records).split("train").examples == 29
    with open(records / "rejects.csv", encoding="utf-8", newline="") as file:
        ((name, line, reason),) = list(csv.reader(file))[1:]
    assert (name, line) == (f"{tmp_path}/a.csv", "5")
    assert f"cell 3 is not {encoding}" in reason


def test_a_bad_cell_of_a_copy_names_the_file_that_was_given(tmp_path: Path) -> None:
    content = table("x", ["1", "2"]).replace(b"s000004,0,1", b"s000004,7,1").decode().encode("utf-16")
    (tmp_path / "a.csv").write_bytes(content)
    good = table("x", ["1", "2"]).decode().encode("utf-16")
    (tmp_path / "b.csv").write_bytes(good)
    flags = ["--encoding=utf-16", f"--schema={tmp_path}/schema.json", "--workers=1", "--noprogress"]
    arguments = [f"--input={tmp_path}/b.csv", "--label=click", "--encoding=utf-16", f"--output={tmp_path}/schema.json"]
    assert ran(infer.run, arguments).code == 0
    failed = ran(convert.run, [f"--input={tmp_path}/a.csv", f"--output={tmp_path}/out", *flags])
    assert failed.errors.startswith(f"error: {tmp_path}/a.csv, row 5, column 'click': '7' is not a label")


def test_the_command_that_infer_names_is_quoted_for_a_shell(tmp_path: Path) -> None:
    output = run_infer(tmp_path, b"x;click\n'a;b';1\n'c';0\n", "--separator=;", "--quote='", "--missing=a,b")
    command = output.splitlines()[-1]
    assert "--separator=';'" in command
    assert shlex.split(command)[-2:] == ["--separator=;", "--quote='"]
