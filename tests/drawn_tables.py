"""Draws CSV files of every kind of column, dialect and damage, for the tests that read them."""

from __future__ import annotations

import bz2
import csv
import dataclasses
import gzip
import io
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

SERIAL: Final = "serial"
LABEL: Final = "click"
"""The first two columns of every file: one text that no other row has, and the label."""

_NAMES: Final = (
    *("item", "item_id", "user_id", "uid", "session_id", "price", "age", "hour", "time", "timestamp", "date", "ts_ms"),
    *("weight", "sample_weight", "history_items", "history_times", "item_weights", "tags", "version", "os_build", "ip"),
    *("file", "broken", "bad", "c0", "s0", "v1", "l2", "place", "source", "rowid", "filename", "split", "e", "cells"),
    *("Item", "ITEM", "größe", "価格", "a b", " padded ", "x,y", 'say "x"', "it's", "select", "", "a.b", "a/b", "a=b"),
    *("line\nbreak", "tab\there", "%s", "{0}", "$.x", "-1", "1", "NULL", "x" * 300, "..", "\x7f", "key", "examples"),
)
_WORDS: Final = (
    *(
        "a",
        "bb",
        "red",
        "x, y",
        "semi;colon",
        "tab\tbed",
        "pipe|d",
        'say "hi"',
        '"',
        "'",
        "it's",
        '""',
        "üö",
        "日本",
    ),
    *(
        " x",
        "x ",
        "\\",
        "\\N",
        "NA",
        "null",
        "None",
        "nan",
        "-",
        "?",
        "#",
        "# no",
        "[",
        "]",
        "[a]",
        "[a, b]",
        "{}",
        "\x00",
    ),
    *("line\nbreak", "cr\rhere", "crlf\r\nhere", "\x01", "\x1b[31m", "=1+1", "TRUE", "0x1F", "1e5", "1_000", "∞", "١٢"),
)
_PLACEHOLDER: Final = "\x02"
_MISSING: Final = ("", "", "NA", "nan", "NULL", r"\N", "-", "?", "None", "n/a", "NaT", "-1", " ", "#N/A")


def _whole(draw: np.random.Generator, rows: int) -> list[str]:
    low, high = [(0, 3), (0, 50), (-5, 5), (0, 10**6), (2**53 - 2, 2**53 + 3), (2**63 - 3, 2**63 - 1)][draw.integers(6)]
    return [str(value) for value in draw.integers(low, high, rows, endpoint=True)]


def _beyond(draw: np.random.Generator, rows: int) -> list[str]:
    ends = (2**63, 2**64 - 1, 2**64, 10**30, -(2**63), -(2**63) - 1, 0, 7)
    return [str(ends[k]) for k in draw.integers(0, len(ends), rows)]


def _real(draw: np.random.Generator, rows: int) -> list[str]:
    scale = (1.0, 1e-30, 1e30, 1e300, 1e-320)[draw.integers(5)]
    return [repr(float(value) * scale) for value in draw.normal(size=rows)]


def _spelled(draw: np.random.Generator, rows: int) -> list[str]:
    spelled: tuple[str, ...] = (
        "1.0",
        "2.00",
        "3.",
        "+4",
        ".5",
        "05",
        "1e5",
        "1E-3",
        "inf",
        "-inf",
        "Infinity",
        "1_0",
        "0x10",
        " 6 ",
    )
    spelled = spelled[: draw.integers(1, len(spelled), endpoint=True)]
    return [spelled[k] for k in draw.integers(0, len(spelled), rows)]


def _version(draw: np.random.Generator, rows: int) -> list[str]:
    return [f"{draw.integers(0, 12)}.{draw.integers(0, 12)}" for _ in range(rows)]


def _hours(draw: np.random.Generator, rows: int) -> list[str]:
    return [f"1410{day:02d}{hour:02d}" for day, hour in draw.integers((1, 0), (28, 24), (rows, 2))]


def _epochs(draw: np.random.Generator, rows: int) -> list[str]:
    units = (1, 10**3, 10**6, 10**9, 10**12)
    unit = units[draw.integers(5)]
    mixed = draw.random() < 0.2
    seconds = draw.integers(1_500_000_000, 1_700_000_000, rows)
    return [str(int(value) * (units[draw.integers(3)] if mixed else unit)) for value in seconds]


def _dates(draw: np.random.Generator, rows: int) -> list[str]:
    forms = (
        *("2024-01-{:02d}", "2017-11-{:02d} 9:30", "2024-01-{:02d}T23:59:59.5+02:00", "{:02d}/01/2024", "202401{:02d}"),
        *("2024-01-{:02d} 10:00:00 UTC", "9999-12-{:02d}", "0001-01-{:02d}", "12:{:02d}:00", "Jan {:d}, 2024"),
        *("2019-11-{:02d} 00:00:17.004101+00:00", "1969-12-{:02d}", "2024-02-{:02d}"),
    )
    form = forms[draw.integers(len(forms))]
    return [form.format(day) for day in draw.integers(1, 32, rows)]


