"""The latency of a cascade by stage: one query at a time, by the signatures of one export.

100,000 ads: 500 of them are retrieved by all products of width 64, a pre-ranker of width 32 keeps 100, and a
multi-embedding ranker of two sets of width 16 with a history of 50 ads scores these; 20 are answered. `serving_default`
is compared with its parts in a row, each of which checks the columns of the query and passes them on. Ranking
all 500 without a pre-ranker shows what that saves. Weights are random: time does not depend on them.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import report
from fullrank import models
from fullrank.data import BehaviourColumn, IdMap, Label, Numeric, NumericStatistics, Schema, Sequence, Sparse
from fullrank.models.options.retrieval import RetrievalOptions
from fullrank.models.retrieval.cascade import Cascade
from fullrank.models.retrieval.pre_ranker import PreRanker
from fullrank.models.retrieval.served_index import ServedIndex
from fullrank.models.retrieval.stages import PrerankStage, RankStage
from fullrank.models.retrieval.two_tower import TwoTower
from fullrank.models.serving.saved_model import write_saved_model
from fullrank.trainers.retrieval.index_run import vectors_of

HISTORY = 50
RETRIEVED, KEPT, ANSWERED = 500, 100, 20
_STATISTICS = NumericStatistics(
    mean=0.0, std=1.0, minimum=-4.0, maximum=4.0, missing=0.0, quantiles=tuple(np.linspace(-2, 2, 65).tolist())
)


def schema_of(ads: int) -> Schema:
    """Ten fields of the user, four of the ad, and a history of ads."""
    users = [Sparse(name=f"u{k}", side="user", ids=IdMap(kind="identity", size=1_000)) for k in range(8)]
    numbers = [Numeric(name=f"n{k}", side="user", statistics=_STATISTICS) for k in range(2)]
    own = [Sparse(name=f"a{k}", side="ad", ids=IdMap(kind="identity", size=100)) for k in range(3)]
    return Schema(
        name="cascade",
        features=(
            *users,
            *numbers,
            Sparse(name="ad", side="ad", ids=IdMap(kind="identity", size=ads)),
            *own,
            Sequence(
                name="history", behaviour=(BehaviourColumn(name="past", table="ad", target="ad"),), max_length=HISTORY
            ),
        ),
        labels=(Label(name="click", mean=0.1), Label(name="buy", mean=0.02)),
    )


def cascade_of(ads: int, *, retrieved: int, kept: int, answered: int) -> Cascade:
    """All stages with random weights."""
    schema, draw = schema_of(ads), np.random.default_rng(1)
    catalogue: dict[str, Any] = {
        "ad": np.arange(ads),
        **{f"a{k}": draw.integers(0, 100, ads) for k in range(3)},
    }
    wide = RetrievalOptions(widths=(32,), hidden=(128,), vector_width=64)
    towers = TwoTower(schema, wide, catalogue=catalogue, vocabularies={})
    light = RetrievalOptions(widths=(16,), hidden=(64,), vector_width=32, normalise=False)
    narrow = TwoTower(schema, light, catalogue=catalogue, vocabularies={})
    pre_ranker = PreRanker(narrow, hidden=16, candidates=2, temperature=1.0)
    wiring = models.multi_embedding(widths=(16, 16), experts=(("ipnn", 0), ("flat", 1)), tasks=("click", "buy"))
    ranker = models.Ranker(schema, wiring, models.RankerOptions(), vocabularies={}).merged(table_variables=1)
    index = ServedIndex(
        towers, ids=catalogue["ad"], vectors=vectors_of(towers, catalogue), at=retrieved, most_exclusions=10
    )
    prerank = PrerankStage(pre_ranker, vectors=vectors_of(narrow, catalogue), kept=kept)
    rank = RankStage(ranker, catalogue=catalogue, task="click", answered=answered)
    return Cascade(index=index, prerank=prerank, rank=rank)


def query(ads: int, draw: np.random.Generator) -> dict[str, tf.Tensor]:
    """One query."""
    return {
        **{f"u{k}": tf.constant(draw.integers(0, 1_000, 1)) for k in range(8)},
        **{f"n{k}": tf.constant(draw.normal(size=1).astype(np.float32)) for k in range(2)},
        "past": tf.constant(draw.integers(0, ads, (1, HISTORY))),
    }


def measured(saved: Path, ads: int, calls: int) -> dict[str, np.ndarray[Any, Any]]:
    """Seconds per call: of the whole, each stage, the stages in a row, and ranking all that is retrieved."""
    loaded = tf.saved_model.load(str(saved))
    signatures, draw = loaded.signatures, np.random.default_rng(2)
    seconds: dict[str, list[float]] = {}

    def timed(name: str, signature: str, **inputs: tf.Tensor) -> tf.Tensor:
        start = time.perf_counter()
        ids = signatures[signature](**inputs)["ids"].numpy()
        seconds.setdefault(name, []).append(time.perf_counter() - start)
        return tf.constant(ids)

    for _ in range(calls + 3):
        given = query(ads, draw)
        timed("whole", "serving_default", **given)
        retrieved = timed("retrieve", "retrieve", **given)
        kept = timed("prerank", "prerank", **given, ads=retrieved)
        timed("rank", "rank", **given, ads=kept)
        timed("all", "rank", **given, ads=retrieved)
    found = {name: np.array(values[3:]) for name, values in seconds.items()}
    found["row"] = found["retrieve"] + found["prerank"] + found["rank"]
    found["heavy"] = found["retrieve"] + found.pop("all")
    return found


def rows_of(found: dict[str, np.ndarray[Any, Any]], sizes: dict[str, str]) -> list[report.Row]:
    """Rows of the report, at both quantiles: each time, and the whole relative to the other ways to the same answer."""

    def quantile(name: str, at: int) -> report.Sample:
        return report.Sample((float(np.percentile(found[name], at)) * 1e3,))

    rows = []
    for at in (50, 99):
        for name, said in sizes.items():
            rows.append(report.compare(name=f"{said}, p{at}", ours=quantile(name, at), reference=None, unit="ms"))
        for other, said in (("row", "its parts in a row"), ("heavy", "without a pre-ranker")):
            rows.append(
                report.compare(
                    name=f"whole / {said}, p{at}", ours=quantile("whole", at), reference=quantile(other, at), unit="ms"
                )
            )
    return rows


def main() -> None:
    """Measures and reports."""
    options = report.arguments(__doc__.splitlines()[0])
    ads, calls = (300, 3) if options.quick else (100_000, 300)
    retrieved, kept, answered = (30, 10, 4) if options.quick else (RETRIEVED, KEPT, ANSWERED)
    cascade = cascade_of(ads, retrieved=retrieved, kept=kept, answered=answered)
    with tempfile.TemporaryDirectory() as directory:
        saved = Path(directory) / "1"
        write_saved_model(saved, model=cascade, signatures=cascade.signatures(), schema=cascade.rank.schema, guide=[])
        found = measured(saved, ads, calls)
    sizes = {
        "retrieve": f"retrieve {retrieved} of {ads:,}",
        "prerank": f"pre-rank {retrieved} to {kept}",
        "rank": f"rank {kept}",
        "whole": "whole",
    }
    report.emit(rows_of(found, sizes), options.json)


if __name__ == "__main__":
    main()
