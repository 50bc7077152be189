"""A ranker that scores one user against many candidates: what depends on the user alone is computed once."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from fullrank.data.schema.request_parts import request_parts
from fullrank.layers.split_fields import repeated_rows
from fullrank.models.heads.task_outputs import Predicted
from fullrank.models.ranker import Ranker
from fullrank.models.split_inputs import SplitInputs, candidates
from fullrank.models.trunk import Mixed


class OneUser:
    """Answers as the ranker does for batches in which the rows of user and context are all equal.

    A batch holds each column of `columns` with one row, `[1, ...]`, and the others with one for each candidate. Answers
    differ from the ranker's by the order of sums, about 1e-7. It reads the ranker's weights and has none of its own.

    Attributes:
      ranker: The ranker, built.
      columns: The columns that a batch holds once.

    Args:
      ranker: What it was trained as.

    Raises:
      SchemaError: If no feature of the ranker's schema describes the ad, or all do.
    """

    def __init__(self, ranker: Ranker) -> None:
        self.ranker, self._parts = ranker, request_parts(ranker.schema)
        self.columns = self._parts.columns
        trunk = ranker.trunk
        self._inputs = SplitInputs(
            ranker.schema,
            ranker.options,
            self._parts,
            encoder=trunk.encoder,
            dense=trunk.dense,
            sets=trunk.inputs_of_sets,
        )

    def __call__(self, batch: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """`{task: probability or mean [N]}`; there is no training."""
        del training
        return self.ranker.outputs.named(self._predicted(batch))

    def logit_distributions(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """`{task: (mean [N], variance [N])}` of the logits, with a head that has them."""
        return self.ranker.distributions_of(self._predicted(batch))

    def group_codes(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """`{place: codes [N, Q]}`."""
        return self._mixed(batch).groups.codes

    def _mixed(self, batch: Mapping[str, tf.Tensor]) -> Mixed:
        return self.ranker.trunk.mixed_split(self._inputs(batch))

    def _predicted(self, batch: Mapping[str, tf.Tensor]) -> Predicted:
        scenario = self.ranker.options.scenario
        read = dict(batch)
        if scenario in self.columns:
            read[scenario] = repeated_rows(batch[scenario], rows=candidates(batch, self._parts))
        return self.ranker.predicted_from(self._mixed(batch), read)
