"""Pre-trains vectors of users and items on the graph of training clicks, by GraphSAGE ([Tencent] §3.3).

    fullrank pretrain-graph --data=records --label=click --user=user_id --item=ad_id --output=graph

It writes `users.parquet` and `items.parquet`: the id under the name of its feature, and a `vector` of length 1. Joined
into the records as a pair of vectors, their cosine is a feature (`PairSimilarity`). Clicks of several domains make one
graph: give a value for each domain where they differ, e.g. `--data=ads,articles --item=ad_id,article_id`. The files
`items_2.parquet`, ... hold the items of the further domains. `model.keras` gives vectors to new nodes from new edges
(`fullrank.models.graph.embed`); its nodes are the rows of the files, users first.

No leak from later splits: only the train split is read. Users and items without a click in the graph get no row, hence
a missing vector.

No leak within training either, if you train on the right rows: a click that is in the graph pulls its own two vectors
together, so that its similarity is higher than that of a future click, and a model that trains on it relies on the
similarity too much. So the graph holds the first half of the training clicks (--first_fraction, or --until=TIME). Train
on the rows after that time (`until` in graph.json and in the metadata of the Parquet files), or let the vectors of
earlier rows be missing. The command prints how far apart clicks in the graph and later ones are. Records without a time
need --first_fraction=1; then every training row is in the graph.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.graph.config import PretrainGraphConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(PretrainGraphConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(PretrainGraphConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.graph.run import pretrain_graph_run

        pretrain_graph_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
