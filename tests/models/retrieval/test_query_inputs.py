"""One request for several models."""

from __future__ import annotations

import dataclasses

import pytest
import tensorflow as tf

from fullrank.data import IdMap, Label, Numeric, Schema, Sparse
from fullrank.data.schema.schema import SchemaError
from fullrank.models.retrieval.query_inputs import QueryInputs

USER = Sparse(name="user", side="user", ids=IdMap(kind="identity", size=9))
AGE = Numeric(name="age", side="user")
AD = Sparse(name="ad", side="ad", ids=IdMap(kind="identity", size=5))


def schema(*features: Sparse | Numeric) -> Schema:
    return Schema(name="shop", features=features, labels=(Label(name="click"),))


def test_columns_of_all_models_are_given_once_and_each_reads_its_own() -> None:
    light, heavy = schema(USER, AD), schema(AGE, USER, AD)
    inputs = QueryInputs({"--retrieval": light, "--rank": heavy})
    assert set(inputs.specs) == {"user", "age"}
    given = {"user": tf.constant([1, 2], tf.int64), "age": tf.constant([0.5, 0.25])}
    batch = inputs.batch(given, schema=light)
    assert set(batch) == {"user", "ad"}
    assert batch["ad"].numpy().tolist() == [-1, -1]
    assert set(inputs.batch(given, schema=heavy)) == {"user", "age", "ad"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (schema(dataclasses.replace(USER, dtype="bytes", ids=IdMap(kind="hash", size=9)), AD), "--rank reads column"),
        (schema(dataclasses.replace(USER, side="ad"), AGE, AD), "of the ad side for --rank and not for --retrieval"),
        (schema(USER, Numeric(name="seed", side="user"), AD), "'seed' is an input of a signature: rename"),
    ],
)
def test_models_that_disagree(other: Schema, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        QueryInputs({"--retrieval": schema(USER, AGE, AD), "--rank": other}, reserved=("seed",))
