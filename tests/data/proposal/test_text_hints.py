"""Texts that are times in another form, and lists in one cell; and texts that are neither."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pytest
from ran_commands import ran

from fullrank.data.infer import run
from fullrank.data.proposal.sample import profile_table
from fullrank.data.proposal.text_hints import advice_on_list, advice_on_time, time_format


def hints(values: list[str]) -> tuple[str | None, str | None, str | None]:
    profile = profile_table(pa.table({"seen at": values}))["seen at"]
    return time_format(profile), advice_on_time(profile), advice_on_list(profile)


@pytest.mark.parametrize("format", ["%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M", "%d/%m/%Y", "%d %b %Y %H:%M:%S", "%b %d %Y"])
def test_times_in_another_form(format: str) -> None:
    days = [datetime.datetime(2024, 5, 1, 13, 5) + datetime.timedelta(hours=7 * step) for step in range(80)]
    found, advice, _ = hints([day.strftime(format) for day in days])
    assert found == format
    assert advice is not None
    assert f"--column=\"seen at=strptime(\\\"seen at\\\", '{format}')\" --time='seen at'" in advice


@pytest.mark.parametrize("values", [["a7", "b8"], ["1.2.2024", "x"], ["50%", "60%"], ["13/13/2024"] * 3, ["v1", "v2"]])
def test_other_texts_are_not_times(values: list[str]) -> None:
    assert hints(values)[:2] == (None, None)


def test_lists_in_one_cell() -> None:
    kinds = ("cars", "pets", "food", "art")
    cells = [f"{a}, {b}" for a in kinds for b in kinds if a != b] + list(kinds)
    advice = hints(cells)[2]
    assert advice == "cells hold up to 2 values of 4 different ones, separated by ',': --list_delimiter=',' reads lists"
    assert hints([f"Street {n}, City {n}" for n in range(50)])[2] is None
    assert hints([f"word{n}" for n in range(50)])[2] is None


def _table(path: Path, columns: dict[str, list[object]]) -> None:
    pc.write_csv(pa.table(columns), path)


def test_the_command_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Followed as printed, the advice makes the event time; names say no side, and one file has another header."""
    size = 40
    days = [datetime.datetime(2024, 5, 1) + datetime.timedelta(hours=5 * step) for step in range(size)]
    columns: dict[str, list[object]] = {
        "seen_at": [day.strftime("%m/%d/%Y %H:%M") for day in days],
        "user_id": [f"u{step % 7}" for step in range(size)],
        "ad_id": [f"a{step % 5}" for step in range(size)],
        "slot": [step % 3 for step in range(size)],
        "click": [step % 2 for step in range(size)],
    }
    _table(tmp_path / "a.csv", columns)
    _table(tmp_path / "b.csv", {"userid" if name == "user_id" else name: cells for name, cells in columns.items()})
    given = (f"--input={tmp_path}/a.csv,{tmp_path}/b.csv", "--label=click")
    code, out, _ = ran(capsys, run, *given)
    assert code == 0
    flags = ("--column=seen_at=strptime(seen_at, '%m/%d/%Y %H:%M')", "--time=seen_at")
    assert (
        f'seen_at: times in the form %m/%d/%Y %H:%M: --column="{flags[0].removeprefix("--column=")}" {flags[1]}' in out
    )
    assert "Of user or ad? The names do not say: seen_at, slot." in out
    assert (
        f"{tmp_path}/b.csv: there is no column user_id, so it is missing in all rows. Is 'userid', which no other "
        "file has, 'user_id'?"
    ) in out
    code, out, _ = ran(capsys, run, *given, *flags)
    assert code == 0
    assert "the event time, in s" in out
    code, _, errors = ran(capsys, run, *given, "--time=seen_at")
    assert code == 1
    assert "--time=seen_at: cells such as '05/0" in errors
    assert f"They are times in the form %m/%d/%Y %H:%M: {flags[0][:8]}" in errors
