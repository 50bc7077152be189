"""Describes how a run's groups are used and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.comparisons.group_lift import code_usage, group_lifts
from fullrank.analysis.comparisons.paired import wilson_interval
from fullrank.analysis.comparisons.tables import format_table
from fullrank.analysis.figures.groups import Bar, meaning_bars, usage_lines
from fullrank.data.files.write_aside import check_replaceable, written_aside
from fullrank.data.reading.read import read_records
from fullrank.data.schema.json import read_schema
from fullrank.models import Ranker
from fullrank.trainers.insight.configs import GroupsConfig
from fullrank.trainers.insight.groups_read import GroupedExamples, numbered_values, read_groups
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.records import explained

RESULT: Final = "groups.json"
_USAGE: Final = ("place", "level", "usage", "perplexity", "left_over")
_MEANING: Final = ("place", "group", "share", "feature", "value", "within", "overall", "lift")


def groups_run(config: GroupsConfig) -> dict[str, Any]:
    """Reads a split, prints two tables, and writes JSON and figures.

    Returns:
      The content of `groups.json`: place -> `reconstruction`, `levels` (usage, perplexity, mean squared residual,
      shares of the codes) and `groups` (the largest of the first level: share, label rates, values by lift).

    Raises:
      ValueError: If the run has no groups, or the records do not fit.
    """
    check_replaceable(Path(config.output), overwrite=config.overwrite, made_of=RESULT)
    loaded = load_run(config.run)
    if not loaded.model.learns_groups:
        raise ValueError(f"--run={config.run} has learned no groups: train it with --group_places=user, for example.")
    schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
    needed = [column.name for column in loaded.schema.input_columns]
    check_same_columns(loaded.schema, schema, columns=[*needed, *loaded.model.outputs.rows.label_columns])
    split = schema.split(config.split)
    if not split.examples:
        raise ValueError(f"The split {config.split!r} of {schema.directory} is empty.")
    with explained(schema, splits=[config.split]):
        batches = read_records(schema, split=config.split, batch_size=config.batch_size)
        seen = read_groups(loaded.model, batches, examples=split.examples)
    content = {place: _of_place(loaded.model, seen, place, config) for place in seen.codes}
    with written_aside(Path(config.output), overwrite=config.overwrite, made_of=RESULT) as aside:
        for place, found in content.items():
            _draw(place, found, aside)
        write_json(content, aside / RESULT)
    print(_summary(content))
    return content


def _of_place(model: Ranker, seen: GroupedExamples, place: str, config: GroupsConfig) -> dict[str, Any]:
    codes = seen.codes[place]
    several = model.options.group_structure.codes
    levels = []
    for level, left in enumerate(seen.errors[place].tolist()):
        used = code_usage(np.bincount(codes[:, level], minlength=several))
        shares = [round(share, 6) for share in used.shares.tolist()]
        levels.append({"usage": used.usage, "perplexity": used.perplexity, "left_over": left, "shares": shares})
    sizes = np.bincount(codes[:, 0], minlength=several)
    largest = [int(group) for group in np.argsort(-sizes, kind="stable")[: config.largest] if sizes[group]]
    values = _values(model, seen, codes[:, 0], set(largest))
    groups = [
        {
            "group": group,
            "share": float(sizes[group] / len(codes)),
            "labels": {task: _rate(label[codes[:, 0] == group], label) for task, label in seen.labels.items()},
            "values": [entry for entry in values if entry["group"] == group][: config.values],
        }
        for group in largest
    ]
    return {"reconstruction": seen.reconstruction[place], "levels": levels, "groups": groups}


def _values(model: Ranker, seen: GroupedExamples, groups: Any, largest: set[int]) -> list[dict[str, Any]]:
    """The feature values that distinguish the largest groups, the most certain first."""
    columns = {column.name: column for column in model.schema.input_columns}
    found = []
    for name, given in seen.columns.items():
        numbers, names = numbered_values(columns[name], given)
        found += [
            {"group": lift.group, "feature": name, "value": names[lift.value], "examples": lift.examples,
             "within": lift.share, "overall": lift.overall, "lift": lift.lift, "z": lift.z}
            for lift in group_lifts(groups=groups, values=numbers)
            if lift.group in largest
        ]  # fmt: skip
    return sorted(found, key=lambda entry: -entry["z"])


def _rate(within: Any, overall: Any) -> dict[str, float | None]:
    known = within[np.isfinite(within)]
    if not len(known):
        return {"rate": None, "low": None, "high": None, "overall": None}
    rate = float(known.mean())
    low, high = wilson_interval(rate=rate, examples=len(known))
    return {"rate": rate, "low": float(low), "high": float(high), "overall": float(np.nanmean(overall))}


def _draw(place: str, found: dict[str, Any], directory: Path) -> None:
    usage_lines(
        shares=[level["shares"] for level in found["levels"]], place=place, path=directory / f"{place}_usage.png"
    )
    bars = [
        Bar(str(group["group"]), f"{entry['feature']} = {entry['value']}", entry["within"], entry["overall"])
        for group in found["groups"]
        for entry in group["values"]
    ]
    sizes = {str(group["group"]): group["share"] for group in found["groups"]}
    if bars:
        meaning_bars(bars=bars, sizes=sizes, place=place, path=directory / f"{place}_meaning.png")


def _summary(content: dict[str, Any]) -> str:
    usage = [
        {"place": place, "level": number, **level}
        for place, found in content.items()
        for number, level in enumerate(found["levels"], 1)
    ]
    meaning = [
        {"place": place, **entry, "group": str(group["group"]), "share": group["share"]}
        for place, found in content.items()
        for group in found["groups"]
        for entry in group["values"]
    ]
    rates = [
        {"place": place, "group": str(group["group"]), "task": task, **rate}
        for place, found in content.items()
        for group in found["groups"]
        for task, rate in group["labels"].items()
    ]
    return (
        f"Codes:\n{format_table(rows=usage, columns=_USAGE)}\n\nThe largest groups of the first level:\n"
        f"{format_table(rows=meaning, columns=_MEANING)}\n\nTheir labels:\n"
        f"{format_table(rows=rates, columns=('place', 'group', 'task', 'rate', 'low', 'high', 'overall'))}"
    )
