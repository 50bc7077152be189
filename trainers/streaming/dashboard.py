"""The dashboard of an online run: bias, NE and AUC over time, waiting times, and what the rule decided."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, count, figure, panels
from fullrank.data.files.write_aside import write_text
from fullrank.trainers.streaming.join import WAITING_EDGES
from fullrank.trainers.streaming.progressive import GROUPS
from fullrank.trainers.studies.report import markdown

REPORT: Final = "online.md"
WINDOWS: Final = "windows.json"
_COLOURS: Final = {"all": BLUE, "young": ORANGE}
_NAMES: Final = {"all": "all ads", "young": "young ads"}
_METRICS: Final = ("examples", "ne", "auc", "bias")
_FEWEST: Final = 10
"""Fewest positives for which a stretch of time has a point: the bias of fewer is noise."""


def write_dashboard(directory: Path, *, windows: Sequence[Mapping[str, Any]], numbers: Mapping[str, Any]) -> Path:
    """Draws the figures and writes the page that shows them.

    Args:
      directory: Directory that they are written to.
      windows: Stretches of time, as `windows.json` of a run holds them.
      numbers: As `result.json` holds them.

    Returns:
      The page.
    """
    _bias(directory / "bias.png", windows)
    _quality(directory / "quality.png", windows)
    _waits(directory / "waits.png", numbers["waits"])
    _decisions(directory / "decisions.png", numbers["decisions"])
    counted = {**numbers["counters"], **numbers["problems"]}
    rows = [[_NAMES[group], *(_cell(numbers["metrics"][group][name]) for name in _METRICS)] for group in GROUPS]
    parts = [
        "# Online training",
        f"{numbers['steps']:,} steps. Every click was scored before it was trained on.",
        markdown(["", *_METRICS], rows),
        "![Predicted over observed conversions](bias.png)",
        "![NE and AUC](quality.png)",
        "![How long clicks waited](waits.png)",
        "![What the rule decided](decisions.png)",
        "## Events",
        markdown(["events", "number"], [[name, f"{number:,}"] for name, number in counted.items()]),
    ]
    write_text(directory / REPORT, "\n\n".join(parts) + "\n")
    return directory / REPORT


def read_dashboard(run: Path) -> list[dict[str, Any]]:
    """The stretches of time of a run; none before its first checkpoint."""
    file = run / WINDOWS
    windows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return windows


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _points(windows: Sequence[Mapping[str, Any]], group: str, metric: str) -> tuple[Any, Any]:
    """Middles of stretches as dates, and the metric; NaN where too few converted."""
    middles = [(window["start"] + window["end"]) / 2 for window in windows]
    times = [datetime.datetime.fromtimestamp(time, datetime.UTC) for time in middles]
    found = [window["groups"][group] for window in windows]
    values = [
        values[metric] if values[metric] is not None and (values["positives"] or 0) >= _FEWEST else np.nan
        for values in found
    ]
    return times, values


def _bias(path: Path, windows: Sequence[Mapping[str, Any]]) -> None:
    with figure(path=path, width=7.5, height=4.0) as axes:
        axes.axhline(1.0, color=GREY, linewidth=1.0)
        for group in GROUPS:
            axes.plot(*_points(windows, group, "bias"), "o-", markersize=3, color=_COLOURS[group], label=_NAMES[group])
        axes.set_title("Predicted over observed conversions; 1 is unbiased")
        axes.set_ylabel("bias")
        axes.tick_params(axis="x", rotation=30)
        axes.legend()


def _quality(path: Path, windows: Sequence[Mapping[str, Any]]) -> None:
    with panels(path=path, rows=2, columns=1, width=7.5, height=5.5) as axes:
        for place, (metric, title) in enumerate((("ne", "Normalised entropy; lower is better"), ("auc", "AUC"))):
            for group in GROUPS:
                times, values = _points(windows, group, metric)
                axes[place].plot(times, values, "o-", markersize=3, color=_COLOURS[group], label=_NAMES[group])
            axes[place].set_title(title)
        axes[0].legend()
        axes[1].tick_params(axis="x", rotation=30)


def _waits(path: Path, waits: Sequence[int]) -> None:
    edges = [_hours(edge) for edge in WAITING_EDGES]
    names = ["none", *(f"up to {edge}" for edge in edges), f"over {edges[-1]}"]
    last = max((place for place, number in enumerate(waits) if number), default=0)
    _bars(path, names[: last + 1], waits[: last + 1], title="How long clicks waited")


def _decisions(path: Path, decisions: Mapping[str, int]) -> None:
    names = [name.replace("_", " ") for name in decisions]
    _bars(path, names, list(decisions.values()), title="What the release rule decided, clicks")


def _bars(path: Path, names: Sequence[str], numbers: Sequence[int], *, title: str) -> None:
    with figure(path=path, width=7.5, height=0.35 * len(names) + 1.2) as axes:
        bars = axes.barh(range(len(names)), numbers, color=BLUE)
        axes.bar_label(bars, labels=[count(number) for number in numbers], padding=3)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_title(title)
        axes.grid(axis="y", visible=False)


def _hours(seconds: float) -> str:
    hours = seconds / 3600.0
    if hours < 1.0:
        return f"{60 * hours:.0f} min"
    return f"{hours:g} h" if hours < 48.0 else f"{hours / 24:g} d"
