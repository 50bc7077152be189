"""Trains a two-tower retrieval model on records, into a run directory.

    fullrank retrieve --data=records --output=runs/towers
    fullrank retrieve --data=records --positives=click:1,buy:5 --mixed_negatives=1024 --output=runs/towers

The query tower reads the features of user and context, the ad tower those of side ad. Positives are told from the other
ads of their batch, corrected for how popular these are. The same command again resumes an interrupted run. Afterwards:
`fullrank recall --run=runs/towers`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define_run, read_run_of
from fullrank.trainers.retrieval.config import RetrieveConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define_run(flag_values, of=RetrieveConfig)
    arguments = list(sys.argv if argv is None else argv)

    def main() -> None:
        config = read_run_of(RetrieveConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.retrieval.train_towers import train_towers
        from fullrank.trainers.training.memory import keep_freed_memory

        keep_freed_memory()
        train_towers(config, command=arguments)
        print(f"Next: fullrank recall --run={shlex.quote(config.train.output)}")

    run_command(main, flag_values=flag_values, argv=arguments, tensorflow=True)


if __name__ == "__main__":
    run()
