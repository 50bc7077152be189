"""Scores of near-duplicates: by hand, and of a model that knows an item by its id alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.analysis.comparisons.paired import inconsistency
from fullrank.data.schema.features import IdMap, Key, Label, Sparse
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.models import Ranker, single
from fullrank.trainers.evaluation.duplicate_pairs import duplicate_inconsistency, read_duplicates

SCHEMA = Schema(
    name="s",
    features=(
        Sparse(name="user", side="user", ids=IdMap(kind="identity", size=9)),
        Sparse(name="ad", side="ad", ids=IdMap(kind="identity", size=9)),
        Sparse(name="brand", side="ad", ids=IdMap(kind="identity", size=9)),
    ),
    labels=(Label(name="click", mean=0.5),),
    keys=(Key(name="creative"),),
)
# Ads 1 and 3 are one creative, ad 2 is another one. Brands differ by ad.
ROWS = {"user": [0, 1, 2, 3], "ad": [1, 2, 3, 1], "brand": [4, 5, 6, 4], "creative": [7, 8, 7, 7]}


def test_by_hand() -> None:
    # |.1 - .3| / .2 = 1, |.2 - .2| = 0, |0 - .5| / .25 = 2, and nothing is expected twice.
    assert inconsistency([0.1, 0.2, 0.0, 0.0], [0.3, 0.2, 0.5, 0.0]) == pytest.approx(0.75)
    assert np.isnan(inconsistency([], []))
    with pytest.raises(ValueError, match="two"):
        inconsistency([0.1], [0.1, 0.2])
    with pytest.raises(ValueError, match="negative"):
        inconsistency([-0.1], [0.1])


def test_every_input_of_the_ad_is_exchanged() -> None:
    model = Ranker(SCHEMA, single(tasks=("click",), width=4))
    for variable in model.table_variables.values():
        variable.assign(tf.random.stateless_uniform(variable.shape, (1, 2), -2.0, 2.0))
    batches = tf.data.Dataset.from_tensor_slices(ROWS).batch(3)
    found = duplicate_inconsistency(model, batches, read_duplicates("ad:creative", SCHEMA))

    def score(users: list[int], ads: list[int], brands: list[int]) -> Any:
        inputs = {"user": users, "ad": ads, "brand": brands}
        return model({name: tf.constant(ids, tf.int64) for name, ids in inputs.items()})["click"].numpy()

    own, other = score([0, 2, 3], [1, 3, 1], [4, 6, 4]), score([0, 2, 3], [3, 1, 3], [6, 4, 6])
    assert found["click"] == pytest.approx(inconsistency(own, other), rel=1e-5)
    assert found["click"] > 0


def test_no_pair_has_no_inconsistency() -> None:
    model = Ranker(SCHEMA, single(tasks=("click",), width=4))
    batches = tf.data.Dataset.from_tensor_slices({**ROWS, "creative": [1, 2, 3, 1]}).batch(4)
    assert np.isnan(duplicate_inconsistency(model, batches, read_duplicates("ad:creative", SCHEMA))["click"])


@pytest.mark.parametrize("text", ["ad", "ad:creatives", "click:creative"])
def test_columns_that_are_none(text: str) -> None:
    with pytest.raises(SchemaError, match="item:group"):
        read_duplicates(text, SCHEMA)
