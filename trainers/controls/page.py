"""The page of the controls: one table of claims, and one of all variants for each control."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fullrank.analysis.comparisons.paired import PairedDifference, paired_difference
from fullrank.trainers.controls.plan import LOWER_IS_BETTER, SIDES, Claim, Control, Side
from fullrank.trainers.studies.report import markdown

_HEAD: Final = """# Controls

For each claim of the papers a world is planted in which theory says that the method must win (positive control), and
one without what the method is for, in which it must not win by more than chance (negative control). Worlds stream:
every variant sees the same rows in a single pass, in an equal number of steps. Each seed draws a world and weights
anew. In each world a variant is trained with every learning rate of a grid, the same for all variants of a control;
validation rows of that world choose one, and test rows give the figures. The floor is a constant prediction (of `ia`:
the untrained tables), the oracle predicts by the planted logit. Intervals are Student's, 95 %, of the difference
between method and baseline over paired seeds.

A positive control is *won* when the whole interval lies above 0 (below, where lower is better); a negative one is
*kept* unless it does.

This page is written by `fullrank control --output=docs/studies`, from `controls.jsonl` beside it.
"""
_FLOORS: Final = {
    **dict.fromkeys(("auc", "first_auc", "last_auc", "worst_auc", "new_auc", "fresh_auc", "far_auc"), 0.5),
    **dict.fromkeys(("ne", "inside_ne"), 1.0),
    "nmi": 0.0,
}
_STRUCTURE: Final = ("ia", "untrained ia", "ia_isotropic", "rank_experts", "rank_read")
"""Figures shown next to an information abundance: that of the untrained table, that of random numbers of its shape, and
the effective rank of the experts' outputs and of the towers' inputs."""
Values = Mapping[int, Mapping[str, Any]]
"""Seed -> the line of a run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Found:
    """The finished runs of one side of a control, by variant and seed: of each seed that with the chosen rate."""

    control: Control
    side: Side
    runs: Mapping[str, Values]

    def values(self, variant: str) -> dict[int, float]:
        metric = self.control.metric
        return {seed: line["values"][metric] for seed, line in self.runs[variant].items()}

    def references(self, part: str) -> list[float]:
        """The metric of the untrained model or of the oracle, in every run."""
        lines = [line for runs in self.runs.values() for line in runs.values()]
        return [line[part][self.control.metric] for line in lines if self.control.metric in line[part]]

    def difference(self, claim: Claim) -> PairedDifference:
        method, baseline = self.values(claim.method), self.values(claim.baseline)
        seeds = sorted(method.keys() & baseline.keys())
        return paired_difference(values=[method[s] for s in seeds], baseline=[baseline[s] for s in seeds])


