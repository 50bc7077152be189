"""Tries training on several machines on this one: starts a process for each of them, and ends them together.

    fullrank cluster --workers=2 -- --data=records --model=me --output=runs/me
    fullrank cluster --workers=2 --servers=2 -- --data=records --model=me --output=runs/me

What follows `--` are flags of `fullrank train`, which runs with --strategy=multi_worker in every process, or, with
parameter servers, with --strategy=parameter_server in a chief, the workers and the servers. On real machines each
process is started with the same flags and a TF_CONFIG of its own: see deploy/.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.errors import UsageError
from fullrank.trainers.config.flags import run_config
from fullrank.trainers.strategies.local_cluster import run_cluster


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    arguments = list(sys.argv if argv is None else argv)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flag_values = new_flags()
    flags.DEFINE_integer(
        "workers",
        2,
        "Processes that train together; without servers, the first one is the chief.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "servers",
        0,
        "Parameter servers, which hold the weights and tables; 0: every worker holds all of them.",
        lower_bound=0,
        flag_values=flag_values,
    )

    def main() -> int:
        strategy = "parameter_server" if flag_values.servers else "multi_worker"
        train_flags = [*arguments[end + 1 :], f"--strategy={strategy}"]
        if not arguments[end + 1 :]:
            raise UsageError("flags of `fullrank train` are missing: fullrank cluster -- --data=records --output=run")
        try:
            run_config([flag for flag in train_flags if flag != "--debug"])
        except ValueError as error:
            raise UsageError(str(error)) from error
        command = [sys.executable, "-m", "fullrank", "train", *train_flags]
        return run_cluster(command, workers=flag_values.workers, servers=flag_values.servers)

    run_command(main, flag_values=flag_values, argv=arguments[:end])


if __name__ == "__main__":
    run()
