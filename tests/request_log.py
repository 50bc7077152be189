"""A small log of requests, as flat rows and as requests, and data sets that are made of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from fullrank import data
from fullrank.data.records.encode_block import encode_blocks
from fullrank.data.records.frames import framed
from fullrank.data.records.packing import Packing
from fullrank.data.schema.ragged import take_rows

SCHEMA = data.Schema(
    name="requests",
    features=(
        data.Sparse(name="user", ids=data.IdMap(kind="identity", size=50), side="user"),
        data.Sparse(name="tags", max_values=2, ids=data.IdMap(kind="identity", size=9), side="user"),
        data.Sparse(name="item", ids=data.IdMap(kind="identity", size=50), side="ad"),
        data.Sequence(
            name="history",
            behaviour=(data.BehaviourColumn(name="seen", table="item", target="item"),),
            times="at",
            max_length=4,
            side="user",
        ),
    ),
    labels=(data.Label(name="click", mean=0.5),),
    weight="weight",
    time="time",
)
PER_REQUEST = ("user", "tags", "seen", "at", "time")
PACKING = Packing(SCHEMA.columns, PER_REQUEST)


def log(*, requests: int, seed: int = 0) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Columns, those of `PER_REQUEST` with one row per request, and the sizes of the requests."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 9, requests).astype(np.int32)
    rows = int(sizes.sum())
    lengths, tags = (draw.integers(0, most, requests).astype(np.int32) for most in (6, 3))
    # Behaviours come in the order of their times, all before the request.
    order = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    columns = {
        "user": np.arange(requests) % 50,
        "tags": data.Ragged(draw.integers(0, 9, tags.sum()), tags),
        "seen": data.Ragged(draw.integers(0, 50, lengths.sum()), lengths),
        "at": data.Ragged(order, lengths),
        "time": np.arange(requests) + 100,
        "item": np.arange(rows) % 50,
        "click": (draw.random(rows) < 0.5).astype(np.float32),
        "weight": draw.uniform(0.5, 2, rows).astype(np.float32),
    }
    return columns, sizes


def as_rows(columns: dict[str, Any], sizes: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The same columns with one row per row."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return {**columns, **take_rows({name: columns[name] for name in PER_REQUEST}, owner)}


def write_both(directory: Path, *, requests: int, block_rows: int = 16) -> tuple[Path, Path]:
    """Two data sets of the same rows in the same order, in two files: `grouped` and `flat`."""
    columns, sizes = log(requests=requests)
    written = []
    for name, packing in (("grouped", PACKING), ("flat", Packing(SCHEMA.columns))):
        rows = as_rows(columns, sizes)
        if packing.per_request:
            blocks = encode_blocks(columns, packing=packing, block_rows=block_rows, sizes=sizes)
        else:
            blocks = encode_blocks(rows, packing=packing, block_rows=block_rows)
        shards = []
        # The first file ends within the log at the end of a block, the second one has the rest.
        for number, part in enumerate((blocks[: len(blocks) // 2], blocks[len(blocks) // 2 :])):
            file = directory / name / f"train-{number}.tfrecord"
            file.parent.mkdir(exist_ok=True, parents=True)
            file.write_bytes(framed(part))
            examples = sum(decoded_rows(block) for block in part)
            shards.append(data.Shard(file=file.name, examples=examples, size=file.stat().st_size))
        splits = (data.Split(name="train", shards=tuple(shards)),)
        data.write_schema(dataclasses.replace(SCHEMA, splits=splits), directory / name)
        written.append(directory / name)
    return written[0], written[1]


def decoded_rows(block: bytes) -> int:
    """How many rows a block has."""
    from fullrank.data.records.block_layout import decode_block

    return decode_block(block).rows
