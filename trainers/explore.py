"""Compares exploration policies ([Tencent] §6.4): on a simulated ad platform, in a replay, or by another policy's log.

    fullrank explore --output=explored --seeds=40
    fullrank explore --dataset=hillstrom --raw_dir=hillstrom --output=explored_hillstrom
    fullrank explore --dataset=obd --raw_dir=obd --output=explored_obd

All policies learn with the same Gaussian process over the cells of a table, ads by segments; they differ in how they
choose.

* `simulator`: true click rates are known and new ads arrive in every round. All policies see the same requests and, for
  the same ad, the same click; they rank by the bid times the click rate that corresponds to their score. The report has
  cumulative regret, revenue, the share of new ads among those shown, and how many new ads reach their true rank; with
  intervals over seeds. The defaults are a world in which exploration matters: good ads are rare, arrive late, and can
  only be found by showing them. It shows what a policy does if its model is right, not what a market would pay.
* `hillstrom`: a randomised e-mail campaign is replayed; a policy learns from the customers whose treatment, drawn with
probability 1/3, is the one that it would have chosen, and so sees what it would have seen in the world.
* `obd`: policies that learned from one log of the Open Bandit Dataset are valued by the log of the other policy, by
  inverse propensities, self-normalised ones and doubly robust, compared with what the logged Thompson sampler earned.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.exploration.config import ExploreConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(ExploreConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(ExploreConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.exploration.run import explore_run

        explore_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
