"""Trains a ranking model on records, into a run directory.

    fullrank train --data=records --model=me --output=runs/me

The same command again resumes an interrupted run. Afterwards: `fullrank evaluate --run=runs/me`, `fullrank predict`,
`fullrank export`, and `tensorboard --logdir runs/me/events`.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly
from fullrank.trainers.config.flags import define_run, read_run
from fullrank.trainers.strategies.tf_config import CHIEF, read_task


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define_run(flag_values)
    arguments = list(sys.argv if argv is None else argv)

    def main() -> None:
        config = read_run(flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        if config.distribution.strategy == "parameter_server":
            # Where a process is lost, TensorFlow writes an error for each function that it cannot take back from it.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import_tensorflow_quietly(starts=config.distribution.strategy == "none")
        from fullrank.trainers.training.memory import keep_freed_memory
        from fullrank.trainers.training.train_model import train_model

        keep_freed_memory()
        if config.distribution.strategy == "parameter_server":
            task = read_task()
            if task.role != CHIEF:
                from fullrank.trainers.strategies.servers import serve

                serve(task)
                return
        if train_model(config, command=arguments):
            print(f"Next: fullrank evaluate --run={shlex.quote(config.train.output)}")

    run_command(main, flag_values=flag_values, argv=arguments)


if __name__ == "__main__":
    run()
