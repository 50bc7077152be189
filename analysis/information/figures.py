"""Draws a correlation: the ranking, the semantic-temporal maps ([Tencent] §A.2), their decay, and pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import stats

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, count, figure, panels, shortened
from fullrank.analysis.information.behaviour_map import TRUTH, CellMap
from fullrank.analysis.information.correlate import Correlation
from fullrank.analysis.information.decay import Decay

_UNITS: Final = {
    "position": "position (1 is the most recent behaviour)",
    "interval": "time between behaviour and target",
}
_LINES: Final = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MOST_BARS: Final = 40
_MOST_NAMED: Final = 6


def draw_correlation(found: Correlation, directory: Path, *, targets: int, ending: str = "png") -> list[Path]:
    """Writes the figures.

    Args:
      found: The result.
      directory: Directory to write to.
      targets: Number of target categories that get a map.
      ending: `png` or `svg`.

    Returns:
      The files.
    """
    files = [directory / f"features.{ending}"]
    draw_ranking(found, path=files[0])
    for axis, cells in found.maps.items():
        for place, name in enumerate(cells.targets[:targets]):
            files.append(directory / f"{axis}_{place + 1}_{_file_name(name)}.{ending}")
            draw_map(cells, target=place, label=found.label, path=files[-1])
        files.append(directory / f"decay_{axis}.{ending}")
        draw_decay([d for d in found.decays if d.axis == axis], cells=cells, label=found.label, path=files[-1])
    if found.pairs:
        files.append(directory / f"pairs.{ending}")
        draw_pairs(found, path=files[-1])
    for expert, learned in found.learned_pairs.items():
        if learned["pairs"]:
            files.append(directory / f"pairs_{_file_name(expert)}.{ending}")
            draw_learned_pairs(learned, expert=expert, label=found.label, path=files[-1])
    return files


def draw_ranking(found: Correlation, *, path: Path) -> None:
    """Draws one bar per feature: its information about the label beyond chance, in percent of the label's entropy."""
    drawn, scale = found.ranking[:_MOST_BARS], 100.0 / found.entropy if found.entropy > 0 else 0.0
    with figure(path=path, width=7.5, height=1.4 + 0.27 * len(drawn)) as axes:
        for place, each in enumerate(drawn):
            told = each.found.plugin > each.found.high
            axes.barh(place, scale * max(each.found.corrected, 0.0), height=0.7, color=BLUE if told else GREY)
            spread = scale * max(each.found.high - each.found.chance, 0.0)
            axes.plot([spread, spread], [place - 0.35, place + 0.35], color=ORANGE, linewidth=1.6)
            axes.annotate(
                f"{scale * each.found.corrected:.3g} %",
                (1.01, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
                color="black" if told else GREY,
            )
        axes.plot([], [], color=ORANGE, label="97.5 % of permuted labels stay left of this")
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
        axes.set_yticks(
            range(len(drawn)), [f"{shortened(e.name)}  ({count(e.found.values)})" for e in drawn], fontsize=9
        )
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_ylabel("feature (values)")
        axes.set_xlabel(f"mutual information with {found.label}, beyond chance [% of its entropy]")
        some = f", the first {_MOST_BARS} of {len(found.ranking)}" if len(found.ranking) > _MOST_BARS else ""
        axes.set_title(f"What each feature tells about {found.label}{some}", pad=22)


def draw_map(cells: CellMap, *, target: int, label: str, path: Path) -> None:
    """Draws the map of one target category, one panel for the label and one per run; its own category is on top."""
    order = [target, *(place for place in range(len(cells.targets)) if place != target), len(cells.targets)]
    names = [shortened(cells.behaviours[place], longest=20) for place in order]
    sources, columns = cells.sources, cells.columns
    wide = 1.9 + 0.085 * max(map(len, names)) + (0.3 * len(columns) + 1.6) * len(sources)
    with panels(path=path, rows=1, columns=len(sources), width=wide, height=1.9 + 0.28 * len(order)) as drawn:
        for place, (axes, source) in enumerate(zip(drawn, sources, strict=True)):
            values = 1e3 * np.maximum(cells.information(source)[target][order], 0.0)
            image = axes.imshow(values, cmap="viridis", vmin=0.0, aspect="auto", interpolation="nearest")
            axes.grid(visible=False)
            axes.set_yticks(range(len(names)), names if not place else [""] * len(names), fontsize=9)
            upright = cells.axis == "interval"
            axes.set_xticks(range(len(columns)), columns, fontsize=8, rotation=90 if upright else 0)
            if not upright and len(columns) > 12:
                axes.set_xticks(range(0, len(columns), 2), columns[::2], fontsize=8)
            axes.set_xlabel(_UNITS[cells.axis] if len(sources) == 1 else cells.axis)
            axes.set_title(
                f"{label}, as observed" if source == TRUTH else f"{label}, as {source} predicts", fontsize=10
            )
            bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
            bar.set_label("mutual information [1/1000 nat]" if place == len(sources) - 1 else "")
        drawn[0].set_ylabel("category of behaviours")
        drawn[0].figure.suptitle(
            f"Target category {shortened(cells.targets[target])} ({count(cells.examples[target])} examples)",
            fontsize=11,
        )


def draw_decay(decays: Sequence[Decay], *, cells: CellMap, label: str, path: Path) -> None:
    """Draws the effects of behaviours of the target's own category and of others over positions or intervals."""
    sources = list(dict.fromkeys(decay.source for decay in decays))
    with figure(path=path, width=7.0, height=4.4) as axes:
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        x = np.arange(len(cells.columns))
        for decay in decays:
            if not decay.same and decay.source != TRUTH:
                continue
            color = _LINES[sources.index(decay.source) % len(_LINES)] if decay.same else GREY
            fitted = "" if np.isnan(decay.constant) else f", time constant {_constant(decay)}"
            who = "as observed" if decay.source == TRUTH else decay.source
            name = f"{who}{fitted}" if decay.same else "other categories, as observed"
            axes.plot(x, decay.effects, "o-", color=color, markersize=4, label=name)
            reach = 1.96 * decay.errors
            axes.fill_between(x, decay.effects - reach, decay.effects + reach, color=color, alpha=0.15, linewidth=0)
        axes.set_xticks(x, cells.columns, fontsize=8, rotation=90 if cells.axis == "interval" else 0)
        axes.set_xlabel(_UNITS[cells.axis])
        axes.set_ylabel(f"log odds ratio of {label}")
        axes.set_title("Behaviours of the target's own category: decay of their effect")
        axes.legend(loc="best", fontsize=9)


def draw_pairs(found: Correlation, *, path: Path) -> None:
    """Draws the interaction information of each pair: orange if redundant, purple if both tell more together."""
    names = [each.name for each in found.ranking if any(each.name in (p.first, p.second) for p in found.pairs)]
    names = names[:_MOST_BARS]
    values = np.full((len(names), len(names)), np.nan)
    place = {name: k for k, name in enumerate(names)}
    for pair in found.pairs:
        if pair.first in place and pair.second in place:
            first, second = place[pair.first], place[pair.second]
            values[first, second] = values[second, first] = 1e3 * pair.interaction
    largest = float(np.nanmax(np.abs(values), initial=1e-9))
    size = 2.6 + 0.27 * len(names)
    with figure(path=path, width=size + 1.6, height=size + 0.6) as axes:
        image = axes.imshow(values, cmap="PuOr", vmin=-largest, vmax=largest, interpolation="nearest")
        axes.grid(visible=False)
        shown = [shortened(name, longest=24) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), shown, fontsize=8)
        axes.figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02).set_label("interaction information [1/1000 nat]")
        axes.set_title("Pairs of features: redundant (orange) or more together (purple)")


