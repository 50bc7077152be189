"""Rows of tables outside of a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullrank.data import IdMap, Schema, Sparse, write_vocabulary
from fullrank.data.schema.table_rows import TableRows


@pytest.fixture
def schema(every_kind: tuple[Schema, Any], tmp_path: Path) -> Schema:
    for feature, ids in every_kind[1].items():
        write_vocabulary(ids, directory=tmp_path, feature=feature)
    return dataclasses.replace(every_kind[0], directory=tmp_path)


def test_rows_of_every_map(schema: Schema) -> None:
    """0 is missing, 1 unknown; the vocabularies are 5, 7, -3 and red, blue."""
    assert TableRows(schema, "user")(np.array([[5, 7], [-3, 4], [-1, 5]])).tolist() == [[2, 3], [4, 1], [0, 2]]
    assert TableRows(schema, "item")(np.array([0, 49, 50, -1])).tolist() == [2, 51, 1, 0]
    tags = TableRows(schema, "tags")
    assert tags(np.array([b"blue", b"green", b""], object)).tolist() == [3, 1, 0]
    assert [tags.name(row) for row in range(4)] == ["(missing)", "(unknown)", "red", "blue"]
    assert tags.number == 4


@pytest.mark.parametrize("dtype", ["int64", "bytes"])
def test_hashed_ids_are_spread_evenly(schema: Schema, dtype: Any) -> None:
    hashed = Sparse(name="hashed", dtype=dtype, ids=IdMap(kind="hash", size=10))
    rows = TableRows(dataclasses.replace(schema, features=(*schema.features, hashed)), "hashed")
    ids = np.arange(5000) if dtype == "int64" else np.array([b"%d" % n for n in range(5000)], object)
    counts = np.bincount(rows(ids), minlength=12)
    assert counts[:2].tolist() == [0, 0]
    assert 400 < counts[2:].min() <= counts[2:].max() < 600
    missing = np.array([-1]) if dtype == "int64" else np.array([b""], object)
    assert rows(missing).tolist() == [0]
    assert rows.name(5) == "bucket 3"
