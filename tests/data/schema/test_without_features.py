"""Models that do not read some of the features of their records."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data.reading.bad_records import diagnose
from fullrank.data.reading.read import read_records
from fullrank.data.schema.features import BehaviourColumn, IdMap, Label, Sequence, Sparse, Vector
from fullrank.data.schema.json import schema_from_json, schema_to_json
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.value_rules import without_features
from fullrank.data.writing.writer import write_records
from fullrank.trainers import evaluate, export, train
from fullrank.trainers.training.load_run import load_run

SCHEMA = Schema(
    name="s",
    features=(
        Sparse(name="item", ids=IdMap(kind="identity", size=9)),
        Sparse(name="shop", ids=IdMap(kind="identity", size=9)),
        Sparse(name="last_shop", table="shop"),
        Sequence(
            name="history",
            behaviour=(
                BehaviourColumn(name="past_item", table="item", target="item"),
                BehaviourColumn(name="past_shop", table="shop", target="shop"),
            ),
            max_length=3,
        ),
        Vector(name="user_vector", length=2, pair="item_vector"),
        Vector(name="item_vector", length=2),
    ),
    labels=(Label(name="click"),),
)


def test_what_depends_on_a_feature_goes_with_it() -> None:
    left = without_features(SCHEMA, ["item", "item_vector"])
    assert [feature.name for feature in left.features] == ["shop", "last_shop", "history", "user_vector"]
    history, vector = left.features[-2:]
    assert isinstance(history, Sequence)
    assert history.names == ("past_shop",)
    assert isinstance(vector, Vector)
    assert vector.pair is None
    assert {column.name for column in left.input_columns} == {"shop", "last_shop", "past_shop", "user_vector"}


def test_a_sequence_keeps_columns_that_are_no_longer_compared() -> None:
    columns = (
        BehaviourColumn(name="past_item", table="item", target="item"),
        BehaviourColumn(name="past_shop", table="shop", target="last_shop"),
    )
    features = (*SCHEMA.features[:3], Sequence(name="history", behaviour=columns))
    *_, history = without_features(dataclasses.replace(SCHEMA, features=features), ["last_shop"]).features
    assert isinstance(history, Sequence)
    assert [column.target for column in history.behaviour] == ["item", None]


def test_a_sequence_goes_with_its_last_id() -> None:
    one = dataclasses.replace(
        SCHEMA,
        features=(
            *SCHEMA.features[:3],
            Sequence(name="h", behaviour=(BehaviourColumn(name="past", table="item", target="item"),), max_length=3),
        ),
    )
    assert [feature.name for feature in without_features(one, ["item"]).features] == ["shop", "last_shop"]


def test_nothing_left_out_is_the_schema_itself() -> None:
    assert without_features(SCHEMA, []) is SCHEMA


@pytest.mark.parametrize("on_bad_record", ["fail", "skip"])
def test_rows_that_had_nothing_else_are_read_as_missing(tmp_path: Path, on_bad_record: Any) -> None:
    """Of a data set they are rows of it; records of another data set stay bad."""
    schema = Schema(
        name="s",
        features=(
            Sparse(name="item", ids=IdMap(kind="identity", size=9)),
            Sparse(name="shop", ids=IdMap(kind="identity", size=9)),
        ),
        labels=(Label(name="click"),),
        layout="example",
    )
    columns = {
        "item": np.array([1, -1, 3]),
        "shop": np.array([1, 2, 3]),
        "click": np.array([1, np.nan, 0], np.float32),
    }
    whole = write_records(tmp_path, schema=schema, splits={"train": columns}, shards=1)
    left = without_features(whole, ["shop"])
    assert left.left_out == ("shop",)
    assert without_features(left, []) is left
    cache = tmp_path / "cache"
    dataset = read_records(left, batch_size=3, on_bad_record=on_bad_record, cache_directory=cache)
    (batch,) = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(batch["item"], [1, -1, 3])
    np.testing.assert_array_equal(batch["click"], columns["click"])
    assert diagnose(left, split="train") is None
    foreign = dataclasses.replace(left, left_out=())
    found = diagnose(foreign, split="train")
    assert found is not None
    assert (found.record, found.received) == (1, "shop")


def test_left_out_columns_add_up_and_are_not_in_the_schema() -> None:
    left = without_features(without_features(SCHEMA, ["history"]), ["last_shop", "user_vector"])
    assert left.left_out == ("past_item", "past_shop", "last_shop", "user_vector")
    assert left == dataclasses.replace(left, left_out=())
    assert schema_from_json(schema_to_json(left)).left_out == ()


def test_what_cannot_be_left_out() -> None:
    with pytest.raises(SchemaError, match="did you mean 'item'"):
        without_features(SCHEMA, ["itme"])
    with pytest.raises(SchemaError, match="'last_shop' shares its table"):
        without_features(SCHEMA, ["shop"])
    with pytest.raises(SchemaError, match="no feature left"):
        without_features(SCHEMA, [feature.name for feature in SCHEMA.features])


@pytest.mark.slow
def test_train_evaluate_and_export_without_a_feature(toy_records: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = ("--model=single", "--epochs=1", "--batch_size=64", "--without_features=tags", "--progress=none")
    train.run(["train", f"--data={toy_records}", f"--output={run}", *flags])
    assert "tags" not in {column.name for column in load_run(run).schema.input_columns}
    evaluate.run(["evaluate", f"--run={run}"])
    export.run(["export", f"--run={run}", f"--output={tmp_path / 'serving'}"])
    signature: Any = tf.saved_model.load(str(tmp_path / "serving" / "1")).signatures["serving_default"]
    assert "tags" not in signature.structured_input_signature[1]
