"""Writes one page about a run: gains, probabilities, embeddings, tasks and features, with verdicts and figures.

    fullrank report --run=runs/me --output=report.html
    fullrank report --run=runs/me --baseline=runs/single --output=report.html

The page is one HTML file that needs no network, for a screen of any width, light or dark, and for paper. It uses the
contents of the run directory: metrics.jsonl, weights, and the output of evaluate, conflicts, importance, groups,
entanglement, inspect-run and correlation below it; for missing parts it names the command that writes them. Run and
baseline are scored on a split for metrics, calibration and gains; --noscore leaves that out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.errors import UsageError
from fullrank.data.files.scratch import temporary_directory
from fullrank.data.files.write_aside import write_text


def report(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If the run or the baseline is not a run, or they were trained on different data.
    """
    output = Path(flag_values.output)
    if output.suffix not in (".html", ".htm"):
        raise UsageError(f"--output={output}: the page must be an .html file.")
    # Loaded only for a valid command line, so that --help and errors are fast.
    from fullrank.analysis.pages.build import report as page_of

    with temporary_directory("report") as scratch:
        page = page_of(
            flag_values.run,
            baseline=flag_values.baseline,
            data=flag_values.data,
            split=flag_values.split,
            predictions=tuple(flag_values.predictions),
            score=flag_values.score,
            directory=scratch,
        )
    write_text(output, page)
    print(output)


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    _define_flags(flag_values)
    run_command(lambda: report(flag_values), flag_values=flag_values, argv=list(sys.argv if argv is None else argv))


def _define_flags(flag_values: flags.FlagValues) -> None:
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string("run", None, "Run directory.", required=True, **at)
    flags.DEFINE_string("output", None, "HTML file to write.", required=True, **at)
    flags.DEFINE_string("baseline", None, "Run directory to compare with, on the same data.", **at)
    flags.DEFINE_string("data", None, "Directory of the records; where the run was trained if not given.", **at)
    flags.DEFINE_string("split", "test", "Split to score.", **at)
    flags.DEFINE_list(
        "predictions", [], "Parquet files of `fullrank predict` for the run and the baseline, instead of scoring.", **at
    )
    flags.DEFINE_bool("score", True, "Score the run, for metrics, calibration and gains.", **at)


if __name__ == "__main__":
    run()