def draw_learned_pairs(learned: Mapping[str, Any], *, expert: str, label: str, path: Path) -> None:
    """Draws each pair as a point: its interaction information, and the strength that the expert learned."""
    told = np.array([1e3 * pair["interaction"] for pair in learned["pairs"]])
    strength = np.array([pair["strength"] for pair in learned["pairs"]])
    with figure(path=path, width=7.0, height=4.6) as axes:
        axes.axhline(1.0, color=GREY, linewidth=0.8)
        axes.axvline(0.0, color=GREY, linewidth=0.8)
        axes.plot(told, strength, "o", color=BLUE, markersize=5, alpha=0.7)
        most = np.argsort(-np.maximum(stats.rankdata(np.abs(told)), stats.rankdata(strength)), kind="stable")
        for k in most[:_MOST_NAMED]:
            pair = learned["pairs"][k]
            name = f"{shortened(pair['first'], longest=16)} x {shortened(pair['second'], longest=16)}"
            left = told[k] > 0.5 * (told.min() + told.max())
            axes.annotate(
                name,
                (told[k], strength[k]),
                xytext=(-6 if left else 6, 4),
                textcoords="offset points",
                fontsize=8,
                ha="right" if left else "left",
            )
        axes.set_xlabel(f"interaction information of the pair with {label} [1/1000 nat]")
        axes.set_ylabel(f"strength that {expert} learned (1 at the start)")
        rank = learned["interaction"]
        axes.set_title(
            "Pairs: measured information and learned strength"
            + ("" if rank is None else f"; rank correlation {rank:.2f}")
        )


def _constant(decay: Decay) -> str:
    if decay.axis == "position":
        return f"{decay.constant:.2g} ± {decay.error:.1g} positions"
    unit, name = next(
        (u, n) for u, n in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")) if decay.constant >= u or u == 1.0
    )
    return f"{decay.constant / unit:.3g} ± {decay.error / unit:.1g} {name}"


def _file_name(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)[:40]
