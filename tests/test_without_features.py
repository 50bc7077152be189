"""Models that do not read some of the features of their records."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from fullrank.data.features import IdMap, Label, Sequence, Sparse, Vector
from fullrank.data.schema import Schema, SchemaError
from fullrank.data.without_features import without_features
from fullrank.trainers import evaluate, export, train
from fullrank.trainers.load_run import load_run

SCHEMA = Schema(
    name="s",
    features=(
        Sparse(name="item", ids=IdMap(kind="identity", size=9)),
        Sparse(name="shop", ids=IdMap(kind="identity", size=9)),
        Sparse(name="last_shop", table="shop"),
        Sequence(name="history", ids=(("past_item", "item"), ("past_shop", "shop")), max_length=3),
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
    assert history.ids == (("past_shop", "shop"),)
    assert isinstance(vector, Vector)
    assert vector.pair is None
    assert {column.name for column in left.input_columns} == {"shop", "last_shop", "past_shop", "user_vector"}


def test_a_sequence_goes_with_its_last_id() -> None:
    one = dataclasses.replace(
        SCHEMA, features=(*SCHEMA.features[:3], Sequence(name="h", ids=(("past", "item"),), max_length=3))
    )
    assert [feature.name for feature in without_features(one, ["item"]).features] == ["shop", "last_shop"]


def test_nothing_left_out_is_the_schema_itself() -> None:
    assert without_features(SCHEMA, []) is SCHEMA


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
