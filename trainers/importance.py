"""Shows feature importance: how much worse a run predicts when one feature is exchanged between examples.

    fullrank importance --run=runs/me --output=runs/me/importance

Permutation importance: all columns of a feature are permuted together, the others stay. Redundant features can replace
each other, so that each of them may look unimportant on its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.insight.configs import ImportanceConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(ImportanceConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(ImportanceConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.insight.importance_run import importance_run

        importance_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
