"""Scores tables or records with the best weights of a run.

    python -m fullrank.trainers.predict --run=runs/me --input='new/*.csv' --output=predictions.csv
    python -m fullrank.trainers.predict --run=runs/me --split=test --output=predictions.parquet
    python -m fullrank.trainers.predict --run=runs/me --data=other_records --output=predictions.parquet
    python -m fullrank.trainers.predict --run=runs/me --input='new/*.tfrecord' --output=predictions.parquet

The output has one row an example, in order: its keys, its labels where observed, and <task>_probability for each task.
Rows of tables are read as fullrank.data.convert read those that the run was trained on, and need no labels.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command import new_flags, run_command
from fullrank.trainers.flags import define, read
from fullrank.trainers.predict_config import PredictConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(PredictConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(PredictConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.predict_run import predict_run

        predict_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
