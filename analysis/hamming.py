"""Draws how well HashIDs preserve the similarity of the vectors that they were made from.

    fullrank hamming --input=hamming.json --output=hamming.png

--input is a file written by `fullrank hash-id --json=hamming.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from fullrank.data.command.command import new_flags, run_command


def hamming(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If the input is something else, or holds no pairs.
    """
    # Loaded only for a valid command line, so that --help and errors are fast.
    from fullrank.analysis.figures.hamming import hamming_curve

    source = Path(flag_values.input)
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        measured, name = content["hamming"], Path(content["input"]).name
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{source} was not written by fullrank hash-id --json.") from error
    if measured is None:
        raise ValueError(f"{source} holds no pairs: fewer than two vectors were sampled.")
    hamming_curve(measured=measured, title=name, path=flag_values.output)
    print(f"Wrote {flag_values.output}.")


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    flags.DEFINE_string("input", None, "JSON of fullrank hash-id.", required=True, flag_values=flag_values)
    flags.DEFINE_string("output", None, "PNG to write.", required=True, flag_values=flag_values)
    run_command(lambda: hamming(flag_values), flag_values=flag_values, argv=list(sys.argv if argv is None else argv))


if __name__ == "__main__":
    run()
