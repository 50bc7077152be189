"""Lets exploration policies compete on a simulated ad platform whose true click rates are known (Tencent §6.4).

    python -m fullrank.trainers.explore --output=explore --seeds=40

New ads arrive in every round, and a policy learns only from the ads that it shows. All policies see the same requests
and, for the same ad, the same click; they rank by the bid times the click rate of their score. The report has
cumulative regret, revenue, the share of new ads among those shown, and how many new ads reach their true rank; all with
intervals over seeds. The data is synthetic: it shows what a policy does where its model is right, not what a market
would pay.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command import new_flags, run_command
from fullrank.trainers.explore_config import ExploreConfig
from fullrank.trainers.flags import define, read


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(ExploreConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(ExploreConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.explore_run import explore_run

        explore_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
