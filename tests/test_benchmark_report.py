"""What all benchmarks print and write."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def report(repository: Path) -> Any:
    spec = importlib.util.spec_from_file_location("report", repository / "benchmarks" / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while it loads.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_sides_alternate_and_swap(report: Any) -> None:
    calls: list[str] = []
    timing = report.alternate(lambda: calls.append("a"), lambda: calls.append("b"), rounds=3, warmup=1)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert len(timing.ours.values) == len(timing.reference_cpu.values) == 3
    assert all(value > 0 for value in timing.ours.values)


def test_medians_and_ratios(report: Any) -> None:
    ours, reference = report.Sample((1.0, 9.0, 2.0)), report.Sample((4.0, 4.0, 4.0))
    timing = report.Timing(ours, reference, ours, reference)
    assert timing.ratio_of_medians == 2 / 4
    assert timing.median_of_ratios == 2 / 4
    assert ours.spread == (1.0, 9.0)
    # Quartiles of 0, 1, 2, 3, 4, 5, 6, 7, 100 are 2 and 6: one slow round does not widen the spread.
    assert report.Sample((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 100.0)).spread == (2.0, 6.0)
    assert report.Sample((0.5,)).rate(2048).values == (4096.0,)
    assert report.Sample((0.5,)).scaled(1e3).values == (500.0,)


@pytest.mark.parametrize(("goal", "holds"), [("<= 1.5", True), ("<= 0.4", False), (">= .5", True), ("", None)])
def test_goal(report: Any, goal: str, holds: bool | None) -> None:
    row = report.compare(name="x", ours=report.Sample((1.0,)), reference=report.Sample((2.0,)), unit="ms", goal=goal)
    assert row.ratio == 0.5
    assert row.holds is holds


@pytest.mark.parametrize("goal", ["<1.5", "1.5", "== 2"])
def test_unreadable_goal_is_refused(report: Any, goal: str) -> None:
    with pytest.raises(ValueError, match="a goal is"):
        report.compare(name="x", ours=report.Sample((1.0,)), reference=report.Sample((2.0,)), unit="ms", goal=goal)


def test_rounds_are_needed(report: Any) -> None:
    with pytest.raises(ValueError, match="rounds >= 1"):
        report.alternate(lambda: None, lambda: None, rounds=0)


def test_table_and_json(report: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = report.Sample((1234.0, 1300.0, 1290.0))
    rows = [
        report.compare(name="read", ours=sample, reference=sample, unit="rows/s", goal=">= 8"),
        report.compare(name="alone", ours=sample, reference=None, unit="rows/s"),
    ]
    report.emit(rows, str(tmp_path / "rows.json"))
    machine, head, first, second = capsys.readouterr().out.splitlines()
    assert machine.startswith("# ")
    assert "cores" in machine
    assert head.split() == ["name", "ours", "reference", "unit", "ratio", "goal", "holds"]
    assert first.split()[1:4] == ["1,290", "[1,234,", "1,300]"]
    assert first.endswith("no")
    assert second.endswith("-")
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [row["holds"] for row in written] == [False, None]
    assert set(written[0]) == {
        *("name", "ours", "reference", "ratio", "goal", "holds", "ours_spread", "reference_spread", "unit")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]


def test_peak_memory_is_at_least_what_was_held(report: Any) -> None:
    held = bytearray(50_000_000)
    assert report.peak_memory() > len(held)
