"""Vectors of a graph beside the features of a public data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fullrank.data.schema.features import BehaviourColumn, IdMap, Label, Sequence, Sparse, Vector
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.graph_join import join_graph
from fullrank.data.sources.source import InMemory, Source
from fullrank.trainers.graph.vectors import write_vectors


def source(*, time: str | None = "time") -> Source:
    rows = pa.table(
        {
            "user": [1, 2, 3],
            "item": ["a", "b", "c"],
            "click": [1.0, 0.0, 1.0],
            "time": [10, 20, 30],
            "history_item": [["a"], [], ["a", "b"]],
        }
    )
    schema = Schema(
        name="clicks",
        features=(
            Sparse(name="user", ids=IdMap(kind="identity", size=9)),
            Sparse(name="item", dtype="bytes", ids=IdMap(kind="hash", size=9)),
            Sequence(
                name="history",
                behaviour=(BehaviourColumn(name="history_item", table="item", target="item"),),
                max_length=3,
            ),
        ),
        labels=(Label(name="click"),),
        time=time,
    )
    return Source(schema=schema, splits={"train": InMemory(rows), "test": InMemory(rows)})


def graph(directory: Path, *, until: int | None) -> Path:
    ones = np.ones([2, 4], np.float32)
    write_vectors(directory / "users.parquet", column="user", ids=np.array([3, 2]), vectors=ones * 5, until=until)
    items = np.array([b"b", b"z"], object)
    write_vectors(directory / "items.parquet", column="item", ids=items, vectors=ones * 7, until=until)
    return directory


def test_vectors_stand_beside_their_ids_and_known_clicks_are_left_out(tmp_path: Path) -> None:
    joined = join_graph(source(), directory=graph(tmp_path, until=10_000))
    train, test = (joined.table(split).to_pylist() for split in ("train", "test"))
    # The click at 10 s is in the graph: it stays in the test split, whose clicks no graph knows.
    assert [row["time"] for row in train] == [20, 30]
    assert [row["time"] for row in test] == [10, 20, 30]
    assert [row["user_graph_vector"] for row in test] == [None, [5.0] * 4, [5.0] * 4]
    assert [row["item_graph_vector"] for row in test] == [None, [7.0] * 4, None]
    user, item = joined.schema.features[-2:]
    assert isinstance(user, Vector)
    assert (user.name, user.length, user.pair) == ("user_graph_vector", 4, "item_graph_vector")
    assert (item.name, item.side) == ("item_graph_vector", "ad")


def test_without_a_time_all_rows_stay(tmp_path: Path) -> None:
    joined = join_graph(source(), directory=graph(tmp_path, until=None))
    assert joined.table("train").num_rows == 3


def test_a_graph_of_other_columns_is_refused(tmp_path: Path) -> None:
    graph(tmp_path, until=None)
    write_vectors(
        tmp_path / "items.parquet", column="ad", ids=np.array([1]), vectors=np.ones([1, 4], np.float32), until=None
    )
    with pytest.raises(ValueError, match=r"clicks has no column 'ad'.*items\.parquet"):
        join_graph(source(), directory=tmp_path)


def test_a_time_needs_a_time(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data set 'clicks' has no time"):
        join_graph(source(time=None), directory=graph(tmp_path, until=5))


def test_a_file_without_vectors_is_refused(tmp_path: Path) -> None:
    graph(tmp_path, until=None)
    (tmp_path / "users.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"users\.parquet: cannot be read"):
        join_graph(source(), directory=tmp_path)


def test_a_directory_without_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no users\.parquet: give an output of fullrank pretrain-graph"):
        join_graph(source(), directory=tmp_path)
