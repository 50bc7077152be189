"""Compares variants of a model over paired seeds, and reports where the papers' sign appears and where it does not.

    fullrank study --study=sequences --data=records --output=studies/sequences
    fullrank study --list

Every variant is trained with every seed; differences from the baseline are taken seed by seed. Results are written as
they come, and the same command resumes it. Leaves results.jsonl, report.md and figures in --output. A failed run is
reported there and makes the exit code 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.studies.plan import StudyConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    arguments = list(sys.argv if argv is None else argv)
    flag_values = new_flags()
    listing = "--list" in arguments
    define(StudyConfig, title="Flags", flag_values=flag_values, required=not listing)
    flags.DEFINE_bool("list", False, "List the studies that come with fullrank.", flag_values=flag_values)

    def main() -> int:
        if listing:
            from fullrank.trainers.studies.catalogue import STUDIES

            for study in STUDIES.values():
                print(f"{study.name}: {study.question}\n    {', '.join(study.variants)}")
            return 0
        config = read(StudyConfig, flag_values=flag_values)
        from fullrank.trainers.studies.run import run_study

        return 1 if run_study(config) else 0

    run_command(main, flag_values=flag_values, argv=arguments)


if __name__ == "__main__":
    run()
