"""Sequences that tables hold already: their order, times after the event, and gaps instead of times."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import build_records, convert, infer, inspect
from fullrank.data.reading.sequence_order import out_of_order as out_of_order_records

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
    assert "history: runs from the newest to the oldest, and is reversed." in said
    assert "newest first" not in wrote
    assert turned == plain


@pytest.mark.parametrize("flags", [[], ["--only_earlier=history"]])
def test_what_is_not_known_before_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    _, _, plain = converted(tmp_path, columns(), capsys=capsys)
    said, _, mended = converted(tmp_path, columns(late=True), *flags, capsys=capsys)
    sentence = "history: on 100.0% of the rows it holds times at or after the row's own, which are not known before"
    assert (sentence in said) == (not flags)
    for name in ("history_item", "history_time"):
        assert [row[:3] for row in mended[name]] == plain[name]
        assert all(row[3] in (b"", -1) for row in mended[name])


def out_of_order() -> dict[str, Any]:
    """On every second row the oldest behaviour stands last."""
    table = columns()
    for name in ("history_item", "history_time"):
        table[name] = [each if row % 2 else each[1:] + each[:1] for row, each in enumerate(table[name])]
    return table


def test_missing_order_is_reported_and_repaired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, plain = converted(tmp_path, columns(), capsys=capsys)
    said, _, mended = converted(tmp_path, out_of_order(), capsys=capsys)
    assert "history: on 50.0% of the rows its times do not run from the oldest to the newest: it is sorted" in said
    assert mended == plain


def test_convert_refuses_a_leak_and_inspect_counts_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A schema of a sample without faults meets a table with both: refused, then mended by the flags of convert."""
    wrong = out_of_order()
    for row in (3, 5):
        for name, value in (("history_item", "i2"), ("history_time", int(wrong["time"][row]))):
            wrong[name][row] = [*wrong[name][row], value, value]
    converted(tmp_path, columns(), capsys=capsys)
    schema = data.read_schema(tmp_path / "s.json")
    longer = [dataclasses.replace(f, max_length=9) if isinstance(f, data.Sequence) else f for f in schema.features]
    data.write_schema(dataclasses.replace(schema, features=tuple(longer)), tmp_path / "s.json")
    pq.write_table(pa.table(wrong), tmp_path / "log.parquet")
    given = [f"--input={tmp_path}/log.parquet", f"--schema={tmp_path}/s.json", "--split_fractions=1", "--noprogress"]
    with pytest.raises(SystemExit):
        convert.run(["convert", *given, f"--output={tmp_path}/refused"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "history: 4 behaviours, on 2 of 200 rows, are at or after the row's own time" in line
    assert "--only_earlier=history leaves them out; history: on 100 of 200 rows the times do not run" in line
    assert line.endswith("--sort_by_time=history sorts them.")
    assert not (tmp_path / "refused").exists()
    convert.run(["convert", *given, f"--output={tmp_path}/good", "--only_earlier=history", "--sort_by_time=history"])
    mended = data.read_schema(tmp_path / "good").reading
    assert mended is not None
    assert (mended.only_earlier, mended.sort_by_time) == (("history",), ("history",))
    good = next(iter(data.read_records(tmp_path / "good", batch_size=ROWS)))
    gaps = (good["time"][:, None] - good["history_time"])[:, :3]
    np.testing.assert_array_equal(gaps, np.tile([30, 20, 10], (ROWS, 1)))
    assert (good["history_time"][:, 3:].numpy() == -1).all()
    assert list(out_of_order_records(data.read_schema(tmp_path / "good"), splits=["train"])) == []
    # The same records written without a look at them, by a program.
    build_records(
        splits={"train": lambda: iter(pa.table(wrong).to_batches())},
        schema=data.read_schema(tmp_path / "s.json"),
        output=tmp_path / "bad",
    )
    with pytest.raises(SystemExit) as ended:
        inspect.run(["inspect", f"--data={tmp_path}/bad", "--validate"])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "train: sequence 'history' holds 4 behaviours at or after the event, on 2 of 200 examples" in said
    assert "do not run from the oldest to the newest on 100 of 200 examples" in said


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("newest_first=histry", "names 'histry', which is not a sequence of the tables. Did you mean 'history'?"),
        ("only_earlier=item", "names 'item', which is not a sequence of the tables, in a schema with an event time."),
        ("sort_by_time=item", "names 'item', which is not a sequence of the tables with times. There are: history."),
        (
            "gaps=item",
            "names 'item', which is not a column of the times of a sequence, in a schema with an event time.",
        ),
    ],
)
def test_wrong_flags_are_one_line(tmp_path: Path, flag: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table(columns()), tmp_path / "log.parquet")
    with pytest.raises(SystemExit):
        infer.run(["infer", f"--input={tmp_path}/log.parquet", "--label=click", f"--{flag}"])
    assert capsys.readouterr().err.startswith(f"error: --{flag.partition('=')[0]} {message}")
