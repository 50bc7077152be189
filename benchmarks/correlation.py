"""Time and memory of feature correlation over many examples, with the map of a sequence with times.

Records of 6 ids of up to 100,000 values, 4 numbers, and sequences of up to 20 behaviours (9 on average) with times: ten
million of them by FULLRANK_CORRELATION_ROWS=10000000, 500,000 without it. They are read once for frequent values and
once for the counts, in a process of its own, whose largest resident size is the memory, TensorFlow included. The bounds
are those of ten million. For reference, and for information, reading the same columns without counting anything.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import report
from fullrank import data
from fullrank.analysis.information.correlate import correlate
from fullrank.analysis.information.request import Request

IDS, NUMBERS, LENGTH, CATEGORIES = 6, 4, 20, 100
PART = 100_000
FIGURES = (("correlate", "s", 600.0), ("memory", "GB", 2.0), ("reading alone", "s", None))
"""Figure, unit and bound."""


def schema_of() -> data.Schema:
    quantiles = tuple(np.linspace(0, 1, 65).tolist())
    numbers = data.NumericStatistics(mean=0.5, std=0.3, minimum=0, maximum=1, missing=0, quantiles=quantiles)
    features: list[data.Feature] = [
        data.Sparse(name="category", side="ad", ids=data.IdMap(kind="identity", size=CATEGORIES))
    ]
    features += [
        data.Sparse(name=f"id_{k}", ids=data.IdMap(kind="identity", size=10 ** min(k + 1, 5))) for k in range(1, IDS)
    ]
    features += [data.Numeric(name=f"number_{k}", statistics=numbers) for k in range(NUMBERS)]
    features.append(
        data.Sequence(
            name="history",
            behaviour=(data.BehaviourColumn(name="past", table="category", target="category"),),
            times="then",
            max_length=LENGTH,
        )
    )
    return data.Schema(name="bench", features=tuple(features), labels=(data.Label(name="click"),), time="now")


def columns_of(rows: int, seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, LENGTH, rows).astype(np.int32)
    columns: dict[str, Any] = {f"id_{k}": draw.zipf(1.3, rows) % 10 ** min(k + 1, 5) for k in range(1, IDS)}
    columns |= {f"number_{k}": draw.random(rows, dtype=np.float32) for k in range(NUMBERS)}
    columns["category"] = draw.zipf(1.2, rows) % CATEGORIES
    columns["past"] = data.Ragged(draw.zipf(1.2, lengths.sum()) % CATEGORIES, lengths)
    columns["now"] = np.full(rows, 10**9)
    columns["then"] = data.Ragged(10**9 - draw.integers(0, 10**6, lengths.sum()), lengths)
    columns["click"] = (draw.random(rows) < 0.1).astype(np.float32)
    return columns


def written(directory: Path, rows: int) -> data.Schema:
    """Writes the records in shards of `PART` rows."""
    schema, shards = schema_of(), -(-rows // PART)
    directory.mkdir()
    parts = []
    for shard in range(shards):
        with data.RecordWriter(directory, schema=schema, split="train", shard=shard, shards=shards) as writer:
            writer.write(columns_of(min(PART, rows - shard * PART), shard))
        parts.append(writer.shard)
    data.write_schema(
        data.Schema(
            name=schema.name,
            features=schema.features,
            labels=schema.labels,
            time=schema.time,
            splits=(data.Split(name="train", shards=tuple(parts)),),
        ),
        directory,
    )
    return data.read_schema(directory)


def measured(rows: int) -> dict[str, float]:
    """The figures for one size."""
    with tempfile.TemporaryDirectory() as scratch:
        schema = written(Path(scratch) / "records", rows)
        start = time.perf_counter()
        for _ in data.read_records(schema, batch_size=16384):
            pass
        figures = {"reading alone": time.perf_counter() - start}
        start = time.perf_counter()
        found = correlate(schema, Request())
        figures["correlate"] = time.perf_counter() - start
    figures["memory"] = report.peak_memory() / 1e9
    figures["examples"] = found.examples
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measured(int(sys.argv[2]))))
        return
    options = report.arguments("Time and memory of feature correlation over records.")
    count = 50_000 if options.quick else int(os.environ.get("FULLRANK_CORRELATION_ROWS", "500000"))
    found = report.in_child(__file__, count)
    report.emit(report.bounded(found, FIGURES, size=f"{count:,} examples"), options.json)


if __name__ == "__main__":
    main()
