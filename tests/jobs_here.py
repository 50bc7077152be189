"""Runs the jobs of studies, searches and controls within the test's process, in place of worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def run_jobs_here(
    jobs: Sequence[Any],
    run: Callable[[Any], Any],
    *,
    done: Callable[[Any], None],
    workers: int,
    title: str,
    unit: str = "run",
) -> None:
    """One job after the other; takes the arguments of `fullrank.trainers.studies.pool.run_jobs`."""
    assert workers >= 1
    assert title
    assert unit
    for job in jobs:
        done(run(job))
