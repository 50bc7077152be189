"""Puts retrieval, pre-ranker and ranker together: one SavedModel from the columns of a query to ranked ads.

    fullrank cascade --retrieval=runs/towers --prerank=runs/light --rank=runs/me --output=serving/whole
    fullrank cascade --retrieval=runs/towers --rank=runs/me --retrieve=200 --output=serving/whole

Retrieves --retrieve ads, lets the pre-ranker keep --keep of them, ranks these, and answers --answer ids with the
ranker's predictions. The signature serving_default takes the columns of the query once, with_exclusions leaves out
given ads, thompson orders by draws of a ranker with a distribution, and retrieve, prerank and rank are the stages by
themselves. Afterwards the stages are evaluated together: what they keep of the positives, and of what the ranker
would have answered had it scored every ad.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.retrieval.cascade_config import CascadeConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(CascadeConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(CascadeConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.retrieval.cascade_run import cascade_run

        cascade_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
