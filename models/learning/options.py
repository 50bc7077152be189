"""What training minimises beside, or in place of, the cross entropy of each task."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.objectives.ranking import MAX_PAIRS
from fullrank.models.objectives.residual import ResidualTarget

ClassificationLoss = Literal["cross_entropy", "focal", "class_balanced"]
LossMean = Literal["observed", "batch"]
RankingLoss = Literal["none", "pairwise", "listwise", "jrc"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """How tasks are learned, binary ones above all; none of it changes what a trained model computes.

    Attributes:
      loss_mean: What the losses of a task are averaged over: its `observed` labels, so that a task weighs the same in
        every batch that has any of them, or the `batch`, so that a label weighs the same in every task: the mean over
        observed labels times their share of the batch. Every loss of a task, by its own labels or the teacher's. With
        `batch` tasks of few labels hardly train beside full ones (`docs/studies/loss_mean.md`): give them weights.
      classification: Loss of a single example: `cross_entropy`, `focal` or `class_balanced`.
      focus: Exponent of `focal`.
      balance: Beta of `class_balanced`.
      ranking: Loss that joins it ([Tencent] §6.1): `pairwise` is the paper's, `listwise` a softmax over a list, `jrc`
        joint ranking and calibration, whose second logit is a head for training only. `pairwise` also orders the
        examples of value tasks; the others leave value tasks alone.
      ranking_weight: w of `(1 - w) classification + w ranking`; of `jrc`, one minus its calibration weight.
      ranking_key: Column whose equal values make a list or a pair; `None` for the whole batch.
      max_pairs: Pairs beyond which `pairwise` draws that many.
      distillation_weight: Of learning from a teacher ([Meta] §3.2); the paper's is 1.
      residual_weight: Alpha of residual learning ([Meta] §3.2); 0 leaves it out.
      residual_target: `magnitude` or the `literal` one, with which training diverges ([Meta] §3.2).
      training_hidden: Hidden layers of each head that only trains: f_pseudo, f_0, f_1 and the second logit of `jrc`.
      seed: Of the pairs drawn beyond `max_pairs`.
    """

    loss_mean: LossMean = "observed"
    classification: ClassificationLoss = "cross_entropy"
    focus: float = 2.0
    balance: float = 0.9999
    ranking: RankingLoss = "none"
    ranking_weight: float = 0.5
    ranking_key: str | None = None
    max_pairs: int = MAX_PAIRS
    distillation_weight: float = 1.0
    residual_weight: float = 0.0
    residual_target: ResidualTarget = "magnitude"
    training_hidden: tuple[int, ...] = (64,)
    seed: int = 0
