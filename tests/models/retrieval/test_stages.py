"""Stages that do not belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import models
from fullrank.data import IdMap, Label, Schema, Sparse
from fullrank.models.options.retrieval import RetrievalOptions
from fullrank.models.retrieval.cascade import Cascade
from fullrank.models.retrieval.pre_ranker import PreRanker
from fullrank.models.retrieval.served_index import ServedIndex
from fullrank.models.retrieval.stages import PrerankStage, RankStage
from fullrank.models.retrieval.two_tower import TwoTower

ADS = 6
SCHEMA = Schema(
    name="shop",
    features=(
        Sparse(name="user", side="user", ids=IdMap(kind="identity", size=9)),
        Sparse(name="ad", side="ad", ids=IdMap(kind="identity", size=ADS)),
    ),
    labels=(Label(name="click"),),
)


def towers() -> TwoTower:
    options = RetrievalOptions(widths=(4,), hidden=(4,), vector_width=3)
    return TwoTower(SCHEMA, options, catalogue={"ad": np.arange(ADS)}, vocabularies={})


def index(**given: Any) -> ServedIndex:
    arguments = {"ids": np.arange(ADS), "vectors": np.ones((ADS, 3), np.float32), "at": 2, "most_exclusions": 1}
    return ServedIndex(towers(), **{**arguments, **given})


def test_vectors_of_another_run() -> None:
    with pytest.raises(ValueError, match=r"shape \(6, 4\), but queries of this run are of width 3: index the ads"):
        index(vectors=np.ones((ADS, 4), np.float32))
    light = PreRanker(towers(), hidden=0, candidates=2, temperature=1.0)
    with pytest.raises(ValueError, match=r"shape \(6, 4\), but queries of the pre-ranker are of width 3: make them"):
        PrerankStage(light, vectors=np.ones((ADS, 4), np.float32), kept=2)


def test_padding_takes_no_place_of_an_exclusion() -> None:
    """The row that excludes three ads makes the list of the other one wider than the two that count."""
    served = index(at=4, most_exclusions=2)
    exclusions = tf.constant([[0, 1, -1], [5, 0, 1]], tf.int64)
    answer = served.answer({"user": tf.constant([0, 1], tf.int64)}, exclusions)["ids"].numpy()
    assert [set(row) for row in answer.tolist()] == [{2, 3, 4, 5}, {2, 3, 4, 5}]


def test_stages_of_other_catalogues_and_outputs() -> None:
    ranker = models.Ranker(SCHEMA, models.single(width=4, tasks=("click",)), vocabularies={})
    rank = RankStage(ranker, catalogue={"ad": np.arange(ADS)}, task="click", answered=2)
    with pytest.raises(ValueError, match="Received numbers of ads: --retrieval 5, --rank 6"):
        Cascade(index=index(ids=np.arange(5), vectors=np.ones((5, 3), np.float32)), prerank=None, rank=rank)
    assert Cascade(index=index(), prerank=None, rank=rank).stages == ("retrieve", "rank")
    with pytest.raises(ValueError, match="The ranker has no output"):
        RankStage(ranker, catalogue={"ad": np.arange(ADS)}, task="buy", answered=2)
