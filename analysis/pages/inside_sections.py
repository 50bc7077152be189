"""Sections made from the output of `fullrank inspect-run`: sleeping parts, learned pairs, stated uncertainty."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.figures.matrix import matrix_heatmap
from fullrank.analysis.figures.stated_deviation import stated_deviation
from fullrank.analysis.pages.page import Section, Table
from fullrank.analysis.pages.pictures import Picture, Pictures
from fullrank.analysis.pages.run_files import RunFiles

_MOST_TASKS: Final = 4
_MOST_FIELDS: Final = 24
_MOST_EXPERTS: Final = 4


def parts_section(run: RunFiles, *, pictures: Pictures) -> Section:
    """Parts that are asleep, the contribution of each part, and the pairs of fields that experts weight."""
    title, found = "Parts of the model", run.parts.get("inspect")
    if found is None:
        missing = [("Which parts of the model work and which are asleep.", run.command("inspect"))]
        return Section(name="parts", title=title, missing=missing)
    measures, asleep = found["measures"], found["asleep"]
    lead = (
        f"{len(asleep)} part{'s' * (len(asleep) != 1)} of it {'is' if len(asleep) == 1 else 'are'} asleep: it would "
        "predict nearly the same without."
        if asleep
        else "No part of it is asleep."
    )
    shares = {name: value for name, value in measures.items() if name.startswith("share/")}
    ranked = sorted(shares, key=lambda name: -(shares[name] or 0.0))
    worth = tuple(
        (part, shares[f"share/{part}"], measures.get(f"rms/{part}"), measures.get(f"attention/{part}"))
        for part in (name.removeprefix("share/") for name in ranked)
    )
    tables = [
        Table(
            columns=("part", "share of the predictions", "size", "evenness of its attention"),
            rows=worth,
            caption="Contribution of each part",
            folded=True,
        )
    ]
    if asleep:
        rows = tuple((each["part"], each["why"], each["do"]) for each in asleep)
        tables.insert(0, Table(columns=("asleep", "because", "try"), rows=rows))
    drawn = [
        _pairs(pairs, expert=expert, pictures=pictures)
        for expert, pairs in list(found["pairs"].items())[:_MOST_EXPERTS]
    ]
    return Section(name="parts", title=title, lead=lead, tables=tables, pictures=drawn)


def uncertainty_section(run: RunFiles, *, pictures: Pictures) -> Section | None:
    """The uncertainty that the head states; `None` for a run whose head states none."""
    head = run.model.get("head", "logit")
    if head == "logit":
        return None
    found = (run.parts.get("inspect") or {}).get("uncertainty") or {}
    lead = (
        f"The head is {head}: its export has the signatures posterior (mean, variance, calibrated probability) and "
        "thompson. The replay of a log measures how much exploration with it earns."
    )
    drawn = [
        pictures.drawn(
            functools.partial(stated_deviation, quantiles=of_task["quantiles"], groups=of_task["groups"], task=task),
            caption="A flat line on the left states the same for every example. On the right, predicted rates should "
            "lie within the intervals of the observed ones, also for the least certain examples.",
            alt=f"Deviation of the logit of {task}",
        )
        for task, of_task in list(found.items())[:_MOST_TASKS]
    ]
    missing = [] if drawn else [("How certain the model is about each example.", run.command("inspect"))]
    return Section(name="uncertainty", title="Uncertainty", lead=lead, pictures=drawn, missing=missing)


def _pairs(pairs: Sequence[dict[str, Any]], *, expert: str, pictures: Pictures) -> Picture:
    """The fields with the strongest pairs."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair["first"], pair["second"])))
    most = dict.fromkeys(names, 0.0)
    for pair in pairs:
        for name in (pair["first"], pair["second"]):
            most[name] = max(most[name], abs(pair["strength"] - 1.0))
    kept = sorted(sorted(names, key=lambda name: -most[name])[:_MOST_FIELDS], key=names.index)
    place = {name: k for k, name in enumerate(kept)}
    values = np.full((len(kept), len(kept)), np.nan)
    for pair in pairs:
        if pair["first"] in place and pair["second"] in place:
            first, second = place[pair["first"]], place[pair["second"]]
            values[first, second] = values[second, first] = pair["strength"]
    some = f" The {_MOST_FIELDS} fields whose pairs moved the most." if len(names) > _MOST_FIELDS else ""
    return pictures.drawn(
        functools.partial(_draw, values=values, names=kept, title=f"Pairs that {expert} weights"),
        caption=f"Strength of each pair; training began at 1 for all.{some}",
        alt=f"Strengths of the pairs of {expert}",
    )


def _draw(*, values: Any, names: Sequence[str], title: str, path: Path) -> None:
    largest = max(float(np.nanmax(values, initial=0.0)), 1.0)
    matrix_heatmap(values=values, rows=names, columns=names, title=title, scale="strength", largest=largest, path=path)
