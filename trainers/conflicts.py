"""Shows how the tasks of a run share its parts: what each gate reads, and where gradients conflict ([Tencent] §5).

    fullrank conflicts --run=runs/ame --output=conflicts

The first table has the mean weight that each task's gate gives each expert: does a small task lean on a small embedding
set (§5.1)? The second has, for every embedding set, the cosine between the gradients that two tasks send into the
embeddings of the same examples: below 0 they counteract each other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.insight.configs import ConflictsConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(ConflictsConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(ConflictsConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.insight.conflicts_run import conflicts_run

        conflicts_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
