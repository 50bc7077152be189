"""Controls of what a model learns from: ranking losses and learned groups ([Tencent] §6.1, [Meta] §3.1)."""

from __future__ import annotations

from typing import Final

from fullrank.data.planted.evidence import Evidence
from fullrank.data.planted.groups import HiddenGroups
from fullrank.data.planted.pairs import LatentPairs
from fullrank.data.planted.repeats import Repeats
from fullrank.data.planted.world import Task, World
from fullrank.trainers.controls.plan import MANY, Claim, Control


def _evidence(rate: float) -> World:
    return World(mechanisms={"evidence": Evidence()}, tasks={"click": Task(weights={"evidence/bent": 2.0}, rate=rate)})


_PAIRS: Final = ("--ranking=pairwise", "--ranking_weight=0.5")
_RANKING: Final = Control(
    name="pairwise_loss",
    claims=(
        Claim(
            text="Pairs beside cross entropy lower NE where positives are sparse, with SGD ([Tencent] §6.1)",
            method="sgd, pairs",
            baseline="sgd",
        ),
        Claim(text="The same with Adam", method="adam, pairs", baseline="adam"),
    ),
    positive=_evidence(0.005),
    negative=_evidence(0.5),
    flags=(
        "--batch_size=1024",
        "--model=single",
        "--widths=16",
        "--experts=flat",
        "--hidden=64",
        "--vectors=projection",
    ),
    variants={
        "sgd": ("--dense_optimizer=sgd",),
        "sgd, pairs": ("--dense_optimizer=sgd", *_PAIRS),
        "adam": (),
        "adam, pairs": _PAIRS,
    },
    metric="ne",
    rates=(0.003, 0.03, 0.3),
    seeds=MANY,
    note="Pairs give the few positives larger gradients, of which SGD makes use. Adam divides gradients by their size, "
    "so that nothing of this is left, and half of the loss no longer says how high a probability is. With as many "
    "positives as negatives, what pairs gain is below .001.",
)


def _exposures(spread: float) -> World:
    return World(
        mechanisms={"exposures": Repeats(spread=spread)}, tasks={"click": Task(weights={"exposures/interest": 1.0})}
    )


_EXPOSURES: Final = Control(
    name="repeated_exposures",
    claims=(
        Claim(
            text="A weight on repeated negatives ranks first exposures above repeats ([Tencent] §6.2)",
            method="weighted",
            baseline="plain",
        ),
    ),
    positive=_exposures(0.9),
    negative=_exposures(0.0),
    flags=(
        "--batch_size=1024",
        "--model=single",
        "--widths=16",
        "--experts=flat",
        "--hidden=64",
        "--vectors=projection",
    ),
    variants={"plain": (), "weighted": ("--repetition_weight",)},
    metric="fresh_auc",
    note="The model is not told of earlier exposures, only where an ad is shown, and interest does not fade: the true "
    "click rate of a repeat is that of a first exposure. What is gained in fresh_auc is paid for in auc and ne.",
)


def _groups(*, clarity: float, others: int = 0, observed: float = 1.0) -> World:
    return World(
        mechanisms={"groups": HiddenGroups(clarity=clarity, others=others)},
        tasks={"click": Task(weights={"groups/group": 1.5}, observed=observed)},
    )


_GROUPED: Final = ("--group_places=user", "--group_levels=2", "--group_codes=8")
_GSL: Final = Control(
    name="group_structure",
    claims=(
        Claim(
            text="Group structure learning finds the groups that matter to a label, k-means on the same fields others "
            "([Meta] §3.1)",
            method="groups",
            baseline="k-means",
        ),
    ),
    positive=_groups(clarity=0.7, others=8),
    negative=_groups(clarity=0.0, others=8),
    flags=("--batch_size=1024", "--model=single", "--widths=16", "--experts=flat", "--hidden=64"),
    variants={
        "k-means": (),
        "groups": _GROUPED,
        "groups, one level": ("--group_places=user", "--group_levels=1", "--group_codes=8"),
    },
    metric="nmi",
    rows=307_200,
)

_GSL_NE: Final = Control(
    name="group_structure_labels",
    claims=(
        Claim(
            text="Group structure learning lowers NE where labels are few and fields many ([Meta] §3.1)",
            method="groups",
            baseline="none",
        ),
    ),
    positive=_groups(clarity=0.7, observed=0.02),
    negative=_groups(clarity=0.0, observed=0.02),
    flags=("--batch_size=1024", "--model=single", "--widths=16", "--experts=flat", "--hidden=64"),
    variants={"none": (), "groups": _GROUPED},
    metric="ne",
    rows=307_200,
    seeds=MANY,
    note=(
        "Codes are a function of fields that the expert reads as well, so that they can only say the same in fewer "
        "symbols. Ten seeds bound what that is worth here to .0067 of NE."
    ),
)


def _taught(noise: float) -> World:
    task = Task(weights={"pairs/first": 2.0}, rate=0.05, teacher_noise=noise)
    return World(mechanisms={"pairs": LatentPairs()}, tasks={"click": task})


_TEACHER: Final = ("--teacher_columns=teacher_click",)
_RESIDUAL: Final = Control(
    name="residual_learning",
    claims=(
        Claim(
            text="A teacher that learned from other rows lowers NE ([Meta] §3.2)",
            method="teacher",
            baseline="none",
        ),
        Claim(
            text="Learning its residuals lowers NE further",
            method="teacher and residuals",
            baseline="teacher",
        ),
    ),
    positive=_taught(0.5),
    negative=_taught(10.0),
    flags=("--batch_size=1024", "--model=single", "--widths=8", "--experts=fm,flat"),
    variants={
        "none": (),
        "teacher": _TEACHER,
        "teacher and residuals": (*_TEACHER, "--residual_weight=0.1"),
    },
    metric="ne",
    rows=409_600,
    seeds=MANY,
    note=(
        "A residual is the label minus the teacher's prediction, and the loss reads both already: it adds a weighting "
        "and no information. Ten seeds of the positive side do not tell it from none."
    ),
)

LEARNING: Final = (_RANKING, _EXPOSURES, _GSL, _GSL_NE, _RESIDUAL)
