"""The studies that come with fullrank: the papers' comparisons, on records that the user prepares.

Each is run by `fullrank study --study=NAME --data=RECORDS --output=DIR`.
"""

from __future__ import annotations

from typing import Final

from fullrank.trainers.studies.collapse import COLLAPSE
from fullrank.trainers.studies.objectives import OBJECTIVES
from fullrank.trainers.studies.plan import SMALL_DATA, Study
from fullrank.trainers.studies.tasks import MULTI_TASK

_SMALL: Final = (*SMALL_DATA, "--model=single", "--widths=16", "--experts=crossnet,flat", "--patience=1")

_SEQUENCES: Final = Study(
    name="sequences",
    question="Does target-aware, time-aware encoding of the history help, and which part of it ([Tencent] §3.1)?",
    # The defaults of training, which are what a user of these encoders gets.
    flags=("--model=single", "--monitor=ne"),
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

_NUMBERS: Final = Study(
    name="numbers",
    question="Do the digits of numeral systems encode numbers better than the usual ways ([Tencent] §3.2)?",
    flags=(*_SMALL, "--epochs=6"),
    baseline="mns",
    variants={
        "mns": ("--numeric=mns",),
        "mns base 2": ("--numeric=mns", "--bases=2"),
        "mns base 3": ("--numeric=mns", "--bases=3"),
        "scaled": ("--numeric=scaled",),
        "buckets": ("--numeric=buckets",),
        "autodis": ("--numeric=autodis",),
        "periodic": ("--numeric=periodic",),
    },
    expected={"scaled": "worse", "buckets": "worse", "autodis": "worse"},
)

_VECTORS: Final = Study(
    name="vectors",
    question="Does the similarity of a pretrained pair, in numeral systems, beat the raw vectors ([Tencent] §3.3)?",
    flags=(*_SMALL, "--epochs=6"),
    baseline="raw",
    variants={
        "raw": ("--vectors=raw",),
        "projection": ("--vectors=projection",),
        "similarity cosine": ("--vectors=similarity", "--similarity=cosine"),
        "similarity dot": ("--vectors=similarity", "--similarity=dot"),
    },
    expected={"similarity cosine": "better", "similarity dot": "better"},
    metrics=("auc", "ne", "gauc"),
)

_OTHERS: Final = "--without_features=history,user_vector,ad_vector"

_HASH_ID: Final = Study(
    name="hash_id",
    question="Does a HashID in place of the raw ad id help new ads, and score near-duplicates alike ([Tencent] §3.2)?",
    flags=(*_SMALL, "--epochs=6"),
    baseline="raw id",
    variants={
        "raw id": (f"{_OTHERS},content,content_bits",),
        "neither": (f"{_OTHERS},content,content_bits,ad_id",),
        "hash id": (f"{_OTHERS},content,ad_id",),
        "hash id and raw id": (f"{_OTHERS},content",),
        "content vector": (f"{_OTHERS},content_bits,ad_id", "--vectors=projection"),
    },
    expected={"hash id": "better"},
    metrics=("auc", "ne", "inconsistency"),
    segments=("ad_is_new",),
    duplicates="ad_id:creative",
)

_HEADS: Final = Study(
    name="heads",
    question="Do heads that know how sure they are predict as well as a logit ([Tencent] §6.4)?",
    # The variational parameters need a faster rate than SMALL_DATA's; the logit has the same.
    flags=(*SMALL_DATA, "--learning_rate=0.002", "--model=me", "--epochs=6", "--patience=1"),
    baseline="logit",
    variants={
        "logit": (),
        "gp": ("--head=gp",),
        "gp matern 5-2": ("--head=gp", "--kernel=matern_5_2"),
        "gp no tower": ("--head=gp", "--tower="),
        "rff gp": ("--head=rff_gp",),
        "laplace": ("--head=laplace",),
        "dropout": ("--head=dropout", "--dropout=0.1"),
    },
    metrics=("auc", "ne", "ece", "log_loss"),
)

STUDIES: Final[dict[str, Study]] = {
    study.name: study
    for study in (_SEQUENCES, _NUMBERS, _VECTORS, _HASH_ID, _HEADS, *COLLAPSE, *MULTI_TASK, *OBJECTIVES)
}
