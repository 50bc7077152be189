"""Evaluates the best weights of a run: AUC, log loss, normalised entropy, GAUC, calibration, bias.

    fullrank evaluate --run=runs/me --split=test --json=eval.json --output=figures
    fullrank evaluate --run=runs/me --baseline=runs/single --segments=region
    fullrank evaluate --run=runs/me --input='week_52/*.parquet'

Each statistic is given by task, over all examples and for every value of every segment. With --baseline=runs/single, so
is the gain in normalised entropy over that run, with an interval from a paired bootstrap over the values of --key.

Tables of --input are read as `fullrank convert` reads them (docs/tables.md), by the run's schema.json
and with the same flags; give the --join that the training data was converted with.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.tables.flags import define_table_flags
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.evaluation.configs import EvaluateConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(EvaluateConfig, title="Flags", flag_values=flag_values)
    define_table_flags(flag_values)

    def main() -> None:
        config = read(EvaluateConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.evaluation.evaluate_run import evaluate_run
        from fullrank.trainers.evaluation.table_input import read_table_reading

        evaluate_run(config, reading=read_table_reading(flag_values))
        run_directory = shlex.quote(config.run)
        print(
            f"Next: fullrank report --run={run_directory} --output=report.html, or fullrank export "
            f"--run={run_directory} --output=serving"
        )

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
