r"""Trains on a stream of clicks whose conversions come late and in bursts ([Tencent] §6.3).

    fullrank online --source=events --output=runs/online --keys=ad_id,advertiser
    fullrank online --source=events --output=runs/online --start=runs/first --late=fnc \
        --wait=none --follow --export=serving/online --export_minutes=10

Every click is scored before it is trained on, which gives the metrics. It waits as the rule says: not at all while the
conversions of its ad come as they always did, longer the further they are from that. The same command resumes after any
interruption: no event is lost, and none is trained on twice. docs/online.md has events, rule, losses and reasons.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fullrank.data.command.command import new_flags, run_command
from fullrank.trainers.config.flags import TITLES, define, read
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.streaming.config import OnlineConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = new_flags()
    define(OnlineConfig, title="Online training", flag_values=flag_values)
    define(ModelConfig, title=TITLES["model"], flag_values=flag_values)
    define(OptimizerConfig, title=TITLES["optimizer"], flag_values=flag_values)
    arguments = list(sys.argv if argv is None else argv)

    def main() -> None:
        config = read(OnlineConfig, flag_values=flag_values)
        model, optimizer = (read(part, flag_values=flag_values) for part in (ModelConfig, OptimizerConfig))
        # TensorFlow is loaded only for a command line that makes sense, so that --help and mistakes take no time.
        from fullrank.trainers.streaming.online_run import train_online

        train_online(config, model=model, optimizer=optimizer, command=arguments)

    run_command(main, flag_values=flag_values, argv=arguments, tensorflow=True)


if __name__ == "__main__":
    run()
