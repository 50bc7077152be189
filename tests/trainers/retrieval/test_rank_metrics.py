"""Metrics of ranks, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank.trainers.retrieval.rank_metrics import exposure_metrics, rank_metrics


def test_ranks() -> None:
    found = rank_metrics(np.array([1.0, 3.0, 8.0, np.inf]), at=(3, 10))
    assert found["recall@3"] == 0.5
    # 1 / log2(2) = 1, 1 / log2(4) = .5, 1 / log2(9).
    assert found["ndcg@3"] == pytest.approx(1.5 / 4)
    assert found["ndcg@10"] == pytest.approx((1.5 + 1 / np.log2(9)) / 4)
    assert found["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 8) / 4)
    assert rank_metrics(np.empty(0), at=(3,)) == {"recall@3": None, "ndcg@3": None, "mrr": None}


def test_exposure() -> None:
    # Popularities 0, 1, 1, 8 have percentiles 1/8, 4/8, 4/8, 7/8. Shown: the last three times, the second once.
    found = exposure_metrics(np.array([0, 1, 0, 3]), np.array([0.0, 1.0, 1.0, 8.0]), np.array([1, 3, 4]))
    assert found["coverage"] == 0.5
    # Wanted are the second and the last (the third positive is not in the catalogue): (4 + 7) / 16.
    assert found["popularity_bias"] == pytest.approx((3 * 7 / 8 + 4 / 8) / 4 - 11 / 16)
