"""The page of a replay: a table over seeds with intervals, paired differences, and bias over time."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.comparisons.paired import paired_difference
from fullrank.analysis.figures.style import GREY, panels
from fullrank.data.files.write_aside import write_text
from fullrank.trainers.streaming.replay_config import ReplayConfig
from fullrank.trainers.studies.report import markdown

PAGE: Final = "report.md"
FIGURE: Final = "bias.png"
_BASELINE: Final = "naive"
_COLUMNS: Final = (
    ("all", "ne", "NE"), ("all", "auc", "AUC"), ("all", "bias", "bias"), ("young", "bias", "bias of young ads"),
    ("young", "ne", "NE of young ads"),
)  # fmt: skip
_TALLEST: Final = 2.5
"""Bias up to which the figure goes; a method that predicts more is cut off there."""
_LINES: Final = {
    "naive": ("#777777", "-"), "fixed": ("#D55E00", "-"), "rule": ("#0072B2", "-"), "fnw": ("#009E73", "--"),
    "es_dfm": ("#CC79A7", "-"), "dfm": ("#E69F00", "--"), "rule_es_dfm": ("#56B4E9", "-"), "oracle": ("#000000", ":"),
}  # fmt: skip
"""Method -> colour and style; FNC, whose line cannot be distinguished from that of FNW, is left out."""


def values_of(lines: Sequence[Mapping[str, Any]], *, group: str, metric: str) -> dict[str, dict[int, float]]:
    """Method -> seed -> value, where it is defined."""
    found: dict[str, dict[int, float]] = {}
    for line in lines:
        value = line["metrics"][group][metric]
        if value is not None:
            found.setdefault(line["method"], {})[line["seed"]] = float(value)
    return found


def write_page(config: ReplayConfig, lines: Sequence[Mapping[str, Any]], *, directory: Path) -> str:
    """Writes the page and its figure; returns its text."""
    _figure(directory / FIGURE, lines)
    seeds = len({line["seed"] for line in lines})
    header = ["method", "runs", *(title for *_, title in _COLUMNS), "waited", "late"]
    rows = []
    for method in config.methods:
        own = [line for line in lines if line["method"] == method]
        if own:
            cells = [_cell(lines, method, group=group, metric=metric) for group, metric, _ in _COLUMNS]
            rows.append([method, str(len(own)), *cells, _share(own, _waited), _share(own, _late)])
    text = "\n\n".join(
        [
            f"# Late conversions: {config.dataset}",
            f"{seeds} seeds. Mean over seeds and its 95 % interval; in parentheses the paired difference from "
            f"{_BASELINE}. Bias is predicted over observed. `waited`: clicks that were not released at once; `late`: "
            "conversions that came after the release.",
            markdown(header, rows),
            f"![Bias over time]({FIGURE})",
        ]
    )
    write_text(directory / PAGE, text + "\n")
    return text


def _cell(lines: Sequence[Mapping[str, Any]], method: str, *, group: str, metric: str) -> str:
    found = values_of(lines, group=group, metric=metric)
    own = found.get(method, {})
    if not own:
        return "-"
    whole = paired_difference(values=list(own.values()), baseline=[0.0] * len(own))
    text = f"{whole.mean:.4f}"
    if whole.pairs > 1:
        text += f" [{whole.low:.4f}, {whole.high:.4f}]"
    both = [seed for seed in own if seed in found.get(_BASELINE, {})]
    if method == _BASELINE or len(both) < 2:
        return text
    difference = paired_difference(
        values=[own[seed] for seed in both], baseline=[found[_BASELINE][seed] for seed in both]
    )
    return f"{text} ({difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}])"


def _share(lines: Sequence[Mapping[str, Any]], of: Any) -> str:
    return f"{100 * float(np.mean([of(line) for line in lines])):.0f} %"


def _waited(line: Mapping[str, Any]) -> float:
    return 1.0 - float(line["waits"][0]) / max(1.0, float(sum(line["waits"])))


def _late(line: Mapping[str, Any]) -> float:
    counters = line["counters"]
    return float(counters["late"]) / max(1.0, float(counters["late"] + counters["in_time"]))


def _figure(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Bias of each stretch of time, mean over seeds; young ads below, if there are any."""
    groups = [group for group in ("all", "young") if values_of(lines, group=group, metric="bias")]
    with panels(path=path, rows=len(groups), columns=1, width=8.0, height=3.2 * len(groups)) as axes:
        for place, group in enumerate(groups):
            axes[place].axhline(1.0, color=GREY, linewidth=1.0)
            for method, (colour, style) in _LINES.items():
                days, means = _over_time([line for line in lines if line["method"] == method], group)
                if days:
                    axes[place].plot(days, means, style, color=colour, label=method, linewidth=1.5)
            axes[place].set_title(
                "Bias of all ads, by day" if group == "all" else "Bias of ads younger than 3 days, by day"
            )
            axes[place].set_ylabel("predicted / observed")
            axes[place].set_ylim(0.0, min(axes[place].get_ylim()[1], _TALLEST))
        axes[0].legend(ncols=4, fontsize=8)
        axes[-1].tick_params(axis="x", rotation=30)


def _over_time(lines: Sequence[Mapping[str, Any]], group: str) -> tuple[Any, list[float]]:
    found: dict[float, list[float]] = {}
    for line in lines:
        for window in line["windows"]:
            values = window["groups"][group]
            if values["bias"] is not None and values["positives"] >= 20:
                found.setdefault((window["start"] + window["end"]) / 2, []).append(values["bias"])
    times = sorted(found)
    return [datetime.datetime.fromtimestamp(time, datetime.UTC) for time in times], [
        float(np.mean(found[time])) for time in times
    ]
