"""Searches for the flags of `fullrank train` that validate best, by Optuna.

    pip install 'fullrank[search]'
    fullrank search --data=records --output=searches/me --space='widths=8|16|32' -- --model=single

A space has ranges too: 'learning_rate=log:1e-4..1e-2,widths=8|16|32'. Flags of train after `--` apply to all trials;
--monitor among them chooses the metric that is compared. Results are written as they arrive: the same command resumes a
search that was stopped, and the run that was interrupted. It leaves trials.csv, best.json, search.png and the best run,
ready for evaluate and export, in --output.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.searches.config import SearchConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    arguments = list(sys.argv if argv is None else argv)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own, shared = arguments[:end], arguments[end + 1 :]
    flag_values = new_flags()
    define(SearchConfig, title="Flags", flag_values=flag_values)

    def main() -> int:
        config = read(SearchConfig, flag_values=flag_values)
        if importlib.util.find_spec("optuna") is None:
            raise ValueError("A search needs Optuna: pip install 'fullrank[search]'.")
        from fullrank.trainers.searches.run import run_search

        return 1 if run_search(config, flags=shared) else 0

    run_command(main, flag_values=flag_values, argv=own, tensorflow=True)


if __name__ == "__main__":
    run()
