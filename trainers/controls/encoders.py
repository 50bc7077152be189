"""Controls of encoders: histories and numbers ([Tencent] §3)."""

from __future__ import annotations

from typing import Final

from fullrank.data.planted.click_graph import ClickGraph
from fullrank.data.planted.content import Content
from fullrank.data.planted.interest import Interest
from fullrank.data.planted.number import Number
from fullrank.data.planted.pretrained import PretrainedPair
from fullrank.data.planted.world import Task, World
from fullrank.trainers.controls.graph_vectors import SageVectors
from fullrank.trainers.controls.plan import MANY, Claim, Control

_ONE_SET: Final = ("--batch_size=1024", "--model=single", "--widths=16", "--experts=flat", "--hidden=64")


def _interest(effect: str) -> World:
    return World(mechanisms={"interest": Interest()}, tasks={"click": Task(weights={f"interest/{effect}": 2.0})})


def _without(*parts: str) -> tuple[str, ...]:
    return ("--sequence=tim", f"--sequence_without={','.join(parts)}")


_TIM: Final = Control(
    name="tim",
    claims=(
        Claim(text="TIM beats a mean of behaviours ([Tencent] §3.1)", method="tim", baseline="mean"),
        Claim(text="TIM beats DIN, which knows no time", method="tim", baseline="din"),
        Claim(
            text="TIM needs its temporal encoding",
            method="tim",
            baseline="tim - position - interval",
        ),
        Claim(text="TIM needs its target-aware attention", method="tim", baseline="tim - attention"),
    ),
    positive=_interest("decay"),
    negative=_interest("taste"),
    flags=_ONE_SET,
    variants={
        "mean": ("--sequence=mean",),
        "din": ("--sequence=din",),
        "tim": ("--sequence=tim",),
        "tim - position": _without("position"),
        "tim - interval": _without("interval"),
        "tim - position - interval": _without("position", "interval"),
        "tim - attention": _without("attention"),
        "tim - representation": _without("representation"),
        "tim as printed, from wider rows": (
            "--sequence=tim",
            "--sequence_scale=1",
            "--small_tables=dense",
            "--initial_scale=0.3",
        ),
    },
    rates=(0.0007, 0.002, 0.006),
    note=(
        "The effect of a behaviour of the target's category falls by exp(-age / 2 hours). A sharper attention is not a "
        "better one: with --sequence_scale of 0.15, 0.2, 0.25 in place of 0.3, its entropy / log n was .19, .61, .84 "
        "and the AUC .830, .849, .877 (three seeds); with eight times the rows, .86 and .890."
    ),
    attends=("history_category", "category", "history_time", "timestamp"),
)


def _number(effect: str, *, bits: int) -> World:
    return World(mechanisms={"number": Number(bits=bits)}, tasks={"click": Task(weights={f"number/{effect}": 1.5})})


_ORDER: Final = Control(
    name="mns_order",
    claims=(
        Claim(
            text="Digits of several systems beat an id for each number where near numbers are alike ([Tencent] §3.2)",
            method="mns",
            baseline="id",
        ),
        Claim(
            text="They beat one vector times the number where its effect is not linear", method="mns", baseline="scaled"
        ),
    ),
    note="In the negative world near numbers are not alike, so that the effect is not linear there either: it is no "
    "control of the second claim.",
    positive=_number("smooth", bits=15),
    negative=_number("unordered", bits=10),
    flags=_ONE_SET,
    seeds=MANY,
    variants={
        "id": ("--without_features=number",),
        "mns": ("--numeric=mns", "--without_features=number_id"),
        "scaled": ("--numeric=scaled", "--without_features=number_id"),
        "buckets": ("--numeric=buckets", "--without_features=number_id"),
    },
)

_CARRY: Final = Control(
    name="mns_carry",
    claims=(
        Claim(
            text="Base 3 beside base 2 repairs carries, at which all binary digits change ([Tencent] §3.2)",
            method="bases 2 and 3",
            baseline="base 2",
        ),
    ),
    positive=_number("carry", bits=12),
    negative=_number("digits", bits=12),
    flags=(*_ONE_SET, "--numeric=mns", "--without_features=number_id"),
    variants={"base 2": ("--bases=2",), "bases 2 and 3": ("--bases=2,3",), "base 3": ("--bases=3",)},
    note="Carries matter to who reads digits linearly: of a wave of one period over 256 numbers, weights of the binary "
    "digits explain 41 %, of the ternary ones 73 %, of both 82 %. An expert reads them through hidden layers, to which "
    "the binary digits alone already say which number it is.",
)


def _ads(effect: str) -> World:
    return World(mechanisms={"content": Content()}, tasks={"click": Task(weights={f"content/{effect}": 1.5})})


_HASH_ID: Final = Control(
    name="hash_id",
    claims=(
        Claim(
            text="A HashID in place of the ad's id tells what a new ad is worth ([Tencent] §3.2)",
            method="hash id",
            baseline="id",
        ),
    ),
    positive=_ads("content"),
    negative=_ads("own"),
    flags=_ONE_SET,
    variants={
        "id": ("--without_features=content,content_bits",),
        "hash id": ("--without_features=content,ad_id",),
        "id and hash id": ("--without_features=content",),
        "content vector": ("--without_features=content_bits,ad_id", "--vectors=projection"),
    },
    metric="new_auc",
)


def _vectors(effect: str) -> World:
    return World(
        mechanisms={"vectors": PretrainedPair(), "number": Number(bits=4)},
        tasks={"click": Task(weights={f"vectors/{effect}": 1.5, "number/unordered": 0.5})},
    )


_SIMILARITY: Final = Control(
    name="similarity",
    claims=(
        Claim(
            text="The similarity of a pretrained pair, by its digits, beats the vectors themselves ([Tencent] §3.3)",
            method="similarity",
            baseline="projection",
        ),
    ),
    positive=_vectors("near"),
    negative=_vectors("ad"),
    flags=(*_ONE_SET, "--without_features=number"),
    variants={
        "projection": ("--vectors=projection",),
        "similarity": ("--vectors=similarity",),
        "raw": ("--vectors=raw",),
    },
)


def _graph(sharpness: float) -> World:
    return World(
        mechanisms={"graph": ClickGraph(embed=SageVectors(), sharpness=sharpness)},
        tasks={"click": Task(weights={"graph/affinity": 2.0})},
    )


_GRAPH_SAGE: Final = Control(
    name="graph_sage",
    claims=(
        Claim(
            text="The similarity of vectors that GraphSAGE learned from earlier clicks tells what ids do not "
            "([Tencent] §3.3)",
            method="ids and graph",
            baseline="ids and shuffled graph",
        ),
    ),
    positive=_graph(4.0),
    negative=_graph(0.0),
    flags=("--batch_size=1024", "--model=single", "--widths=8", "--experts=fm,flat", "--vectors=similarity"),
    variants={
        "ids": ("--without_features=user_vector,ad_vector,shuffled_user_vector,shuffled_ad_vector",),
        "ids and shuffled graph": ("--without_features=user_vector,ad_vector",),
        "ids and graph": ("--without_features=shuffled_user_vector,shuffled_ad_vector",),
    },
    rows=102_400,
    seeds=MANY,
    note="The baseline reads the same vectors, in the order of other people and ads, so that both sides have as many "
    "fields: they tell nothing, and are still worth .0013 beside ids alone.",
)
ENCODERS: Final = (_TIM, _ORDER, _CARRY, _HASH_ID, _SIMILARITY, _GRAPH_SAGE)
