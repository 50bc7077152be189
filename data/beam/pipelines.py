"""The pipelines of a conversion: which steps follow each other, and what is grouped between them.

This is the only file that imports Apache Beam. Elements are numbers, texts and bytes, which every runner can encode.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from fullrank.data.beam.count import Places, added, count_file, keep_ids
from fullrank.data.beam.divide import Division
from fullrank.data.beam.earlier_rows import keep_earlier, rows_by_key, with_earlier
from fullrank.data.beam.flags import RUNNERS, Runner
from fullrank.data.beam.job import Job
from fullrank.data.beam.numbers import joined_samples, keep_sample, number_file
from fullrank.data.beam.read_file import read_file
from fullrank.data.beam.shards import Ends, rows_of_shards, write_shard
from fullrank.data.command.errors import UsageError


class Pipelines:
    """Runs steps on a runner; each method returns when its pipeline has ended.

    Args:
      runner: The runner and its options.

    Raises:
      ValueError: If Apache Beam is not installed.
      UsageError: If an option is not one of Beam's.
    """

    def __init__(self, runner: Runner) -> None:
        try:
            with _quiet():
                import apache_beam
        except ImportError:
            raise ValueError(f"--runner={runner.name} needs apache-beam: pip install 'fullrank[beam]'.") from None
        self._beam = apache_beam
        self._runner = runner
        self._options = _options(runner)

    def read(self, job: Job) -> None:
        """Step 1, for all files."""
        with self._files(job, "reading") as (beam, files):
            _ = files | beam.Map(read_file, job)

    def take_earlier(self, job: Job) -> None:
        """Step 2: rows by key, and what is taken from earlier ones by file."""
        with self._files(job, "taking histories from earlier rows") as (beam, files):
            _ = (
                files
                | "by key" >> beam.FlatMap(rows_by_key, job)
                | "rows of keys" >> beam.GroupByKey()
                | "earlier rows" >> beam.FlatMap(with_earlier, job)
                | "by file" >> beam.GroupByKey()
                | "keep" >> beam.Map(keep_earlier, job)
            )

    def count(self, job: Job, division: Division) -> None:
        """Step 3: counts, and sums of the counts of ids."""
        with self._files(job, "counting") as (beam, files):
            _ = (
                files
                | "counts" >> beam.FlatMap(count_file, job, division)
                | "sums" >> beam.CombinePerKey(added)
                | "keep" >> beam.Map(keep_ids, job)
            )

    def write(self, job: Job, division: Division, places: Places, ends: Ends) -> None:
        """Step 4: moments and samples of numbers, and the shards."""
        with self._files(job, "writing records") as (beam, files):
            _ = (
                files
                | "numbers" >> beam.FlatMap(number_file, job, division, places)
                | "samples" >> beam.CombinePerKey(joined_samples)
                | "keep samples" >> beam.Map(keep_sample, job)
            )
            _ = (
                files
                | "rows" >> beam.FlatMap(rows_of_shards, job, division, places, ends)
                | "rows of shards" >> beam.GroupByKey()
                | "shards" >> beam.Map(write_shard, job, ends)
            )

    @contextlib.contextmanager
    def _files(self, job: Job, what: str) -> Iterator[_Start]:
        """A pipeline that begins with the numbers of all files, and runs when the block ends."""
        beam = self._beam
        try:
            with beam.Pipeline(runner=RUNNERS[self._runner.name], options=self._options) as pipeline:
                numbers = pipeline | "files" >> beam.Create(range(len(job.files)))
                yield _Start(beam, numbers | "spread" >> beam.Reshuffle())
        except Exception as error:  # each runner has its own types for what a step raised; the user gets one line
            reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
            reason = reason or type(error).__name__
            raise RuntimeError(f"--runner={self._runner.name} failed while {what}: {reason}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that Apache Beam logs while it is imported, about clouds whose libraries are not there."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Start(NamedTuple):
    """The module of Beam, whose operators make the steps, and the first collection."""

    beam: Any
    files: Any


def _options(runner: Runner) -> Any:
    """The options of Beam.

    Raises:
      UsageError: If a value is wrong, or the direct runner does not know an option. Other runners may have further
        options in their job servers.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(list(runner.options))
            known = options.get_all_options(drop_default=True)
            given = options.get_all_options(drop_default=True, retain_unknown_options=True)
    except SystemExit:
        problem = said.getvalue().strip().splitlines()[-1:] or ["they are not valid"]
        raise UsageError(f"--beam_options={' '.join(runner.options)}: {problem[0].split('error: ')[-1]}.") from None
    unknown = sorted(given.keys() - known.keys())
    if unknown and runner.name == "direct":
        raise UsageError(f"--beam_options=--{unknown[0]} is not an option of Apache Beam.")
    return options
