"""Indexes the ads of a retrieval run, for serving: a SavedModel from the columns of a query to ids and scores.

    fullrank index --run=runs/towers --output=serving/ads
    fullrank index --run=runs/towers --ads=ads_of_today.parquet --output=serving/ads

The signature serving_default answers a query with the best K ads, with_exclusions leaves out given ones, and vectors
gives the query's vector for a search elsewhere. Each call writes the next version.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.retrieval.config import IndexConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(IndexConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(IndexConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.retrieval.index_run import index_run

        index_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
