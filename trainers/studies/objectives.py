"""Studies of objectives: ranking losses where positives are rare, group structure and residual learning."""

from __future__ import annotations

from typing import Final

from fullrank.trainers.studies.plan import BASELINE_RUN, SMALL_DATA, Study

_COMMON: Final = (*SMALL_DATA, "--experts=crossnet,flat", "--widths=16", "--epochs=6", "--patience=1")
_TAUGHT: Final = f"--teacher={BASELINE_RUN}"

_LOSSES: Final = Study(
    name="losses",
    question="Does adding a ranking loss to cross entropy help, most where positives are rarer ([Tencent] §6.1)?",
    flags=(*_COMMON, "--model=single"),
    baseline="cross entropy",
    variants={
        "cross entropy": (),
        "pairwise": ("--ranking=pairwise",),
        "listwise": ("--ranking=listwise", "--ranking_weight=0.1"),
        "jrc": ("--ranking=jrc",),
        "focal": ("--classification=focal",),
    },
    expected={"pairwise": "better", "listwise": "better", "jrc": "better"},
    metrics=("auc", "ne", "ece"),
)

_META_VARIANTS: Final = {
    "baseline": (),
    "GSL user": ("--group_places=user",),
    "GSL user + ResL": ("--group_places=user", _TAUGHT, "--residual_weight=0.1"),
    "GSL user-ad": ("--group_places=user_ad",),
    "GSL representation": ("--group_places=representation",),
    "teacher": (_TAUGHT,),
    "ResL": (_TAUGHT, "--residual_weight=0.1"),
}


def _meta(name: str, *, tasks: tuple[str, ...]) -> Study:
    return Study(
        name=name,
        question="Do group structure and residual learning lower the normalised entropy ([Meta] §4)? The teacher is "
        "the baseline's own run of the same seed.",
        flags=(*_COMMON, "--model=shared_bottom", "--monitor=mean_ne"),
        baseline="baseline",
        variants=_META_VARIANTS,
        expected={variant: "better" for variant in _META_VARIANTS if variant not in ("baseline", "teacher")},
        metrics=("ne", "auc"),
        tasks=tasks,
    )


OBJECTIVES: Final = (
    _LOSSES,
    _meta("groups_residuals", tasks=("click",)),
    _meta("groups_residuals_kuairand", tasks=("click", "long_view", "like")),
)
