"""The report of a study: a table a task with paired differences and intervals, and a figure a statistic."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fullrank.analysis.figures.differences import difference_intervals
from fullrank.analysis.paired import PairedDifference, paired_difference
from fullrank.trainers.study_plan import LOWER_IS_BETTER, Study

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Variant -> seed -> what the run came to."""

_TITLES: Final = {"auc": "AUC", "ne": "NE", "gauc": "GAUC", "ece": "ECE", "log_loss": "log loss"}
_LARGEST_SEGMENTS: Final = 6


def write_report(study: Study, lines: Sequence[Mapping[str, Any]], *, directory: Path, records: str) -> str:
    """Writes `report.md` and the figures, also of a study that is not finished.

    Args:
      study: What was compared.
      lines: Finished and failed runs.
      directory: Where to.
      records: Directory of the records, for the heading.

    Returns:
      The text of the report.
    """
    results: dict[str, dict[int, Mapping[str, Any]]] = {variant: {} for variant in study.variants}
    for line in lines:
        if "error" not in line and line["variant"] in results:
            results[line["variant"]][line["seed"]] = line
    tasks = list(dict.fromkeys(task for runs in results.values() for run in runs.values() for task in run["tasks"]))
    parts = [_heading(study, results, records=records)]
    for task in tasks:
        parts.append(f"### {task}\n\n{_table(study, results, task)}")
        parts += _segment_tables(study, results, task)
        for metric in study.metrics:
            _draw(study, results, task=task, metric=metric, directory=directory)
    parts.append(_cost_table(results))
    failed = [line for line in lines if "error" in line and line["seed"] not in results.get(line["variant"], {})]
    parts += [f"Failed: {line['variant']}, seed {line['seed']}: {line['error']}" for line in failed]
    text = "\n\n".join(parts) + "\n"
    file = directory / "report.md"
    aside = file.with_name(f"{file.name}.writing-{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(file)
    return text


def _heading(study: Study, results: Results, *, records: str) -> str:
    seeds = sorted({seed for runs in results.values() for seed in runs})
    flags = f"\n\nAll variants: `{' '.join(study.flags)}`" if study.flags else ""
    return (
        f"## {study.name} on {Path(records).name}\n\n{study.question}\n\nSeeds {', '.join(map(str, seeds))}. Mean and "
        f"standard deviation over them; in brackets the mean difference from {study.baseline} and its 95 % interval "
        f"over paired seeds, which covers the training's chance, not that of the test examples.{flags}"
    )


def values_of(results: Results, *, variant: str, task: str, metric: str) -> dict[int, float]:
    """Seed -> the statistic, where the run has it."""
    found = {}
    for seed, run in results[variant].items():
        value = run["tasks"].get(task, {}).get(metric)
        if value is not None:
            found[seed] = float(value)
    return found


def difference_of(results: Results, *, variant: str, baseline: str, task: str, metric: str) -> PairedDifference:
    """The paired difference over the seeds that both have."""
    mine = values_of(results, variant=variant, task=task, metric=metric)
    other = values_of(results, variant=baseline, task=task, metric=metric)
    seeds = sorted(mine.keys() & other.keys())
    return paired_difference(values=[mine[seed] for seed in seeds], baseline=[other[seed] for seed in seeds])


def _table(study: Study, results: Results, task: str) -> str:
    header = ["variant", "runs", *(_TITLES.get(metric, metric) for metric in study.metrics), "expected", "came out"]
    rows = []
    for variant in study.variants:
        cells = [variant, str(len(results[variant]))]
        cells += [_cell(study, results, variant=variant, task=task, metric=metric) for metric in study.metrics]
        cells += [study.expected.get(variant, ""), _verdict(study, results, variant=variant, task=task)]
        rows.append(cells)
    return markdown(header, rows)


def _cell(study: Study, results: Results, *, variant: str, task: str, metric: str) -> str:
    values = list(values_of(results, variant=variant, task=task, metric=metric).values())
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    text = f"{statistics.mean(values):.4f}{spread}"
    if variant == study.baseline:
        return text
    difference = difference_of(results, variant=variant, baseline=study.baseline, task=task, metric=metric)
    return f"{text} ({difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}])"


def _verdict(study: Study, results: Results, *, variant: str, task: str) -> str:
    side = study.expected.get(variant)
    if side is None:
        return ""
    metric = study.metrics[0]
    difference = difference_of(results, variant=variant, baseline=study.baseline, task=task, metric=metric)
    rises = (side == "better") != (metric in LOWER_IS_BETTER)
    return difference.verdict("+" if rises else "-")


def _segment_tables(study: Study, results: Results, task: str) -> Iterable[str]:
    for segment in study.segments:
        sizes: dict[str, int] = {}
        for runs in results.values():
            for run in runs.values():
                for value, entry in run["tasks"].get(task, {}).get("segments", {}).get(segment, {}).items():
                    sizes[value] = max(sizes.get(value, 0), int(entry["examples"]))
        largest = sorted(sizes, key=lambda value: -sizes[value])[:_LARGEST_SEGMENTS]
        if largest:
            rows = []
            for variant, runs in results.items():
                cells = [variant]
                for value in largest:
                    found = {
                        seed: run["tasks"][task]["segments"].get(segment, {}).get(value, {}).get("auc")
                        for seed, run in runs.items()
                    }
                    cells.append(_segment_cell(study, results, variant, found, task, segment, value))
                rows.append(cells)
            header = ["AUC", *(f"{segment}={value} ({sizes[value]:,})" for value in largest)]
            yield markdown(header, rows)


def _segment_cell(
    study: Study,
    results: Results,
    variant: str,
    found: Mapping[int, float | None],
    task: str,
    segment: str,
    value: str,
) -> str:
    values = {seed: number for seed, number in found.items() if number is not None}
    if not values:
        return "-"
    text = f"{statistics.mean(values.values()):.4f}"
    if variant == study.baseline:
        return text
    base = {
        seed: run["tasks"][task]["segments"].get(segment, {}).get(value, {}).get("auc")
        for seed, run in results[study.baseline].items()
    }
    seeds = [seed for seed in sorted(values) if base.get(seed) is not None]
    difference = paired_difference(values=[values[s] for s in seeds], baseline=[float(base[s] or 0.0) for s in seeds])
    return f"{text} ({difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}])"


def _cost_table(results: Results) -> str:
    rows = []
    for variant, runs in results.items():
        if runs:
            middle = {
                name: statistics.median(run[name] for run in runs.values())
                for name in ("cpu_seconds", "parameters", "best_epoch")
            }
            rows.append(
                [variant, f"{middle['cpu_seconds']:.0f}", f"{middle['parameters']:,.0f}", f"{middle['best_epoch']:g}"]
            )
    return markdown(["variant", "CPU seconds a run", "weights", "best epoch"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _draw(study: Study, results: Results, *, task: str, metric: str, directory: Path) -> None:
    differences = {
        variant: difference_of(results, variant=variant, baseline=study.baseline, task=task, metric=metric)
        for variant in study.variants
        if variant != study.baseline
    }
    differences = {variant: difference for variant, difference in differences.items() if difference.pairs}
    if differences:
        title = f"{_TITLES.get(metric, metric)} of {task}"
        path = directory / "figures" / f"{task}_{metric}.png"
        difference_intervals(differences=differences, baseline=study.baseline, statistic=title, path=path)
