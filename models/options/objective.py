"""Settings of the objective: how tasks are learned, and how much weight repeated exposures have."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.data.exposures.spec import COUNT, GAP
from fullrank.models.options.setting import setting

Recency = Literal["decay", "gap"]
ResidualTarget = Literal["magnitude", "literal"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """How tasks are learned, mainly binary ones; these settings do not change what a trained model computes.

    `loss_mean` applies to every loss of a task, with its own labels or the teacher's. `batch` is the mean over observed
    labels times their share of the batch; with it, tasks with few labels hardly train next to fully labelled ones
    (`docs/studies/loss_mean.md`): give them weights.

    The objective is `(1 - w) classification + w ranking`, where w is `ranking_weight` ([Tencent] §6.1), which for `jrc`
    is one minus its calibration weight. The paper's ranking loss is `pairwise`. The second logit of `jrc` is a head for
    training only, as are f_pseudo, f_0 and f_1, with which a teacher and its residuals are learned ([Meta] §3.2); the
    paper's `distillation_weight` is 1, and `residual_weight` is its alpha.
    """

    loss_mean: Literal["observed", "batch"] = setting(
        "observed",
        "Denominator of the mean loss of a task: its observed labels, which gives a task the same weight in every "
        "batch, or the whole batch, which gives a label the same weight in every task.",
    )
    classification: Literal["cross_entropy", "focal", "class_balanced"] = setting(
        "cross_entropy", "Loss per example; focal and class_balanced are for comparison, and bias the predictions."
    )
    focus: float = setting(2.0, "Exponent of --classification=focal.", minimum=0)
    balance: float = setting(0.9999, "Beta of --classification=class_balanced.", minimum=0, below=1)
    ranking: Literal["none", "pairwise", "listwise", "jrc"] = setting(
        "none",
        "Ranking loss that is added: over pairs of a positive and a negative, a softmax over a list, or joint ranking "
        "and calibration. pairwise also orders the examples of tasks with a real value, by their predicted means.",
    )
    ranking_weight: float = setting(
        0.5, "Share of the ranking loss; the rest is the classification loss.", minimum=0, below=1
    )
    ranking_key: str | None = setting(
        None, "Column whose equal values form a list or a pair, such as a user or a request; none: the whole batch."
    )
    max_pairs: int = setting(
        2**18, "Maximum number of pairs of --ranking=pairwise; of more, some are drawn.", minimum=1
    )
    distillation_weight: float = setting(1.0, "Weight of learning a teacher's predictions.", minimum=0)
    residual_weight: float = setting(
        0.0, "Weight of learning a teacher's residuals, on positives and on negatives; 0 leaves it out.", minimum=0
    )
    residual_target: ResidualTarget = setting(
        "magnitude", "The residual's magnitude, or the target as the paper prints it, with which training diverges."
    )
    training_hidden: tuple[int, ...] = setting(
        (64,), "Hidden layers of each training-only head: for a teacher, its residuals and jrc.", minimum=1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repetition:
    """The repetitive exposure weight ([Tencent] §6.2), as `repetition_weights` computes it."""

    count: str = setting(
        COUNT, "Float column of the decayed number of earlier exposures; missing or 0 for a first exposure."
    )
    gap_days: str = setting(GAP, "Float column of the days since the last exposure.")
    alpha: float = setting(0.5, "Share alpha of w_count in --repetition_weight, 0 to 1.", minimum=0)
    tau_days: float = setting(
        1.0, "Days after which w_recency has fallen to 1/e, with --repetition_recency=decay.", above=0
    )
    recency: Recency = setting(
        "decay",
        "w_recency of --repetition_weight: it decays with the days since the last exposure, or is their number, as "
        "printed in the paper, which gives old repeats more weight.",
    )
