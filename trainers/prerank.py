"""Trains a light pre-ranker from the scores of a ranker's run, into a run directory.

    fullrank prerank --data=records --teacher=runs/me --output=runs/light

Towers that meet late learn how the ranker orders ads that are drawn from the whole catalogue, not only those that were
shown. Consistency is the share of the ranker's first ads that the pre-ranker would let through. The same command again
resumes an interrupted run. Context features that depend on the ad have the value of the shown ad for all candidates:
leave them out of both models, by --without_features.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define_run, read_run_of
from fullrank.trainers.retrieval.config import PrerankConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define_run(flag_values, of=PrerankConfig)
    arguments = list(sys.argv if argv is None else argv)

    def main() -> None:
        config = read_run_of(PrerankConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.retrieval.train_prerank import train_prerank
        from fullrank.trainers.training.memory import keep_freed_memory

        keep_freed_memory()
        train_prerank(config, command=arguments)

    run_command(main, flag_values=flag_values, argv=arguments, tensorflow=True)


if __name__ == "__main__":
    run()
