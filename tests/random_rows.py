"""A schema with every kind of feature, and random rows of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fullrank import data

SCHEMA = data.Schema(
    name="every kind",
    features=(
        data.Sparse(name="item", side="ad"),
        data.Sparse(name="query", dtype="bytes"),
        data.Sparse(name="tags", dtype="bytes", max_values=3, weights="tag_weights"),
        data.Sparse(name="codes", max_values=2),
        data.Sparse(name="brand", weights="brand_weight"),
        data.Numeric(name="price"),
        data.Sequence(
            name="history",
            behaviour=(
                data.BehaviourColumn(name="past_item", table="item", target="item"),
                data.BehaviourColumn(name="past_query", table="query", target="query"),
            ),
            times="past_time",
            max_length=4,
        ),
        data.Vector(name="content", length=3),
        data.Bits(name="hash_id", length=5),
    ),
    labels=(data.Label(name="click"), data.Label(name="value", type="value")),
    weight="importance",
    keys=(data.Key(name="item"), data.Key(name="request", dtype="bytes")),
    segments=(data.Key(name="country", dtype="bytes"),),
    time="time",
)


def ragged(rng: np.random.Generator, lengths: np.ndarray, dtype: str) -> data.Ragged:
    size = int(lengths.sum())
    if dtype == "float32":
        return data.Ragged(rng.normal(size=size).astype(np.float32), lengths)
    ids = rng.integers(0, 2**62, size)
    return data.Ragged(ids if dtype == "int64" else as_bytes(ids), lengths)


def as_bytes(ids: np.ndarray) -> np.ndarray:
    return np.array([b"\x00id\xff%d" % i for i in ids.tolist()], dtype=object)


def random_columns(rows: int, seed: int) -> dict[str, Any]:
    """Rows with missing values of every kind, empty lists, negative and very large ids."""
    rng = np.random.default_rng(seed)

    def some(values: np.ndarray, missing: Any) -> np.ndarray:
        values[rng.random(rows) < 0.3] = missing
        return values

    tags, codes, past = (rng.integers(0, longest + 1, rows).astype(np.int32) for longest in (3, 2, 4))
    return {
        "item": some(rng.integers(-(2**63), 2**63 - 1, rows), -1),
        "query": some(as_bytes(rng.integers(0, 99, rows)), b""),
        "tags": ragged(rng, tags, "bytes"),
        "tag_weights": ragged(rng, tags, "float32"),
        "codes": ragged(rng, codes, "int64"),
        "brand": rng.integers(0, 99, rows),
        "brand_weight": some(rng.random(rows).astype(np.float32), 0),
        "price": some(rng.normal(size=rows).astype(np.float32), np.nan),
        "past_item": ragged(rng, past, "int64"),
        "past_query": ragged(rng, past, "bytes"),
        "past_time": ragged(rng, past, "int64"),
        "content": some(rng.normal(size=(rows, 3)).astype(np.float32), np.nan),
        "hash_id": some(rng.integers(0, 2, (rows, 5)), -1),
        "click": some(rng.integers(0, 2, rows).astype(np.float32), np.nan),
        "value": some(rng.normal(size=rows).astype(np.float32), np.nan),
        "importance": rng.random(rows).astype(np.float32),
        "request": as_bytes(rng.integers(0, 9, rows)),
        "country": some(as_bytes(rng.integers(0, 3, rows)), b""),
        "time": np.arange(rows),
    }
