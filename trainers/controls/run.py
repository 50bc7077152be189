"""Runs what is missing of the controls, and writes their page."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fullrank.data.files.printable import closest
from fullrank.data.files.write_aside import write_text
from fullrank.trainers.controls.catalogue import CONTROLS
from fullrank.trainers.controls.one_variant import VariantJob, run_variant
from fullrank.trainers.controls.page import write_page
from fullrank.trainers.controls.plan import SIDES, Control, ControlConfig, Side
from fullrank.trainers.studies.pool import appended_to, read_results, run_jobs

RESULTS: Final = "controls.jsonl"
PAGE: Final = "controls.md"
_PORTION: Final = 3
"""Variants after which the page is rewritten, and workers are replaced."""


def run_controls(config: ControlConfig) -> int:
    """Runs controls to their end, or resumes them; the page is rewritten as results arrive.

    Returns:
      How many runs failed.

    Raises:
      ValueError: If a control is unknown, or a flag of a variant is refused.
    """
    controls = [_adapted(control, config) for control in chosen(config.controls)]
    sides = [side for side in SIDES if side in config.sides]
    for control in controls:
        for variant in control.variants:
            VariantJob(control=control, side="positive", variant=variant, missing=()).config(control.rates[0])
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    file = output / RESULTS
    shown = [_adapted(control, config) for control in CONTROLS.values()]
    missing = [job for job in jobs_of(controls, sides=sides, results=read_results(file)) if job.missing]
    print(f"{len(missing)} variants to train, {config.workers} at a time.", flush=True)
    for start in range(0, len(missing), _PORTION * config.workers):
        portion = missing[start : start + _PORTION * config.workers]
        with appended_to(file) as done:
            run_jobs(portion, run_variant, done=done, workers=config.workers, title="controls", unit="variant")
        write_text(output / PAGE, write_page(shown, read_results(file)))
    results = read_results(file)
    page = write_page(shown, results)
    write_text(output / PAGE, page)
    print(f"Everything is in {output}: {PAGE} and {RESULTS}.")
    left = jobs_of(controls, sides=sides, results=results)
    return sum(len(job.missing) for job in left)


def chosen(names: Sequence[str]) -> list[Control]:
    """The controls of those names; all if none is given.

    Raises:
      ValueError: If there is none of a name.
    """
    for name in names:
        if name not in CONTROLS:
            meant = closest(name, list(CONTROLS))
            hint = f" Did you mean {meant!r}?" if meant else ""
            raise ValueError(f"--controls: there is no control {name!r}. Controls: {', '.join(CONTROLS)}.{hint}")
    return [control for name, control in CONTROLS.items() if not names or name in names]


def jobs_of(
    controls: Sequence[Control],
    *,
    sides: Sequence[Side],
    results: Sequence[Mapping[str, Any]],
) -> list[VariantJob]:
    """A job for each variant, with the runs that results lack; what first claims compare comes first."""
    jobs = [
        (_turn(control, variant), _job(control, side, variant, results))
        for side in sides
        for control in controls
        for variant in control.variants_of(side)
    ]
    return [job for _, job in sorted(jobs, key=operator.itemgetter(0))]


def _turn(control: Control, variant: str) -> int:
    """0 for what the first claim compares, 1 for what others do, 2 for the rest."""
    claims = [{claim.method, claim.baseline} for claim in control.claims]
    return 0 if variant in claims[0] else 1 if variant in set().union(*claims) else 2


def _job(control: Control, side: Side, variant: str, results: Sequence[Mapping[str, Any]]) -> VariantJob:
    done = {
        (line["seed"], line["rate"])
        for line in results
        if (line["control"], line["side"], line["variant"]) == (control.name, side, variant)
        and line["plan"] == control.digest(side, variant)
        and "error" not in line
    }
    runs = [(seed, rate) for seed in control.seeds for rate in control.rates]
    return VariantJob(
        control=control, side=side, variant=variant, missing=tuple(run for run in runs if run not in done)
    )


def _adapted(control: Control, config: ControlConfig) -> Control:
    return dataclasses.replace(control, rows=config.rows or control.rows, seeds=config.seeds or control.seeds)
