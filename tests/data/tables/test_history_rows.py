"""Histories from the log itself: strictly before each row, alike for conversions and for rows scored later."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import convert, infer
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.database import open_database
from fullrank.data.tables.history_rows import add_earlier_rows
from fullrank.data.tables.staged_rows import StagedRows

HISTORY = data.History(
    key="user",
    lists=(data.Along(name="past_item", of="item"), data.Along(name="past_genre", of="genre")),
    times="past_time",
    where="click",
    length=3,
)
SCHEMA = data.Schema(
    name="log",
    features=(
        data.Sparse(name="item"),
        data.Sparse(name="genre", dtype="bytes"),
        data.Sequence(
            name="past",
            behaviour=(
                data.BehaviourColumn(name="past_item", table="item", target="item"),
                data.BehaviourColumn(name="past_genre", table="genre", target="genre"),
            ),
            times="past_time",
            max_length=3,
        ),
    ),
    labels=(data.Label(name="click"),),
    keys=(data.Key(name="user", dtype="bytes"),),
    time="time",
    reading=data.Reading(histories=(HISTORY,)),
)


def filled(
    directory: Path, rows: dict[str, list[Any]], *, schema: data.Schema = SCHEMA, bad_rows: BadRows | None = None
) -> list[tuple[Any, ...]]:
    """past_item, past_genre and past_time of every row."""
    with open_database(directory, threads=2) as connection:
        bad_rows = BadRows() if bad_rows is None else bad_rows
        staged = StagedRows(connection, schema=schema, bad_rows=bad_rows, optional=set(schema.filled))
        staged.add_batches("train", pa.table(rows).to_batches(max_chunksize=7))
        add_earlier_rows(staged)
        columns = [column for column in schema.columns if column.name.startswith("past_")]
        names = [column.name for column in schema.columns if column in columns]
        found = pa.Table.from_batches(list(staged.batches("TRUE", iter([10**9]), columns=columns)))
    assert names == ["past_item", "past_genre", "past_time"]
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def test_by_hand(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {
        # In no order of time. The two rows at time 5 are ties: neither remembers the other. The row without a click
        # at time 7 is remembered by nobody; another person's row is not either, nor is one without a person.
        "user": ["u", "u", "u", "u", "v", "u", None, "u"],
        "time": [9, 5, 5, 7, 1, 3, 2, 10],
        "item": [1, 2, 3, 4, 5, 6, 7, 8],
        "genre": ["a", "b", None, "d", "e", "f", "g", "h"],
        "click": [1, 1, 1, 0, 1, 1, 1, None],
    }
    found = filled(tmp_path, rows)
    three = ([6, 2, 3], [b"f", b"b", None], [3, 5, 5])
    assert found == [
        three,
        ([6], [b"f"], [3]),
        ([6], [b"f"], [3]),
        three,
        ([], [], []),
        ([], [], []),
        ([], [], []),
        ([2, 3, 1], [b"b", None, b"a"], [5, 5, 9]),  # the last three
    ]


def test_an_id_of_minus_one_is_missing(tmp_path: Path) -> None:
    keys = (data.Key(name="user"),)
    rows: dict[str, list[Any]] = {
        "user": [-1, -1, 7, 7],
        "time": [1, 2, 1, 2],
        "item": [1, 2, 3, 4],
        "genre": ["a", "b", "c", "d"],
        "click": [1, 1, 1, 1],
    }
    found = filled(tmp_path, rows, schema=dataclasses.replace(SCHEMA, keys=keys))
    assert found == [([], [], []), ([], [], []), ([], [], []), ([3], [b"c"], [1])]


def test_numbers_that_are_no_ids_make_rows_bad(tmp_path: Path) -> None:
    past = data.Sequence(
        name="past",
        behaviour=(
            data.BehaviourColumn(name="past_item", table="item", target="item"),
            data.BehaviourColumn(name="past_genre"),
        ),
        times="past_time",
        max_length=3,
    )
    lists = (data.Along(name="past_item", of="item"), data.Along(name="past_genre", of="rating"))
    schema = dataclasses.replace(
        SCHEMA,
        features=(data.Sparse(name="item"), past),
        extras=("rating",),
        reading=data.Reading(histories=(dataclasses.replace(HISTORY, lists=lists, length=9),)),
    )
    ratings = [4, 4.5, 1e30, 2**24, 2**24 + 2, None, 3]
    count = len(ratings)
    rows: dict[str, list[Any]] = {
        **{"user": ["u"] * count, "time": list(range(count)), "click": [1] * count},
        **{"item": list(range(count)), "rating": ratings},
    }
    with pytest.raises(ValueError, match=r"column 'rating': 4.5 is not a whole number up to 2\^24, as .* 'past_genre'"):
        filled(tmp_path, rows, schema=schema)
    bad_rows = BadRows(on_bad_record="skip", max_fraction=1)
    (tmp_path / "skip").mkdir()
    found = filled(tmp_path / "skip", rows, schema=schema, bad_rows=bad_rows)
    assert found[-1] == ([0, 3, 5], [4, 2**24, None], [0, 3, 5])
    assert [row for _, row, _ in bad_rows.rejects] == [2, 3, 5]


@pytest.mark.parametrize("where", ["click", None])
def test_against_a_double_loop(tmp_path: Path, where: str | None) -> None:
    draw = np.random.default_rng(0)
    n = 400
    rows = {
        "user": [f"u{k}" for k in draw.integers(0, 12, n)],
        "time": draw.integers(0, 60, n).tolist(),
        "item": draw.integers(0, 30, n).tolist(),
        "genre": [f"g{k}" for k in draw.integers(0, 4, n)],
        "click": draw.integers(0, 2, n).tolist(),
    }
    schema = dataclasses.replace(SCHEMA, reading=data.Reading(histories=(dataclasses.replace(HISTORY, where=where),)))
    found = filled(tmp_path, rows, schema=schema)
    for i in range(n):
        earlier = [
            j
            for j in range(n)
            if rows["user"][j] == rows["user"][i]
            and rows["time"][j] < rows["time"][i]
            and (where is None or rows["click"][j] == 1)
        ]
        last = sorted(earlier, key=lambda j: (rows["time"][j], j))[-3:]
        assert found[i][0] == [rows["item"][j] for j in last]
        assert found[i][2] == [rows["time"][j] for j in last]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "usr"}, "A history names 'usr', which is not a column of single values"),
        (
            {"lists": (data.Along(name="genre", of="item"),)},
            "A history fills 'genre', which is not a column of a seq",
        ),
        ({"lists": (data.Along(name="past_item", of="genre"),)}, "fills 'past_item' from 'genre', which is of another"),
        ({"where": "item"}, "keeps rows where 'item' is 1, which is not a label"),
    ],
)
def test_what_cannot_be_filled(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    reading = data.Reading(histories=(dataclasses.replace(HISTORY, **change),))
    rows: dict[str, list[Any]] = {"user": ["u"], "time": [1], "item": [1], "genre": ["a"], "click": [1]}
    if change.get("lists"):
        rows |= {"past_genre": [["a"]], "past_item": [[1]], "past_time": [[1]]}
    with pytest.raises(data.SchemaError, match=message):
        filled(tmp_path, rows, schema=dataclasses.replace(SCHEMA, reading=reading))


def test_from_a_flag_to_records(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    log = {
        "userId": draw.integers(0, 9, 500),
        "movieId": draw.integers(0, 40, 500),
        "rating": draw.integers(1, 6, 500),
        "timestamp": 900_000_000 + draw.permutation(10_000)[:500],
    }
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    asked = ["--label=click=rating>=4", "--history=userId:movieId", "--history_where=click", "--history_length=5"]
    source = f"--input={tmp_path}/log.parquet"
    infer.run(["infer", source, *asked, f"--output={tmp_path}/s.json"])
    schema = data.read_schema(tmp_path / "s.json")
    assert schema.features[-1] == data.Sequence(
        name="history",
        behaviour=(data.BehaviourColumn(name="history_movieId", table="movieId", target="movieId"),),
        times="history_time",
        max_length=5,
    )
    assert data.read_schema(data.write_schema(schema, tmp_path / "again.json")) == schema
    given = [source, f"--schema={tmp_path}/s.json", f"--output={tmp_path}/r", "--split_fractions=1", "--noprogress"]
    convert.run(["convert", *given])
    batch = {k: v.numpy() for k, v in next(iter(data.read_records(tmp_path / "r", batch_size=500))).items()}
    for i in range(500):
        earlier = (log["userId"] == log["userId"][i]) & (log["timestamp"] < log["timestamp"][i]) & (log["rating"] >= 4)
        order = np.flatnonzero(earlier)[np.argsort(log["timestamp"][earlier])][-5:]
        expected = log["movieId"][order].tolist()
        assert batch["history_movieId"][i].tolist() == expected + [-1] * (5 - len(expected))


def test_several_histories(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item,time,click\n1,a,1700000000,0\n2,b,1700000001,1\n")
    asked = ["--history=user_id:item", "--history_where=click", "--history_length=7"]
    asked += ["--history=seen=user_id:item", "--history_where=", "--history_length=9"]
    infer.run(["infer", f"--input={tmp_path}/log.csv", "--label=click", *asked, f"--output={tmp_path}/s.json"])
    reading = data.read_schema(tmp_path / "s.json").reading
    assert reading is not None
    assert [(h.names, h.where, h.length) for h in reading.histories] == [
        (("history_item", "history_time"), "click", 7),
        (("seen_item", "seen_time"), None, 9),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--history=user:item", "--history=user:item"],
            "--history=user:item adds 'history', which already exists: give it a name, as in "
            "--history=clicks=user:item.",
        ),
        (
            ["--history=user:item", "--history_length=2", "--history_length=3"],
            "--history_length is given once, or once for each of the 1 --history.",
        ),
        (
            ["--history=user"],
            "--history takes user_id:item_id, user_id:item_id,genre or user_id:item_id+rating. Received: 'user'.",
        ),
        (
            ["--history=user:itm"],
            "--history=user:itm: 'itm' is not a sparse feature with single ids. Did you mean 'item'?",
        ),
        (["--history=user:item", "--history_where=clik"], "--history_where=clik is not a label."),
        (["--history_where=click"], "--history_where and --history_length have no effect without --history."),
    ],
)
def test_wrong_flags_are_one_line(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text("user,item,time,click\n1,a,1700000000,0\n2,b,1700000001,1\n")
    with pytest.raises(SystemExit):
        infer.run(["infer", f"--input={tmp_path}/log.csv", "--label=click", *arguments])
    captured = capsys.readouterr()
    assert captured.err == f"error: {message}\n"
