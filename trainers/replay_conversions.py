r"""Compares what can be done about late and bursty conversions on replayed streams ([Tencent] §6.3).

    fullrank replay-conversions --output=replayed
    fullrank replay-conversions --output=replayed_visits --dataset=hillstrom --raw_dir=hillstrom \
        --label=visit

Each seed draws a stream of clicks and of conversions that are reported late, by some advertisers in bulk. Every method
trains online on the same streams, with the same model, optimisers and learning rates, and every click is scored before
any method trains on it: naive, a fixed wait, the release rule, FNW, FNC, ES-DFM, DFM, the rule with ES-DFM, and an
oracle that has labels from the future. The same command resumes; finished runs are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.streaming.replay_config import ReplayConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(ReplayConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(ReplayConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.streaming.replay_run import replay

        replay(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
