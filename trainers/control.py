"""Runs the controls: for each claim of the papers, a planted world where it must hold, and one where it must not.

    fullrank control --output=docs/studies
    fullrank control --output=controls --controls=tim,stem --seeds=1,2,3
    fullrank control --list

Worlds are drawn as they are read; no records are needed. In the world of each seed every variant is trained with the
same rates, in a single pass, and validation rows choose one of them. Results are written as they arrive, and the same
command resumes an interrupted run. It leaves controls.jsonl and controls.md in --output. A failed run is reported there
and makes the exit code 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.controls.plan import ControlConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    arguments = list(sys.argv if argv is None else argv)
    flag_values = new_flags()
    listing = "--list" in arguments
    define(ControlConfig, title="Flags", flag_values=flag_values, required=not listing)
    flags.DEFINE_bool("list", False, "List the controls that come with fullrank.", flag_values=flag_values)

    def main() -> int:
        if listing:
            from fullrank.trainers.controls.catalogue import CONTROLS

            for control in CONTROLS.values():
                print(f"{control.name}: {', '.join(control.variants)}")
                print("\n".join(f"    {claim.text}" for claim in control.claims))
            return 0
        config = read(ControlConfig, flag_values=flag_values)
        from fullrank.trainers.controls.run import run_controls

        return 1 if run_controls(config) else 0

    run_command(main, flag_values=flag_values, argv=arguments)


if __name__ == "__main__":
    run()
