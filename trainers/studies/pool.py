"""Runs jobs in worker processes and keeps each result as a line of a file, so that a stopped study resumes."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import tqdm

from fullrank.trainers.studies.job import start_worker

_RUNS_A_PROCESS: Final = 6
"""Graphs of finished runs are never quite freed, so workers are replaced after so many."""
_Job = TypeVar("_Job")


def read_results(file: Path) -> list[dict[str, Any]]:
    """The finished runs; a last line that was cut off by a kill is left out."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def run_jobs(jobs: Sequence[_Job], run: Callable[[_Job], list[dict[str, Any]]], file: Path, *, workers: int) -> None:
    """Runs jobs and appends their results to a file as they come.

    Args:
      jobs: Plain data, one each.
      run: A function of a module, which is called in a worker process. Each of its results names `variant` and `seed`,
        and has `error` where it failed.
      file: Of one JSON object a line.
      workers: Processes at a time, each with its share of the cores.
    """
    if not jobs:
        return
    workers = min(workers, len(jobs))
    with (
        open(file, "a", encoding="utf-8") as results,
        tqdm.tqdm(total=len(jobs), unit="run", desc="study") as bar,
    ):
        _end_cut_line(file, results)
        portion = workers * _RUNS_A_PROCESS
        for start in range(0, len(jobs), portion):
            _run_portion(jobs[start : start + portion], run, results, bar, workers=workers)


def _run_portion(
    jobs: Sequence[_Job], run: Callable[[_Job], list[dict[str, Any]]], results: Any, bar: Any, *, workers: int
) -> None:
    """Runs some jobs in worker processes of their own."""
    pool = concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_worker,
        initargs=(max(1, len(os.sched_getaffinity(0)) // workers),),
    )
    with pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            for future in concurrent.futures.as_completed(futures):
                for result in future.result():
                    results.write(json.dumps(result, allow_nan=False) + "\n")
                    results.flush()
                    if "error" in result:
                        tqdm.tqdm.write(f"{result['variant']}, seed {result['seed']} failed: {result['error']}")
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_cut_line(file: Path, results: Any) -> None:
    text = file.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        whole = text[: text.rfind("\n") + 1]
        results.truncate(len(whole.encode("utf-8")))