def _words(draw: np.random.Generator, rows: int) -> list[str]:
    chosen = draw.choice(len(_WORDS), draw.integers(1, 12, endpoint=True), replace=False)
    return [_WORDS[chosen[k]] for k in draw.integers(0, len(chosen), rows)]


def _lists(draw: np.random.Generator, rows: int) -> list[str]:
    lengths = np.full(rows, draw.integers(1, 10)) if draw.random() < 0.3 else draw.integers(0, 6, rows)
    parts = (("0", "1"), ("1", "2", "30"), ("a", "b c", ""), ("0.5", "1.5", "nan"), ("1", "x"), ("1600000000", "5"))
    part = parts[draw.integers(len(parts))]
    form = ("{}", "[{}]", "[{}]", "['{}']")[draw.integers(4)]
    inner = {"{}": "|", "[{}]": (", ", " ", ",")[draw.integers(3)], "['{}']": "', '"}[form]
    drawn = [inner.join(part[k] for k in draw.integers(0, len(part), length)) for length in lengths]
    return [form.format(text) for text in drawn]


def _bits(draw: np.random.Generator, rows: int) -> list[str]:
    length = int(draw.integers(7, 70))
    return ["".join(map(str, draw.integers(0, 2, length))) for _ in range(rows)]


def _one(draw: np.random.Generator, rows: int) -> list[str]:
    return [("1", "x", "", "0.5", "true")[draw.integers(5)]] * rows


def _counter(draw: np.random.Generator, rows: int) -> list[str]:
    return [str(number + draw.integers(0, 2)) for number in range(rows)]


def _weights(draw: np.random.Generator, rows: int) -> list[str]:
    return [f"{value:.3f}" for value in draw.exponential(size=rows) - (draw.random() < 0.1)]


