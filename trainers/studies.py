"""The studies that come with fullrank: the papers' comparisons, on records that the user prepares.

Each is run by `python -m fullrank.trainers.study --study=NAME --data=RECORDS --output=DIR`.
"""

from __future__ import annotations

from typing import Final

from fullrank.trainers.study_plan import Study

_SMALL: Final = ("--batch_size=1024", "--model=single", "--widths=16", "--experts=crossnet,flat", "--patience=1")

_SEQUENCES: Final = Study(
    name="sequences",
    question="Does target-aware, time-aware encoding of the history help, and which part of it (Tencent Eq. 1)?",
    flags=(*_SMALL, "--epochs=3"),
    baseline="mean",
    variants={
        "mean": ("--sequence=mean",),
        "din": ("--sequence=din",),
        "self_attention": ("--sequence=self_attention",),
        "tim": ("--sequence=tim",),
        "tim - position": ("--sequence=tim", "--sequence_without=position"),
        "tim - interval": ("--sequence=tim", "--sequence_without=interval"),
        "tim - position - interval": ("--sequence=tim", "--sequence_without=position,interval"),
        "tim - attention": ("--sequence=tim", "--sequence_without=attention"),
        "tim - representation": ("--sequence=tim", "--sequence_without=representation"),
    },
    expected={"din": "better", "tim": "better"},
    metrics=("auc", "ne", "gauc"),
)

STUDIES: Final[dict[str, Study]] = {study.name: study for study in (_SEQUENCES,)}
