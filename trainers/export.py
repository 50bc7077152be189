"""Exports the best weights of a run as a SavedModel that TensorFlow Serving loads.

    fullrank export --run=runs/me --output=serving/me
    fullrank export --run=runs/me --output=serving/me --format=onnx
    fullrank export --run=runs/me --output=serving/me --weights=int8
    fullrank export --run=runs/me --output=serving/me --expire_days=user_id:30

Writes DIR/<version>/ with these signatures, whose outputs are equal, the schema in assets/ and warm-up requests in
assets.extra/:

  serving_default    one named tensor per column
  serving_packed     all columns of a dtype in one tensor, in the order of assets/packed_inputs.json
  serving_examples   serialized tf.train.Example

`serving_request` takes the columns of user and context once and those of the ads for each candidate, where the schema
says by `side` which are which. Where the model has them, there are also `posterior` (mean and variance of every task's
logit) and `thompson` (a draw of the probabilities per seed) of --head=gp, laplace, rff_gp or dropout, and `groups` (the
group ids of an example) of --group_places, each also with `_request` for one user and many candidates. Before an export
appears, it is loaded and called in a process that has TensorFlow but not fullrank, and its outputs must equal the
model's.

With --weights=int8 or bfloat16, all signatures read tables in fewer bytes. What that costs is measured on the
validation split, printed and written to assets/weights.json; more than --max_auc_loss or --max_difference is refused.
With --expire_days, ids that have not been used for long are left out; what that costs is measured likewise, by itself,
and written to assets/expired_ids.json.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from fullrank.data.command.command import run_command
from fullrank.trainers.config.flags import define, read
from fullrank.trainers.evaluation.configs import ExportConfig


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = flags.FlagValues()  # type: ignore[no-untyped-call]
    define(ExportConfig, title="Flags", flag_values=flag_values)

    def main() -> None:
        config = read(ExportConfig, flag_values=flag_values)
        # TensorFlow is loaded only for a valid command line, so that --help and errors are fast.
        from fullrank.trainers.evaluation.export_run import export_run

        export_run(config)

    run_command(main, flag_values=flag_values, argv=list(sys.argv if argv is None else argv), tensorflow=True)


if __name__ == "__main__":
    run()
