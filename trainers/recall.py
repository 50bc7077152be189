"""Ranks the positives of a split in the whole catalogue with a retrieval run.

    fullrank recall --run=runs/towers
    fullrank recall --run=runs/towers --split=test --at=10,100 --exclude_history --json=recall.json

Recall, NDCG and mean reciprocal rank, for all queries and by segment, users without a history among them; the share of
the catalogue that is shown, and how much more popular it is than what was wanted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.retrieval.config import RecallConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(RecallConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(RecallConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.retrieval.recall_run import recall_run

        recall_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
