"""What reaches the ranker, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank.trainers.retrieval.survivors import StageScores, cascade_metrics, survivors

# Two queries and four ads. Retrieval and pre-ranker of the first query disagree about ads 0 and 2.
SCORES = StageScores(
    retrieval=np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 3.0]]),
    prerank=np.array([[0.0, 1.0, 2.0, 9.0], [5.0, 0.0, 1.0, 0.0]]),
    rank=np.array([[0.1, 0.5, 0.4, 0.9], [0.2, 0.3, 0.8, 0.6]]),
    own=np.array([1, 4]),
    positive=np.array([True, True]),
    labels=np.array([1.0, np.nan]),
)


def test_survivors() -> None:
    # Of the first query 0, 1, 2 are retrieved, of which the pre-ranker keeps 2 and 1; of the second 2, 3 and 1, of
    # which it keeps 2, and of the equal 1 and 3 the first.
    alive = survivors(SCORES, retrieved=3, kept=2)
    np.testing.assert_array_equal(alive, [[False, True, True, False], [False, True, True, False]])


def test_metrics() -> None:
    few, everything = cascade_metrics(SCORES, grid=[(3, 2), (4, 4)], answered=2, task="click")
    assert (few["retrieved"], few["kept"]) == (3, 2)
    # The own ad of the first query is there; that of the second is in no catalogue.
    assert few["recall"] == 0.5
    assert few["answered"] == 0.5
    # The ranker alone would answer 3 and 1, and 2 and 3: one of each reaches it.
    assert few["top"] == 0.5
    assert everything["top"] == 1.0
    # All rows with a label are positive: there is no normalised entropy. The bias is .5 / 1.
    assert few["rows"] == 1
    assert few["ne"] is None
    assert few["bias"] == pytest.approx(0.5)
    (without,) = cascade_metrics(SCORES, grid=[(4, 4)], answered=2, task=None)
    assert (without["rows"], without["bias"]) == (0, None)
