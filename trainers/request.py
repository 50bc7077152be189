"""Scores one request with an export, in the JSON of TensorFlow Serving's REST interface.

    fullrank request --export=serving/me --example=2 > request.json
    fullrank request --export=serving/me --json=request.json

A request has the row format, `{"instances": [{input: value, ...}, ...]}`, or the column format, `{"inputs": {input:
[value, ...], ...}}`, which --signature=serving_request needs, because it holds the user once; the answer has
`predictions` or `outputs`. `assets/inputs.json` of the export describes each input, and the mark of a missing value
(-1, NaN or the empty text); a JSON null is an error.
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
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.evaluation.request_run import request_run

        request_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