KINDS: Final[tuple[Callable[[np.random.Generator, int], list[str]], ...]] = (
    *(_whole, _whole, _beyond, _real, _spelled, _version, _hours, _epochs, _epochs, _dates, _dates, _words, _words),
    *(_lists, _lists, _bits, _one, _counter, _weights),
)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A table to read.

    Attributes:
      files: Name of a file -> its bytes.
      flags: How they are to be read.
      rows: Rows of all files; `None` if bytes were damaged.
    """

    files: dict[str, bytes]
    flags: tuple[str, ...]
    rows: int | None


def draw_table(seed: int, number: int) -> Drawn:
    """The `number`-th table of a seed: 1 to 60 rows, 2 to 9 columns, in one or two files."""
    draw = np.random.default_rng([seed, number])
    rows = int(draw.integers(1, 60, endpoint=True))
    names = [SERIAL, LABEL]
    names += [_NAMES[k] for k in draw.choice(len(_NAMES), draw.integers(0, 7, endpoint=True), replace=False)]
    if draw.random() < 0.02:
        names.append(names[-1])
    columns = [[f"s{number:06d}" for number in range(rows)], [str(value) for value in draw.integers(0, 2, rows)]]
    if draw.random() < 0.15:
        _spoil(draw, columns[1], ("", "NA", "2", "0.5", "true", "yes", "1.0", "-1", "nan"))
    for _ in names[2:]:
        column = KINDS[draw.integers(len(KINDS))](draw, rows)
        if draw.random() < 0.4:
            _spoil(draw, column, _MISSING[: draw.integers(1, len(_MISSING), endpoint=True)])
        if draw.random() < 0.1:
            _spoil(draw, column, _WORDS)
        columns.append(column)
    # Numbers of their own, so that tables without these dialects stay what they were.
    return _written(draw, names, columns, dialect=_Dialect.drawn(np.random.default_rng([seed, number, 1])))


@dataclasses.dataclass(frozen=True)
class _Dialect:
    """What few tables have: `--header`, `--comment`, or a separator of two characters."""

    header: str = ""
    comment: str = ""
    separator: str = ""

    @classmethod
    def drawn(cls, draw: np.random.Generator) -> _Dialect:
        return cls(
            header=("names", "first", "", "", "", "", "", "")[draw.integers(8)],
            comment=("#", "//", "", "", "", "", "", "")[draw.integers(8)],
            separator=("::", "||", "", "", "", "", "", "")[draw.integers(8)],
        )


def _spoil(draw: np.random.Generator, column: list[str], words: Sequence[str]) -> None:
    for row in np.flatnonzero(draw.random(len(column)) < draw.choice([0.02, 0.3])):
        column[row] = words[int(draw.integers(len(words)))]


def _written(draw: np.random.Generator, names: list[str], columns: list[list[str]], *, dialect: _Dialect) -> Drawn:
    flags: list[str] = []
    separator = (",", ",", ",", "\t", ";", "|", " ", "^")[draw.integers(8)]
    separator = dialect.separator or separator
    if dialect.header == "names":
        names = [SERIAL, LABEL, *(f"column{number}" for number in range(2, len(names)))]
        flags.append(f"--header={','.join(names)}")
    elif dialect.header == "first":
        flags.append("--header=first")
    if dialect.comment:
        flags.append(f"--comment={dialect.comment}")
    ending = ".tsv" if separator == "\t" else ".csv"
    if separator not in ",\t":
        flags.append(f"--separator={separator}")
    if draw.random() < 0.1:
        flags.append(f"--list_delimiter={(';', ',', ' ', '||', 'x')[draw.integers(5)]}")
    encoding = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16", "gb18030")[draw.integers(7)]
    told = encoding in ("utf-8", "utf-8-sig") or draw.random() < 0.9
    if told and encoding not in ("utf-8", "utf-8-sig"):
        flags.append(f"--encoding={encoding}")
    if draw.random() < 0.1:
        flags.append("--missing=-1,a,0")
    quoting = (csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)[draw.integers(4)]
    end = ("\n", "\n", "\r\n", "\r")[draw.integers(4)]
    if end != "\r\n":
        # csv quotes a cell for the characters of its own line break only.
        quoting = csv.QUOTE_ALL if any(mark in cell for mark in "\r\n" for cell in sum(columns, names)) else quoting
    quotechar = "'" if draw.random() < 0.1 else '"'
    if quotechar == "'":
        flags.append("--quote='")
    if dialect.separator:
        # csv writes separators of one character only, and would not quote a cell for the two.
        quoting = csv.QUOTE_ALL
    delimiter = _PLACEHOLDER if dialect.separator else separator
    form: dict[str, Any] = {"delimiter": delimiter, "quoting": quoting, "quotechar": quotechar, "lineterminator": end}
    rows = list(zip(*columns, strict=True))
    cut = int(draw.integers(0, len(rows))) if draw.random() < 0.2 else len(rows)
    files: dict[str, bytes] = {}
    known = told
    for name, first, last in (("a", 0, cut), ("b", cut, len(rows))):
        if first == last:
            continue
        order = list(range(len(names)))
        if name == "b" and draw.random() < 0.5 and not dialect.header:
            order = [0, 1, *(2 + draw.permutation(len(names) - 2)[: draw.integers(0, len(names) - 1)])]
        text = io.StringIO(newline="")
        writer = csv.writer(text, **form)
        if dialect.comment:
            text.write(f'{dialect.comment} one "comment{end}{dialect.comment}{end}')
        if not dialect.header or (dialect.header == "first" and not files):
            writer.writerow([names[k] for k in order])
        writer.writerows([[row[k] for k in order] for row in rows[first:last]])
        if dialect.comment:
            text.write(f"{dialect.comment} the last, without a line break")
        whole = text.getvalue().replace(_PLACEHOLDER, separator) if dialect.separator else text.getvalue()
        content, same = _damaged(draw, whole.encode(encoding, errors="replace"), end.encode())
        known &= same
        pack = draw.integers(12)
        packed = gzip.compress(content) if pack == 0 else bz2.compress(content) if pack == 1 else content
        files[f"{name}{ending}{('.gz', '.bz2')[pack] if pack < 2 else ''}"] = packed
    return Drawn(files, tuple(flags), len(rows) if known else None)


def _damaged(draw: np.random.Generator, content: bytes, end: bytes) -> tuple[bytes, bool]:
    """The bytes of a file, in half of the cases damaged, and whether they are not."""
    if draw.random() < 0.5 or len(content) < 4:
        return content, True
    lines = content.split(end)
    for _ in range(draw.integers(1, 4)):
        line = int(draw.integers(len(lines)))
        at = int(draw.integers(len(lines[line]) + 1))
        piece = (b'"', b"'", b",", b"\t", b"\n", b"\r\n", b"\x00", b"\xff", b"\xc3", b"|", b"#", b" ", b'""', b";")
        added = piece[draw.integers(len(piece))]
        what = draw.integers(6)
        if what == 0:
            lines[line] = lines[line][:at] + added + lines[line][at:]
        elif what == 1:
            lines[line] = lines[line][:at] + added + lines[line][at + 1 :]
        elif what == 2:
            lines[line] = lines[line][:at]
        elif what == 3:
            lines.insert(line, b"")
        elif what == 4:
            lines[line] += added * int(draw.integers(1, 4))
        else:
            lines = lines[: line + 1]
    return end.join(lines), False
