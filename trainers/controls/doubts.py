"""Controls of what is said about predictions: how sure they are, and for whom they are good.

[Tencent] §6.4 and [Meta] §4.
"""

from __future__ import annotations

from typing import Final

from fullrank.data.planted.evidence import Evidence
from fullrank.data.planted.region import Region
from fullrank.data.planted.world import Task, World
from fullrank.trainers.controls.plan import Claim, Control

_VECTORS: Final = (
    "--batch_size=1024",
    "--model=single",
    "--widths=16",
    "--experts=flat",
    "--hidden=64",
    "--vectors=projection",
)


def _reach(reach: float) -> World:
    return World(mechanisms={"evidence": Evidence(reach=reach)}, tasks={"click": Task(weights={"evidence/bent": 2.0})})


_GP: Final = Control(
    name="gaussian_process",
    claims=(
        Claim(
            text="A Gaussian process is less sure of rows unlike those it learned from; a probability is not "
            "([Tencent] §6.4)",
            method="gp",
            baseline="logit",
        ),
    ),
    positive=_reach(3.0),
    negative=_reach(1.0),
    flags=_VECTORS,
    variants={"logit": (), "gp": ("--head=gp",), "laplace": ("--head=laplace",)},
    metric="far_auc",
)


def _region(effect: str) -> World:
    return World(mechanisms={"region": Region()}, tasks={"click": Task(weights={f"region/{effect}": 2.0})})


_SEGMENTS: Final = Control(
    name="segments",
    claims=(
        Claim(
            text="What a feature is worth in one segment shows in the NE of that segment, and not in another's "
            "([Meta] §4)",
            method="with the feature",
            baseline="without",
        ),
    ),
    positive=_region("inside"),
    negative=_region("outside"),
    flags=_VECTORS,
    variants={"without": ("--without_features=regional",), "with the feature": ()},
    metric="inside_ne",
)

DOUBTS: Final = (_GP, _SEGMENTS)
