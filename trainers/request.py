"""Scores one request with an export, as TensorFlow Serving's REST interface would be asked and would answer.

    fullrank request --export=serving/me --example=2 > request.json
    fullrank request --export=serving/me --json=request.json

A request has the row format, `{"instances": [{input: value, ...}, ...]}`, or the column format, `{"inputs": {input:
[value, ...], ...}}`; the answer has `predictions` or `outputs`. What each input is, and what fills it where a value is
absent (-1, NaN or the empty text), stands in `assets/inputs.json` of the export.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.evaluation.configs import RequestConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(RequestConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(RequestConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.evaluation.request_run import request_run

        request_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
