"""Sequences that tables hold already: their order, times after the event, and gaps instead of times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import convert, infer

ROWS = 200
START = 1_700_000_000


def columns(*, newest_first: bool = False, late: bool = False, gaps: bool = False) -> dict[str, Any]:
    """Rows with the three items before them, 30, 20 and 10 s ago; `late` adds one of the row's own second."""
    draw = np.random.default_rng(0)
    times = START + 100 * draw.permutation(ROWS)
    before = [[30, 20, 10, *([0] if late else [])] for _ in times]
    lists = [[gap if gaps else int(time) - gap for gap in each] for time, each in zip(times, before, strict=True)]
    items = [[f"i{draw.integers(9)}", "i1", f"i{row % 9}", *(["i2"] if late else [])] for row in range(ROWS)]
    step = -1 if newest_first else 1
    return {
        "item": [f"i{k}" for k in draw.integers(0, 9, ROWS)],
        "history_item": [each[::step] for each in items],
        "history_gap" if gaps else "history_time": [each[::step] for each in lists],
        "time": times,
        "click": draw.integers(0, 2, ROWS),
    }


def converted(
    directory: Path, table: dict[str, Any], *flags: str, capsys: pytest.CaptureFixture[str]
) -> tuple[str, str, dict[str, Any]]:
    """What infer and convert say, and the records as lists."""
    pq.write_table(pa.table(table), directory / "log.parquet")
    source = f"--input={directory}/log.parquet"
    capsys.readouterr()
    infer.run(["infer", source, "--label=click", *flags, f"--output={directory}/s.json", "--overwrite"])
    said = capsys.readouterr().out
    given = [f"--schema={directory}/s.json", f"--output={directory}/r", "--split_fractions=1", "--noprogress"]
    convert.run(["convert", source, *given, "--overwrite"])
    batch = next(iter(data.read_records(directory / "r", batch_size=ROWS)))
    return said, capsys.readouterr().out, {name: value.numpy().tolist() for name, value in batch.items()}


@pytest.mark.parametrize("gaps", [False, True])
def test_newest_first_is_turned_round(tmp_path: Path, capsys: pytest.CaptureFixture[str], gaps: bool) -> None:
    flags = ["--gaps=history_gap"] if gaps else []
    said, wrote, plain = converted(tmp_path, columns(gaps=gaps), *flags, capsys=capsys)
    assert "from the newest" not in said
    assert "newest first" not in wrote
    assert plain["history_gap" if gaps else "history_time"][0] == [plain["time"][0] - gap for gap in (30, 20, 10)]
    said, wrote, turned = converted(tmp_path, columns(newest_first=True, gaps=gaps), *flags, capsys=capsys)
    assert "history: runs from the newest to the oldest, and is turned round." in said
    assert "newest first" not in wrote
    assert turned == plain


def test_what_is_not_known_before_is_said_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, plain = converted(tmp_path, columns(), capsys=capsys)
    said, wrote, _ = converted(tmp_path, columns(late=True), capsys=capsys)
    sentence = "history: on 100.0% of the rows it holds times at or after the row's own, which are not known before"
    assert sentence in said
    assert sentence in wrote
    said, wrote, mended = converted(tmp_path, columns(late=True), "--only_earlier=history", capsys=capsys)
    assert "at or after" not in said + wrote
    for name in ("history_item", "history_time"):
        assert [row[:3] for row in mended[name]] == plain[name]
        assert all(row[3] in (b"", -1) for row in mended[name])


def test_no_order_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = columns()
    table["history_time"] = [each if row % 2 else each[1:] + each[:1] for row, each in enumerate(table["history_time"])]
    said, wrote, _ = converted(tmp_path, table, capsys=capsys)
    assert "history: on 50.0% of the rows its times do not run from the oldest to the newest" in said
    assert "on 50.0% of the rows its times do not run" in wrote


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("newest_first=histry", "names 'histry', which is no sequence of the tables. Did you mean 'history'?"),
        ("only_earlier=item", "names 'item', which is no sequence of the tables, in a schema with an event time."),
        ("gaps=item", "names 'item', which is no column of the times of a sequence, in a schema with an event time."),
    ],
)
def test_wrong_flags_are_one_line(tmp_path: Path, flag: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table(columns()), tmp_path / "log.parquet")
    with pytest.raises(SystemExit):
        infer.run(["infer", f"--input={tmp_path}/log.parquet", "--label=click", f"--{flag}"])
    assert capsys.readouterr().err.startswith(f"error: --{flag.partition('=')[0]} {message}")
