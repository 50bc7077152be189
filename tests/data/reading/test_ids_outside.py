"""Ids outside the vocabularies, split by split, and labels that go with them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fullrank import data
from fullrank.data import inspect
from fullrank.data.reading.unknown_ids import UnknownIds, misleading, unknown_ids

OLD, RARE, NEW = 400, 200, 300


def rows(ids: list[Any], clicks: list[float]) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pydict({
        "ad": pa.array(ids, pa.string() if isinstance(ids[0], str) else pa.int64()),
        "tags": [[1, 2]] * len(ids),
        "click": pa.array(clicks, pa.float32()),
    })  # fmt: skip


def built(output: Path, *, name: Any, min_count: int, new_clicks: float) -> data.Schema:
    """Ten ads of 40 examples each, clicked in half of them; ads of one example, never clicked; and new ads later."""
    old = [name(k % 10) for k in range(OLD)]
    halves = [float(k // 10 % 2) for k in range(OLD)]
    train = old + [name(100 + k) for k in range(RARE)], halves + [0.0] * RARE
    later = old + [name(1000 + k) for k in range(NEW)], halves + [new_clicks] * (NEW - 1) + [math.nan]
    schema = data.Schema(
        name="ads",
        features=(
            data.Sparse(
                name="ad", dtype="bytes" if isinstance(name(0), str) else "int64", ids=data.IdMap(min_count=min_count)
            ),
            data.Sparse(name="tags", max_values=2),
        ),
        labels=(data.Label(name="click"),),
    )
    splits = {"train": lambda: rows(*train), "validation": lambda: rows(*later)}
    return data.build_records(splits=splits, schema=schema, output=output, progress=False)


@pytest.mark.parametrize("name", [lambda k: k, lambda k: f"a{k}"], ids=["int64", "bytes"])
def test_by_hand(tmp_path: Path, name: Any) -> None:
    schema = built(tmp_path / "r", name=name, min_count=2, new_clicks=1.0)
    train, later = unknown_ids(schema, splits=["train", "validation"])
    assert train == UnknownIds(feature="ad", split="train", share=200 / 600, observed=200, mean=0.0, variance=0.0)
    assert later == UnknownIds(feature="ad", split="validation", share=300 / 700, observed=299, mean=1.0, variance=0.0)
    assert misleading([train, later], train="train") == [(train, later)]


def test_nothing_is_said_if_the_means_agree_or_are_of_few_labels() -> None:
    def found(split: str, *, observed: int, mean: float) -> UnknownIds:
        return UnknownIds(
            feature="ad", split=split, share=0.5, observed=observed, mean=mean, variance=mean * (1 - mean)
        )

    # Standard error of the difference: sqrt(.25 / 200 + .24 / 200) = .0495.
    train = found("train", observed=200, mean=0.5)
    assert not misleading([train, found("test", observed=200, mean=0.4)], train="train")
    assert not misleading([train, found("test", observed=99, mean=1.0)], train="train")
    assert not misleading([found("train", observed=99, mean=0.5), found("test", observed=200, mean=0.0)], train="train")
    # Once per feature, for the first split that differs: .0479 x 4 < .3.
    worse = found("validation", observed=200, mean=0.2)
    assert misleading([train, worse, found("test", observed=200, mean=0.1)], train="train") == [(train, worse)]


def row_of_ad(out: str) -> list[str]:
    return out.split("unknown ids ")[1].split("\nad ")[1].split("\n")[0].split()


def test_inspect_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(directory: Path) -> str:
        inspect.run(["inspect", f"--data={directory}", "--validate", "--rows=0"])
        return capsys.readouterr().out

    built(tmp_path / "rare", name=int, min_count=2, new_clicks=1.0)
    out = shown(tmp_path / "rare")
    assert "unknown ids   train  mean of click  validation  mean of click" in out
    assert row_of_ad(out) == ["33.33%", "0", "42.86%", "1"]
    assert "ad: unknown ids go with a mean of click of 0 in train, but of 1 in validation" in out
    built(tmp_path / "all", name=int, min_count=1, new_clicks=1.0)
    out = shown(tmp_path / "all")
    assert row_of_ad(out) == ["0.00%", "42.86%", "1"]
    assert "unknown ids go with" not in out
    assert np.isclose(unknown_ids(data.read_schema(tmp_path / "all"), splits=["train"])[0].share, 0.0)
