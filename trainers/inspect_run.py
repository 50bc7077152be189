"""Shows which parts of a trained model are active and which are asleep, and what to do about the latter.

    fullrank inspect-run --run=runs/me

On some batches of a split it measures every part: the size of its output relative to the fields that the experts
read, how far the attention of a behaviour sequence is from a plain mean, how the gates divide their weight among the
experts, the units that never fire, how far small tables have moved from their initial values, and the share of the
gradient that each kind of weight gets. A part is asleep if the model would predict nearly the same without it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.insight.configs import PartsConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(PartsConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(PartsConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.insight.parts_run import parts_run

        parts_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
