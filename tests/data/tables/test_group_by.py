"""`fullrank convert --group_by`: logs of requests, whose user is stored once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from request_log import PER_REQUEST, SCHEMA, as_rows, log

from fullrank import data
from fullrank.data import convert, inspect
from fullrank.data.records.shard_files import check_split


def table(**changes: Any) -> pa.Table:
    """The rows of 40 requests in no order; the column `request` names them."""
    columns, sizes = log(requests=40)
    rows = as_rows(columns, sizes)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    lists = {name: v.to_lists() if isinstance(v, data.Ragged) else v for name, v in rows.items()}
    whole = pa.table({**lists, "request": [f"r{each}" for each in owner], "row": np.arange(len(owner)), **changes})
    return whole.take(np.random.default_rng(1).permutation(len(owner)))


def converted(directory: Path, name: str, *flags: str, rows: pa.Table, schema: data.Schema = SCHEMA) -> data.Schema:
    directory.mkdir(exist_ok=True)
    pq.write_table(rows, directory / "log.parquet")
    data.write_schema(schema, directory / "schema.json")
    given = [f"--input={directory}/log.parquet", f"--schema={directory}/schema.json", f"--output={directory}/{name}"]
    convert.run(["convert", *given, "--noprogress", *flags])
    return data.read_schema(directory / name)


def of_split(schema: data.Schema, split: str) -> dict[str, Any]:
    batches = list(data.read_records(schema, split=split, batch_size=32).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize("split", ["time", "random"])
def test_requests_are_stored_once_and_not_divided_between_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    rows = table()
    schema = converted(tmp_path, "grouped", "--group_by=request", f"--split={split}", "--shards=2", rows=rows)
    said = capsys.readouterr().out
    assert f"Grouped {rows.num_rows} rows by request: 40 requests" in said
    packing = check_split(schema, split="train")
    assert packing is not None
    assert packing.per_request == tuple(c.name for c in SCHEMA.columns if c.name in PER_REQUEST)
    found = {name: of_split(schema, name) for name in ("train", "validation", "test")}
    requests = [set(each["time"].tolist()) for each in found.values()]
    assert sum(map(len, requests)) == len(set.union(*requests)) == 40
    whole = {name: np.concatenate([each[name] for each in found.values()]) for name in found["train"]}
    expected = of_split(converted(tmp_path, "flat", "--split=random", "--split_fractions=1", rows=rows), "train")
    one, other = (np.lexsort((each["item"], each["time"])) for each in (whole, expected))
    for name, values in whole.items():
        np.testing.assert_array_equal(values[one], expected[name][other])
    if split == "time":
        assert found["train"]["time"].max() < found["validation"]["time"].min()


def test_rows_that_differ_in_a_column_of_the_user_are_kept_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pa.table(
        {
            "user": [1, 1, 1, 2],
            "tags": [[], [], [], []],
            "item": [1, 2, 3, 4],
            "seen": [[5], [5], [6], []],
            "at": [[1], [1], [1], []],
            "click": [0, 1, 0, 1],
            "weight": [1.0, 1.0, 1.0, 1.0],
            "time": [9, 9, 9, 10],
            "request": ["a", "a", "a", None],
        }
    )
    how = ("--group_by=request", "--split=random", "--split_fractions=1")
    found = of_split(converted(tmp_path, "grouped", *how, rows=rows), "train")
    assert "4 rows by request: 3 requests of 1.3 rows on average. 1 of them are there" in capsys.readouterr().out
    assert found["seen"][:, 0].tolist() == [5, 5, 6, -1]


def test_requests_are_told_apart_as_the_schema_reads_their_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 07 and 7 are one user. Rows without a user, or with the marked request, are requests of their own.
    users = ["07", "7", "NA", "NA", "-1", "-1", "8", "8"]
    rows = pa.table(
        {
            "user": users,
            **{name: [[]] * 8 for name in ("tags", "seen", "at")},
            "item": list(range(8)),
            "click": [0, 1] * 4,
            "weight": [1.0] * 8,
            "time": [9] * 8,
            "request": ["a"] * 6 + ["none"] * 2,
        }
    )
    how = ("--missing=none", "--split=random", "--split_fractions=1")
    converted(tmp_path, "by_user", "--group_by=user,time", *how, rows=rows)
    assert "8 rows by request: 6 requests" in capsys.readouterr().out
    converted(tmp_path, "by_request", "--group_by=request,user", *how, rows=rows)
    assert "8 rows by request: 7 requests" in capsys.readouterr().out


def test_inspect_says_what_is_held_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = converted(tmp_path, "grouped", "--group_by=user,time", rows=table())
    inspect.run(["inspect", f"--data={schema.directory}", "--validate"])
    said = capsys.readouterr().out
    assert "held once per request: user, tags, seen, at, time" in said
    assert "Nothing is wrong" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--group_by=request", "--layout=example"), "--group_by needs the block layout"),
        (
            ("--group_by=request,tags",),
            "/log.parquet, column 'tags' holds BIGINT[], but rows are told apart by single values",
        ),
        (("--group_by=session",), "has no column 'session', which --group_by names"),
    ],
)
def test_what_cannot_be_grouped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit):
        converted(tmp_path, "grouped", *flags, rows=table())
    assert message in capsys.readouterr().err


def test_a_schema_without_sides_cannot_be_grouped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_side = dataclasses.replace(
        SCHEMA, features=tuple(dataclasses.replace(feature, side="user") for feature in SCHEMA.features)
    )
    with pytest.raises(SystemExit):
        converted(tmp_path, "grouped", "--group_by=request", rows=table(), schema=one_side)
    assert 'no feature of schema \'requests\' has "side": "ad"' in capsys.readouterr().err
