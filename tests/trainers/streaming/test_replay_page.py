"""The page of a replay from lines written by hand: means, intervals, differences, shares, and what the figure shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fullrank.analysis.figures.style import panels
from fullrank.trainers.streaming import replay_page
from fullrank.trainers.streaming.replay_config import ReplayConfig
from fullrank.trainers.streaming.replay_page import values_of, write_page

DAY = 86_400.0


def window(day: int, *, bias: float | None, young: float | None = None, positives: int = 100) -> dict[str, Any]:
    groups = {name: {"bias": value, "positives": positives} for name, value in (("all", bias), ("young", young))}
    return {"start": day * DAY, "end": (day + 1) * DAY, "groups": groups}


def line(method: str, seed: int, *, bias: float, young: float | None = None, **more: Any) -> dict[str, Any]:
    def metrics(value: float | None) -> dict[str, Any]:
        return {"ne": 0.9, "auc": 0.7, "bias": value} if value is not None else dict.fromkeys(("ne", "auc", "bias"))

    return {
        "method": method,
        "seed": seed,
        "metrics": {"all": metrics(bias), "young": metrics(young)},
        "waits": [80, 15, 5],
        "counters": {"late": 1, "in_time": 3},
        "windows": [window(0, bias=bias, young=young)],
        **more,
    }


def rows_of(page: str) -> dict[str, list[str]]:
    """Method -> its cells after the name."""
    table = [[cell.strip() for cell in text.strip("|").split("|")] for text in page.splitlines() if text[:1] == "|"]
    return {cells[0]: cells[1:] for cells in table[2:]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, tuple[list[Any], list[float]]]]:
    """Panel -> line -> dates and values of the figures that are written."""
    found: list[dict[str, tuple[list[Any], list[float]]]] = []

    @contextlib.contextmanager
    def watched(**how: Any) -> Iterator[Any]:
        with panels(**how) as axes:
            yield axes
            for each in axes:
                lines: dict[str, Any] = {str(one.get_label()): one.get_data() for one in each.get_lines()[1:]}
                found.append({name: (list(dates), list(values)) for name, (dates, values) in lines.items()})

    monkeypatch.setattr(replay_page, "panels", watched)
    return found


def test_means_intervals_and_paired_differences_by_hand(tmp_path: Path) -> None:
    config = ReplayConfig(output="unused", methods=("naive", "fixed", "oracle"))
    lines = [line("naive", 1, bias=1.5, young=2.0), line("naive", 2, bias=1.7, young=2.0)]
    lines += [line("oracle", 1, bias=1.0), line("oracle", 2, bias=1.1, young=1.2)]
    text = write_page(config, lines, directory=tmp_path)
    assert (tmp_path / "report.md").read_text() == text + "\n"
    assert text.startswith("# Late conversions: platform\n\n2 seeds.")
    rows = rows_of(text)
    assert list(rows) == ["naive", "oracle"]  # fixed has not run
    # Deviations .1414 and .0707 of two values, so errors .1 and .05, and t(.975, 1) = 12.7062.
    assert rows["naive"][:4] == ["2", "0.9000 [0.9000, 0.9000]", "0.7000 [0.7000, 0.7000]", "1.6000 [0.3294, 2.8706]"]
    assert rows["oracle"][3] == "1.0500 [0.4147, 1.6853] (-0.5500 [-1.1853, +0.0853])"
    # Young ads have a bias in one of the oracle's runs alone: no interval, and nothing to pair.
    assert rows["oracle"][4] == "1.2000"
    # 20 of 100 clicks waited; 1 of 4 conversions was late.
    assert [cells[-2:] for cells in rows.values()] == [["20 %", "25 %"]] * 2


def test_what_is_undefined_is_a_dash(tmp_path: Path) -> None:
    lines = [line("naive", 1, bias=1.5, waits=[0, 0], counters={"late": 0, "in_time": 0})]
    assert values_of(lines, group="young", metric="bias") == {}
    cells = rows_of(write_page(ReplayConfig(output="unused"), lines, directory=tmp_path))["naive"]
    assert cells == ["1", "0.9000", "0.7000", "1.5000", "-", "-", "100 %", "0 %"]


def test_the_figure_shows_means_over_seeds_where_enough_converted(
    tmp_path: Path, drawn: list[dict[str, tuple[list[Any], list[float]]]]
) -> None:
    first = [window(0, bias=1.0, young=3.0), window(1, bias=2.0), window(2, bias=9.0, positives=19)]
    second = [window(0, bias=1.5, young=4.0), window(1, bias=None)]
    lines = [line("rule", 1, bias=1.0, young=1.0, windows=first), line("rule", 2, bias=1.0, windows=second)]
    lines += [line("fnc", 1, bias=1.0, windows=first)]
    write_page(ReplayConfig(output="unused"), lines, directory=tmp_path)
    every, young = drawn
    assert set(every) == {"rule"}  # the line of fnc could not be told from that of fnw
    dates, values = every["rule"]
    assert [date.isoformat() for date in dates] == ["1970-01-01T12:00:00+00:00", "1970-01-02T12:00:00+00:00"]
    assert values == [1.25, 2.0]
    assert young["rule"][1] == [3.5]
    assert (tmp_path / "bias.png").stat().st_size > 5000


def test_there_is_no_panel_of_young_ads_where_there_are_none(
    tmp_path: Path, drawn: list[dict[str, tuple[list[Any], list[float]]]]
) -> None:
    write_page(ReplayConfig(output="unused"), [line("naive", 1, bias=1.2)], directory=tmp_path)
    assert [list(panel) for panel in drawn] == [["naive"]]
