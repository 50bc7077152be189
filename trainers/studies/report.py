"""The report of a study: one table per task with paired differences and intervals, and one figure per statistic."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fullrank.analysis.comparisons.paired import PairedDifference, paired_difference
from fullrank.analysis.figures.gains import difference_intervals
from fullrank.data.files.write_aside import write_text
from fullrank.trainers.studies.plan import LOWER_IS_BETTER, Study

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Variant -> seed -> the result of the run."""

_TITLES: Final = {
    "auc": "AUC",
    "ne": "NE",
    "gauc": "GAUC",
    "ece": "ECE",
    "log_loss": "log loss",
    "ia": "IA",
    "ia_share": "IA / min(N, d)",
}
_LARGEST_SEGMENTS: Final = 6


def write_report(study: Study, lines: Sequence[Mapping[str, Any]], *, directory: Path, records: str) -> str:
    """Writes `report.md` and the figures, also for a study that is not finished.

    Args:
      study: The study.
      lines: Finished and failed runs.
      directory: Where to write.
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
    write_text(directory / "report.md", text)
    return text


def _heading(study: Study, results: Results, *, records: str) -> str:
    seeds = sorted({seed for runs in results.values() for seed in runs})
    flags = f"\n\nAll variants: `{' '.join(study.flags)}`" if study.flags else ""
    return (
        f"## {study.name} on {Path(records).name}\n\n{study.question}\n\nSeeds {', '.join(map(str, seeds))}. Mean and "
        f"standard deviation over them; in brackets the mean difference from {study.baseline} and its 95 % interval "
        f"over paired seeds, which covers the randomness of training, not that of the test examples.{flags}"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statistic:
    """The content of a cell: a metric of a task, over all examples or those of one value of a segment."""

    task: str
    metric: str
    segment: tuple[str, str] | None = None

    def of(self, run: Mapping[str, Any]) -> float | None:
        """A run's value, if it is defined."""
        found = run["tasks"].get(self.task, {})
        if self.segment is not None:
            name, value = self.segment
            found = found.get("segments", {}).get(name, {}).get(value, {})
        number = found.get(self.metric)
        return None if number is None else float(number)


def difference_of(results: Results, statistic: Statistic, *, variant: str, baseline: str) -> PairedDifference:
    """The paired difference over the seeds that both variants have."""
    mine, other = (_values(results[name], statistic) for name in (variant, baseline))
    seeds = sorted(mine.keys() & other.keys())
    return paired_difference(values=[mine[seed] for seed in seeds], baseline=[other[seed] for seed in seeds])


def _values(runs: Mapping[int, Mapping[str, Any]], statistic: Statistic) -> dict[int, float]:
    found = {seed: statistic.of(run) for seed, run in runs.items()}
    return {seed: number for seed, number in found.items() if number is not None}


def _table(study: Study, results: Results, task: str) -> str:
    header = ["variant", "runs", *(_TITLES.get(metric, metric) for metric in study.metrics), "expected", "came out"]
    rows = []
    for variant in study.variants:
        cells = [_cell(study, results, variant, Statistic(task=task, metric=metric)) for metric in study.metrics]
        came_out = _verdict(study, results, variant=variant, task=task)
        rows.append([variant, str(len(results[variant])), *cells, study.expected.get(variant, ""), came_out])
    return markdown(header, rows)


def _cell(study: Study, results: Results, variant: str, statistic: Statistic) -> str:
    values = list(_values(results[variant], statistic).values())
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    text = f"{statistics.mean(values):.4f}{spread}"
    if variant == study.baseline:
        return text
    difference = difference_of(results, statistic, variant=variant, baseline=study.baseline)
    if difference.pairs < 2:
        return f"{text} ({difference.mean:+.4f})" if difference.pairs else text
    return f"{text} ({difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}])"


def _verdict(study: Study, results: Results, *, variant: str, task: str) -> str:
    side = study.expected.get(variant)
    if side is None:
        return ""
    metric = study.metrics[0]
    statistic = Statistic(task=task, metric=metric)
    difference = difference_of(results, statistic, variant=variant, baseline=study.baseline)
    rises = (side == "better") != (metric in LOWER_IS_BETTER)
    return difference.verdict("+" if rises else "-")


def _segment_tables(study: Study, results: Results, task: str) -> Iterator[str]:
    runs = [run for runs in results.values() for run in runs.values() if task in run["tasks"]]
    for segment in study.segments:
        sizes: dict[str, int] = {}
        for run in runs:
            for value, entry in run["tasks"][task]["segments"].get(segment, {}).items():
                sizes[value] = max(sizes.get(value, 0), int(entry["examples"]))
        largest = sorted(sizes, key=lambda value: -sizes[value])[:_LARGEST_SEGMENTS]
        if largest:
            shown = [Statistic(task=task, metric="auc", segment=(segment, value)) for value in largest]
            rows = [[variant, *(_cell(study, results, variant, each) for each in shown)] for variant in results]
            yield markdown(["AUC", *(f"{segment}={value} ({sizes[value]:,})" for value in largest)], rows)


def _cost_table(results: Results) -> str:
    rows = []
    for variant, runs in results.items():
        if runs:
            middle = {
                name: statistics.median(run[name] for run in runs.values())
                for name in ("cpu_seconds", "weights", "best_epoch")
            }
            rows.append(
                [variant, f"{middle['cpu_seconds']:.0f}", f"{middle['weights']:,.0f}", f"{middle['best_epoch']:g}"]
            )
    return markdown(["variant", "CPU seconds per run", "weights", "best epoch"], rows)


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
        variant: difference_of(results, Statistic(task=task, metric=metric), variant=variant, baseline=study.baseline)
        for variant in study.variants
        if variant != study.baseline
    }
    differences = {variant: difference for variant, difference in differences.items() if difference.pairs}
    if differences:
        title = f"{_TITLES.get(metric, metric)} of {task}"
        path = directory / "figures" / f"{task}_{metric}.png"
        difference_intervals(differences=differences, baseline=study.baseline, statistic=title, path=path)
