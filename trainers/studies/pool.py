"""Runs jobs in worker processes and keeps each result as a line of a file, so that a stopped study resumes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import tqdm

from fullrank.trainers.studies.job import start_worker

_RUNS_A_PROCESS: Final = 6
"""The number of runs after which a worker is replaced, because graphs of finished runs are never freed completely."""
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def read_results(file: Path) -> list[dict[str, Any]]:
    """The finished runs; a last line that was cut off by a kill is left out."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def run_jobs(
    jobs: Sequence[_Job],
    run: Callable[[_Job], _Result],
    *,
    done: Callable[[_Result], None],
    workers: int,
    title: str,
    unit: str = "run",
) -> None:
    """Runs jobs in worker processes, with a bar of progress.

    Args:
      jobs: Plain data, one item per job.
      run: A module-level function, called in a worker process.
      done: Called in this process with the result of each job, as they arrive.
      workers: Processes at a time, each with its share of the cores.
      title: Title of the bar.
      unit: Unit of the bar.
    """
    if not jobs:
        return
    workers = min(workers, len(jobs))
    with tqdm.tqdm(total=len(jobs), unit=unit, desc=title) as bar:
        portion = workers * _RUNS_A_PROCESS
        for start in range(0, len(jobs), portion):
            _run_portion(jobs[start : start + portion], run, done, bar, workers=workers)


def _run_portion(
    jobs: Sequence[_Job],
    run: Callable[[_Job], _Result],
    done: Callable[[_Result], None],
    bar: Any,
    *,
    workers: int,
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
                done(future.result())
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # A run takes minutes to hours, and what a killed one has saved is taken up again.
            for worker in multiprocessing.active_children():
                worker.kill()
            raise


@contextlib.contextmanager
def appended_to(file: Path) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Returns a function that appends results to a file, one JSON object per line, and reports failures.

    Args:
      file: The file; results name `variant` and `seed`, and have `error` if they failed.
    """
    with open(file, "a", encoding="utf-8") as lines:
        _end_cut_line(file, lines)

        def append(results: list[dict[str, Any]]) -> None:
            for result in results:
                lines.write(json.dumps(result, allow_nan=False) + "\n")
                lines.flush()
                if "error" in result:
                    tqdm.tqdm.write(f"{result['variant']}, seed {result['seed']} failed: {result['error']}")

        yield append


def _end_cut_line(file: Path, results: Any) -> None:
    text = file.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        whole = text[: text.rfind("\n") + 1]
        results.truncate(len(whole.encode("utf-8")))
