"""Ranks logged candidates again by two runs, and compares how many of the ads they would show are repeats.

    fullrank replay-exposures --run=runs/weighted --baseline=runs/plain
    fullrank replay-exposures --run=heavy/1,heavy/2 --baseline=plain/1,plain/2 --json=replay.json

The candidates of a request are the rows of one user in one window of time (--request, --window_hours); the best
--slots of them are shown. AUC is shown with the share of repeats, because fewer repeats have a price ([Tencent] §6.2):
auc_penalty is that of the baseline with a constant subtracted from the logit of every repeat, chosen for the same share
of repeats. The records need the column that convert and prepare --exposures write.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.insight.configs import ReplayExposuresConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(ReplayExposuresConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(ReplayExposuresConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.insight.replay_exposures_run import replay_exposures

        replay_exposures(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
