"""The pipelines of a conversion on Apache Beam in one process without Beam: the same steps, grouped by dictionaries.

Elements pass in an order that no runner promises, last one first, so that no step relies on one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fullrank.data.beam.count import Places, added, count_file, keep_ids
from fullrank.data.beam.divide import Division
from fullrank.data.beam.earlier_rows import keep_earlier, rows_by_key, with_earlier
from fullrank.data.beam.flags import Runner
from fullrank.data.beam.job import Job
from fullrank.data.beam.numbers import joined_samples, keep_sample, number_file
from fullrank.data.beam.read_file import read_file
from fullrank.data.beam.shards import Ends, rows_of_shards, write_shard


class StepByStep:
    """Stands in for `fullrank.data.beam.pipelines.Pipelines`."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def read(self, job: Job) -> None:
        for number in _files(job):
            read_file(number, job)

    def take_earlier(self, job: Job) -> None:
        rows = (each for number in _files(job) for each in rows_by_key(number, job))
        filled = (each for group in _grouped(rows) for each in with_earlier(group, job))
        for group in _grouped(filled):
            keep_earlier(group, job)

    def count(self, job: Job, division: Division) -> None:
        counts = (each for number in _files(job) for each in count_file(number, job, division))
        for key, values in _grouped(counts):
            keep_ids((key, added([added([]), *(added([value]) for value in values)])), job)

    def write(self, job: Job, division: Division, places: Places, ends: Ends) -> None:
        samples = (each for number in _files(job) for each in number_file(number, job, division, places))
        for key, values in _grouped(samples):
            keep_sample((key, joined_samples([joined_samples([]), *values])), job)
        rows = (each for number in _files(job) for each in rows_of_shards(number, job, division, places, ends))
        for group in _grouped(rows):
            write_shard(group, job, ends)


def _files(job: Job) -> Iterable[int]:
    return reversed(range(len(job.files)))


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, list[Any]]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).insert(0, value)
    return list(reversed(groups.items()))
