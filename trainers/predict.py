"""Scores records or tables with the best weights of a run, or with an export.

    fullrank predict --run=runs/me --split=test --output=predictions.parquet
    fullrank predict --run=runs/me --data=other_records --output=predictions.parquet
    fullrank predict --run=runs/me --input='new/*.tfrecord' --output=predictions.parquet
    fullrank predict --run=runs/me --input='new/*.csv' --columns=request_id --output=predictions.csv
    fullrank predict --export=serving/me --input=new.parquet --output=- | head

The output has one row per example, in order: its keys, its labels where there are any, the --columns asked for, and
<task>_probability for each task. Tables need no label. Their cells are read as fullrank convert reads them
(docs/tables.md), by the model's schema.json and with the same flags; give the --join of the training data.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.tables.flags import define_table_flags
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.evaluation.configs import PredictConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(PredictConfig, title="Flags", flag_values=flag_values)
    define_table_flags(flag_values)

    def main() -> None:
        config = read(PredictConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.evaluation.predict_run import predict_run
        from fullrank.trainers.evaluation.table_input import read_table_reading

        predict_run(config, reading=read_table_reading(flag_values))

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
