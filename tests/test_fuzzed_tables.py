"""Generated and damaged CSV files through infer and convert: no traceback, and no row is lost without being counted."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path
from typing import Any

import pytest

from fullrank import data
from fullrank.data import convert, infer

CELLS = [
    "",
    "1",
    "-1",
    "7.0",
    "1.5",
    "NA",
    "a b",
    '"q"',
    'x"y',
    "\\N",
    "2024-01-01",
    "[1, 2]",
    "a|b",
    "é中",
    "0x10",
    "007",
]
NAMES = ["user_id", "price", "time", "x", "tags", 'n"m', "é", "a b", "C1", "c1", "file", "S0", "item", "bad"]
INSERTED = ['"', ",", "\n", "\r\n", "\x00", "'", " ", "\ufeff", ";", "é"]


def made(draw: random.Random) -> tuple[bytes, int]:
    """A CSV file and the number of its rows."""
    names = [*dict.fromkeys(draw.choice(NAMES) for _ in range(draw.randrange(2, 6))), "click"]
    styles = [draw.randrange(6) for _ in names]
    count = draw.randrange(1, 30)

    def cell(style: int) -> str:
        kinds: list[Any] = [draw.choice(CELLS), draw.choice(CELLS), draw.randrange(50), draw.random()]
        kinds += [draw.choice("abc"), 1_700_000_000 + draw.randrange(10**6)]
        return str(kinds[style])

    rows = [[*(cell(style) for style in styles[:-1]), draw.choice("01")] for _ in range(count)]
    text = io.StringIO()
    ends, quoting = draw.choice(["\n", "\r\n"]), draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    csv.writer(text, lineterminator=ends, quoting=quoting).writerows([names, *rows])  # type: ignore[arg-type]
    return text.getvalue().encode(), count


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The file with a few characters more, other ones or fewer."""
    text = content.decode()
    for _ in range(draw.randrange(1, 4)):
        place, way = draw.randrange(len(text)), draw.randrange(3)
        text = text[:place] + (draw.choice(INSERTED) if way else "") + text[place + (way < 2) :]
    content = text.encode()
    half = len(content) // 2
    return content[:half] + bytes([draw.randrange(128, 256)]) + content[half:] if draw.random() < 0.2 else content


def ran(capsys: pytest.CaptureFixture[str], run: Any, *arguments: str) -> str:
    """The error of a command, empty if it went well."""
    try:
        run(["program", *arguments])
    except SystemExit:
        error = capsys.readouterr().err
        assert "--debug" not in error, error  # an error that nobody foresaw
        return error[error.index("error: ") :]
    capsys.readouterr()
    return ""


def converted(capsys: pytest.CaptureFixture[str], file: Path, *more: str) -> tuple[str, int, int]:
    """The error of a conversion, the examples written and the rows left out."""
    output = file.parent / "records"
    how = ["--split=random", "--split_fractions=1", "--noprogress", "--workers=1", "--overwrite", *more]
    error = ran(capsys, convert.run, f"--input={file}", f"--schema={file.parent}/s.json", f"--output={output}", *how)
    if error:
        return error, 0, 0
    rejects = output / "rejects.csv"
    left_out = 0
    if rejects.exists():
        with open(rejects, encoding="utf-8", newline="") as opened:
            left_out = sum(1 for _ in csv.reader(opened)) - 1
    return "", data.read_schema(output).split("train").examples, left_out


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_what_infer_proposes_convert_accepts(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(seed)  # noqa: S311
    content, count = made(draw)
    file = tmp_path / "log.csv"
    file.write_bytes(content)
    refused = ran(capsys, infer.run, f"--input={file}", "--label=click", f"--output={tmp_path}/s.json")
    if refused:
        assert "No column is left for a feature" in refused
    else:
        assert converted(capsys, file) == ("", count, 0)
    file.write_bytes(damaged(content, draw))
    if not ran(capsys, infer.run, f"--input={file}", "--label=click", f"--output={tmp_path}/s.json", "--overwrite"):
        error, examples, left_out = converted(capsys, file, "--on_bad_record=skip", "--max_bad_fraction=1")
        # Three characters make or unmake at most three line breaks.
        assert error or abs(examples + left_out - count) <= 3