def write_page(controls: Sequence[Control], results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page, in Markdown.

    Args:
      controls: The controls to show; what is missing of their seeds is said.
      results: Lines of finished and failed runs; those of another plan are left out.
    """
    found = {(c.name, side): _found(c, side, results) for c in controls for side in SIDES}
    header = ["claim", "metric"]
    for side in SIDES:
        header += [f"{side}: floor", "baseline", "method", "oracle", "difference", "verdict"]
    rows = [
        [
            claim.text,
            control.metric,
            *(cell for side in SIDES for cell in _cells(found[control.name, side], claim)),
        ]
        for control in controls
        for claim in control.claims
    ]
    parts = [_HEAD, markdown(header, rows)]
    for control in controls:
        parts += [f"## {control.name}", f"{control.rows:,} rows, one pass; flags `{' '.join(control.flags)}`."]
        parts += [control.note] if control.note else []
        parts += list(_details(control, found))
        parts += list(_maps(control, found[control.name, "positive"]))
    parts += list(_missing(controls, found, results))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _found(control: Control, side: Side, results: Sequence[Mapping[str, Any]]) -> _Found:
    trained: dict[str, dict[int, dict[float, Mapping[str, Any]]]] = {each: {} for each in control.variants_of(side)}
    for line in results:
        mine = (line["control"], line["side"]) == (control.name, side) and line["variant"] in trained
        wanted = mine and line["seed"] in control.seeds and "error" not in line
        if wanted and line["plan"] == control.digest(side, line["variant"]):
            trained[line["variant"]].setdefault(line["seed"], {})[line["rate"]] = line
    runs = {
        variant: {seed: _chosen(control, rates) for seed, rates in seeds.items() if set(control.rates) <= rates.keys()}
        for variant, seeds in trained.items()
    }
    return _Found(control=control, side=side, runs=runs)


def _chosen(control: Control, rates: Mapping[float, Mapping[str, Any]]) -> Mapping[str, Any]:
    return rates[control.best_rate({rate: line["validated"] for rate, line in rates.items()})]


def _cells(found: _Found, claim: Claim) -> list[str]:
    metric, seeds = found.control.metric, len(found.control.seeds)
    floors = [_FLOORS[metric]] if metric in _FLOORS else found.references("untrained")
    oracles = found.references("oracle")
    difference = found.difference(claim)
    means = [_mean(list(found.values(variant).values())) for variant in (claim.baseline, claim.method)]
    if difference.pairs < 2:
        return [_mean(floors), *means, _mean(oracles), "-", f"{difference.pairs} of {seeds} seeds"]
    interval = f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
    partly = "" if difference.pairs == seeds else f" ({difference.pairs} of {seeds} seeds)"
    return [_mean(floors), *means, _mean(oracles), interval, verdict(found, difference) + partly]


def verdict(found: _Found, difference: PairedDifference) -> str:
    """`won`, `not resolved` or `lost` where the method must win; `kept` or `not kept` where it must not."""
    low, high = difference.low, difference.high
    if found.control.metric in LOWER_IS_BETTER:
        low, high = -high, -low
    if found.side == "negative":
        outcome, expected = ("not kept", False) if low > 0 else ("kept", True)
    else:
        outcome, expected = ("**won**" if low > 0 else "lost" if high < 0 else "not resolved"), low > 0
    return outcome if expected or not found.control.note else f"{outcome}: [why](#{found.control.name})"


def _details(control: Control, found: Mapping[tuple[str, Side], _Found]) -> Iterator[str]:
    names: list[str] = ["auc", "ne", *([control.metric] if control.metric not in ("auc", "ne", "ia") else [])]
    names += _STRUCTURE if control.metric == "ia" else ()
    names += ["attention"] if control.name == "tim" else []
    rows = []
    for side in SIDES:
        for variant, runs in found[control.name, side].runs.items():
            if runs:
                cells = [_spread([_value(line, name) for line in runs.values()]) for name in names]
                some = next(iter(runs.values()))
                cpu = statistics.median(line["cpu_seconds"] for line in runs.values())
                flags = " ".join(f"`{flag}`" for flag in control.variants[variant])
                rows.append(
                    [
                        side,
                        variant,
                        flags,
                        str(len(runs)),
                        *cells,
                        _counted([line["rate"] for line in runs.values()]),
                        f"{some['weights']:,}",
                        f"{cpu:.0f}",
                    ]
                )
    if rows:
        yield markdown(["side", "variant", "flags", "seeds", *names, "rates", "weights", "CPU seconds"], rows)
    else:
        yield "Not run yet."


def _counted(rates: Sequence[float]) -> str:
    """Each chosen rate, with how many seeds chose it."""
    return ", ".join(f"{rate:g}: {rates.count(rate)}" for rate in sorted(set(rates)))


def _maps(control: Control, found: _Found) -> Iterator[str]:
    """The attention of the first claim's method by the age of a behaviour; means over seeds."""
    maps = [line["map"] for line in found.runs[control.claims[0].method].values() if line.get("map")]
    if maps:
        yield "Attention by the age of a behaviour, times the number of behaviours, so that 1 is a plain mean:"
        rows = []
        for ages in zip(*maps, strict=True):
            means = [_mean([age[name] for age in ages if age[name] is not None]) for name in ("alike", "others")]
            rows.append([f"{ages[0]['up_to_hours']:g}", *means])
        yield markdown(["hours, up to", "of the target's category", "others"], rows)


def _value(line: Mapping[str, Any], name: str) -> float | None:
    part, _, metric = name.rpartition(" ")
    value = line[part or "values"].get(metric)
    return None if value is None else float(value)


def _missing(
    controls: Sequence[Control],
    found: Mapping[tuple[str, Side], _Found],
    results: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    lines = []
    for control in controls:
        for side in SIDES:
            for variant, runs in found[control.name, side].runs.items():
                wanted = [str(seed) for seed in control.seeds if seed not in runs]
                if wanted:
                    lines.append(f"* {control.name}, {side}, {variant}: seeds {', '.join(wanted)}")
    failed = {
        f"* {line['control']}, {line['side']}, {line['variant']}, seed {line['seed']}, rate {line['rate']:g}: "
        f"{line['error']}"
        for line in results
        if "error" in line and line["control"] in {control.name for control in controls}
    }
    if lines:
        yield "## Still missing\n\n" + "\n".join(lines)
    if failed:
        yield "## Failed\n\n" + "\n".join(sorted(failed))


def _mean(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.4f}" if values else "-"


def _spread(given: Sequence[float | None]) -> str:
    values = [value for value in given if value is not None]
    return _mean(values) + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")
