"""Controls of what a model learns from: ranking losses and learned groups ([Tencent] §6.1, [Meta] §3.1)."""

from __future__ import annotations

from typing import Final

from fullrank.data.planted.evidence import Evidence
from fullrank.data.planted.groups import HiddenGroups
from fullrank.data.planted.pairs import LatentPairs
from fullrank.data.planted.world import Task, World
from fullrank.trainers.controls.plan import Claim, Control


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
)


def _groups(clarity: float) -> World:
    return World(
        mechanisms={"groups": HiddenGroups(clarity=clarity)}, tasks={"click": Task(weights={"groups/group": 1.5})}
    )


_GSL: Final = Control(
    name="group_structure",
    claims=(
        Claim(
            text="Group structure learning finds hidden groups better than k-means on the same fields ([Meta] §3.1)",
            method="groups",
            baseline="none",
        ),
    ),
    positive=_groups(0.7),
    negative=_groups(0.0),
    flags=("--batch_size=1024", "--model=single", "--widths=16", "--experts=flat", "--hidden=64"),
    variants={
        "none": (),
        "groups": ("--group_places=user", "--group_levels=2", "--group_codes=8"),
        "groups, one level": ("--group_places=user", "--group_levels=1", "--group_codes=8"),
    },
    metric="nmi",
    rows=307_200,
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
)

LEARNING: Final = (_RANKING, _GSL, _RESIDUAL)
