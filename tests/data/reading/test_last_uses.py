"""When each id was last used: by hand, and against a loop over examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullrank.data.reading.last_uses import NEVER, UNDATED, last_uses
from fullrank.data.schema.features import BehaviourColumn, IdMap, Label, Sequence, Sparse
from fullrank.data.schema.json import read_schema, write_schema
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.vocabulary import write_vocabulary

SHOPS = [b"a", b"b", b"c"]


@pytest.fixture
def schema(tmp_path: Path) -> Schema:
    features = (
        Sparse(name="item", ids=IdMap(size=4)),
        Sparse(name="shop", dtype="bytes", ids=IdMap(size=3)),
        Sparse(name="other_shop", dtype="bytes", table="shop"),
        Sequence(
            name="history",
            behaviour=(BehaviourColumn(name="past_items", table="item", target="item"),),
            times="past_times",
            max_length=3,
        ),
    )
    made = Schema(name="made", features=features, labels=(Label(name="click"),), time="time")
    write_schema(made, tmp_path)
    write_vocabulary([7, 8, 9, 10], directory=tmp_path, feature="item")
    write_vocabulary(SHOPS, directory=tmp_path, feature="shop")
    return read_schema(tmp_path)


def test_by_hand(schema: Schema) -> None:
    first = {
        "item": np.array([7, 8, -1]),
        "shop": np.array([b"a", b"b", b""], object),
        "other_shop": np.array([b"b", b"", b"unseen"], object),
        "past_items": np.array([[7, 9, -1], [-1, -1, -1], [5, 5, 5]]),
        "time": np.array([100, 300, 200]),
    }
    second = {
        "item": np.array([7]),
        "shop": np.array([b"a"], object),
        "other_shop": np.array([b"a"], object),
        "past_items": np.array([[-1, -1, -1]]),
        "time": np.array([-1]),
    }
    found = last_uses(schema, tables=["item", "shop"], batches=[first, second])
    assert (found.latest, found.undated) == (300, 1)
    # 7 has an example without a time, 9 is in the history of the example at 100, 10 is nowhere.
    np.testing.assert_array_equal(found.times["item"][2:], [UNDATED, 300, 100, NEVER])
    np.testing.assert_array_equal(found.times["shop"][2:], [UNDATED, 300, NEVER])


def test_against_a_loop(schema: Schema) -> None:
    draw = np.random.default_rng(0)
    batches: list[dict[str, Any]] = []
    slow: dict[Any, int] = {}
    for size in (50, 1, 17):
        batch = {
            "item": draw.integers(6, 12, size),
            "past_items": draw.integers(6, 12, (size, 3)),
            "time": draw.integers(0, 1000, size),
        }
        batches.append(batch)
        for item, past, time in zip(batch["item"], batch["past_items"], batch["time"], strict=True):
            for each in (item, *past):
                slow[each] = max(slow.get(each, NEVER), time)
    found = last_uses(schema, tables=["item"], batches=batches)
    np.testing.assert_array_equal(found.times["item"][2:], [slow[each] for each in (7, 8, 9, 10)])
    assert found.latest == max(batch["time"].max() for batch in batches)


def test_without_any_time_no_id_has_an_age(schema: Schema) -> None:
    batch = {"item": np.array([7]), "past_items": np.full((1, 3), -1), "time": np.array([-1])}
    with pytest.raises(SchemaError, match="'time' is missing in every example"):
        last_uses(schema, tables=["item"], batches=[batch])
