"""Shows the groups that a run has learned: how its codes are used, and what its groups mean ([Meta] §3.1).

    fullrank groups --run=runs/groups --output=groups

For each place of --group_places and each level: the share of codes in use, their perplexity, and how much of the
encoded input remains as residual. For the largest groups of the first level: the feature values that are more frequent
in them than overall, the most certain first, and the rate of each label with its 95 % interval.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.insight.configs import GroupsConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(GroupsConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(GroupsConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.insight.groups_run import groups_run

        groups_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
