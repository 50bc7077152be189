"""Counts, rates and last values of earlier rows: strictly before each row, alike for conversions and later rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullrank import data
from fullrank.data import convert, infer
from fullrank.data.files.find_files import find_files
from fullrank.data.files.scratch import temporary_directory
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.database import open_database
from fullrank.data.tables.history_rows import add_earlier_rows
from fullrank.data.tables.staged_rows import StagedRows
from fullrank.trainers.evaluation.table_input import TableBatches, TableReading, open_tables

PAST = (
    data.Past(name="seen", aggregate="count", by=("user",)),
    data.Past(name="rate", aggregate="mean", of="click", by=("user",)),
    data.Past(name="smooth", aggregate="mean", of="click", by=("user",), smoothing=5.0),
    data.Past(name="total", aggregate="sum", of="paid"),
    data.Past(name="place_rate", aggregate="mean", of="click", by=("place",)),
    data.Past(name="last_item", aggregate="last", of="item", by=("user", "place")),
)
SCHEMA = data.Schema(
    name="log",
    features=(
        data.Sparse(name="item", dtype="bytes"),
        data.Sparse(name="place"),
        *(data.Numeric(name=past.name) for past in PAST[:-1]),
        data.Sparse(name="last_item", dtype="bytes", table="item"),
    ),
    labels=(data.Label(name="click"),),
    keys=(data.Key(name="user", dtype="bytes"),),
    time="time",
    extras=("paid",),
    reading=data.Reading(past=PAST),
)


def filled(rows: dict[str, list[Any]], *, schema: data.Schema = SCHEMA, given: BadRows | None = None) -> pa.Table:
    """The columns that are taken from earlier rows."""
    with temporary_directory("past") as directory, open_database(directory, threads=2) as connection:
        staged = StagedRows(connection, schema=schema, bad_rows=given or BadRows(), optional=set(schema.filled))
        staged.add_batches("train", pa.table(rows).to_batches(max_chunksize=7))
        add_earlier_rows(staged)
        columns = [column for column in schema.columns if column.name in schema.filled]
        found = pa.Table.from_batches(list(staged.batches("TRUE", iter([10**9]), columns=columns)))
    return found.rename_columns([column.name for column in columns])


def test_by_hand() -> None:
    rows: dict[str, list[Any]] = {
        # In no order of time. The two rows of u at time 5 are ties: neither sees the other. A click that was not
        # observed counts as a row and not as a click; rows without a person or a time have no past and are of none.
        "user": ["u", "u", "u", "v", "u", None, "u"],
        "place": [1, 1, 2, 1, 1, 1, 1],
        "time": [9, 5, 5, 1, 3, 2, None],
        "item": ["a", "b", "c", "d", "e", "f", "g"],
        "click": [0, 1, 0, 1, None, 1, 1],
        "paid": [1.5, 2.0, None, 4.0, 8.0, 16.0, 32.0],
    }
    found = filled(rows)
    assert found["seen"].to_pylist() == [3, 1, 1, 0, 0, None, None]
    assert found["rate"].to_pylist() == [0.5, None, None, None, None, None, None]
    # All rows before 9 that were observed: v at 1, nobody at 2, u twice at 5, of which 3 of 4 clicked: (3+1)/(4+2).
    assert found["smooth"][0].as_py() == pytest.approx((1 + 5 * 4 / 6) / (2 + 5))
    # Before 5: v and nobody, both clicks: (2+1)/(2+2). Before 1 there is nothing: (0+1)/(0+2).
    assert found["smooth"].to_pylist()[1:5] == pytest.approx([0.75, 0.75, 0.5, (2 + 1) / (2 + 2)])
    assert found["total"].to_pylist() == [30.0, 28.0, 28.0, 0.0, 20.0, 4.0, None]
    assert found["last_item"].to_pylist() == [b"b", b"e", None, None, None, None, None]


ROWS = st.lists(
    st.tuples(
        *(st.integers(0, 2), st.integers(0, 1), st.integers(0, 5), st.sampled_from([0, 1, None])),
        st.sampled_from([None, 0.5, 3.0]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(rows=ROWS)
def test_equals_a_double_loop(rows: list[tuple[int, int, int, int | None, float | None]]) -> None:
    user, place, time, click, paid = map(list, zip(*rows, strict=True))
    item = [f"i{number}" for number in range(len(rows))]
    given = {"user": [f"u{k}" for k in user], "place": place, "time": time, "item": item, "click": click, "paid": paid}
    found = filled(given).to_pylist()
    for i in range(len(rows)):
        before = sorted((j for j in range(len(rows)) if time[j] < time[i]), key=lambda j: (time[j], j))
        own = [j for j in before if user[j] == user[i]]
        clicks = [click[j] for j in own if click[j] is not None]
        everyone = [click[j] for j in before if click[j] is not None]
        overall = (sum(everyone) + 1) / (len(everyone) + 2)
        there = [click[j] for j in before if place[j] == place[i] and click[j] is not None]
        same = [item[j].encode() for j in own if place[j] == place[i]]
        assert found[i] == {
            "seen": len(own),
            "rate": pytest.approx(sum(clicks) / len(clicks)) if clicks else None,
            "smooth": pytest.approx((sum(clicks) + 5 * overall) / (len(clicks) + 5)),
            "place_rate": pytest.approx(sum(there) / len(there)) if there else None,
            "total": sum(paid[j] or 0 for j in before),
            "last_item": same[-1] if same else None,
        }


def test_bad_rows_are_in_no_past() -> None:
    rows: dict[str, list[Any]] = {
        "user": ["u"] * 3,
        "place": [1] * 3,
        "time": [1, 2, 3],
        "item": ["a"] * 3,
        "paid": [1.0] * 3,
    }
    given = BadRows(on_bad_record="skip", max_fraction=0.5)
    assert filled({**rows, "click": [1, 7, 0]}, given=given)["seen"].to_pylist()[2] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": ("usr",)}, "'seen' cannot be taken from earlier rows: rows are grouped by 'usr', which is not a column "
         "of single ids. Did you mean 'user'?"),
        ({"by": ("paid",)}, "'paid', which is not a column of single ids. There are: item, place, user, time."),
        ({"aggregate": "mean", "of": "item"}, "mean takes 'item', which is not a column of single numbers. There are"),
        ({"aggregate": "sum", "of": "rate"}, "sum takes 'rate', which is not a column of single numbers"),
        ({"aggregate": "mean", "of": "paid", "smoothing": 1.0}, "only the mean of a binary label is smoothed, not"),
        ({"aggregate": "last", "of": "item"}, "the schema has no column 'seen' of single bytes values"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_schema_is_refused(change: dict[str, Any], message: str) -> None:
    past = (dataclasses.replace(PAST[0], **change), *PAST[1:])
    rows: dict[str, list[Any]] = {"user": ["u"], "place": [1], "time": [1], "item": ["a"], "click": [1], "paid": [1.0]}
    with pytest.raises(data.SchemaError) as error:
        filled(rows, schema=dataclasses.replace(SCHEMA, reading=data.Reading(past=past)))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregate": "count", "of": "click"}, "count takes no column"),
        ({"aggregate": "mean", "of": None}, "mean needs a column"),
        ({"aggregate": "sum", "of": "paid", "smoothing": 1.0}, "only a mean is smoothed, by a number of rows"),
        ({"smoothing": float("nan")}, "only a mean is smoothed, by a number of rows. Received: nan"),
    ],
)
def test_what_no_aggregate_takes_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PAST[0], **change)


def log_of(rows: int) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    return {
        "user_id": draw.integers(0, 9, rows),
        "item": [f"i{k}" for k in draw.integers(0, 40, rows)],
        "rating": draw.integers(1, 6, rows) / 2,
        "timestamp": 900_000_000 + draw.permutation(10_000)[:rows],
    }


ASKED = [
    "--label=click=rating>=1.5",
    "--past=user_rate=mean(click, 5) by user_id",
    "--past=user_rating=mean(rating) by user_id",
    "--past=last_item=last(item) by user_id",
]


def test_from_flags_to_records_and_rows_scored_later(tmp_path: Path) -> None:
    log = pa.table(log_of(500))
    pq.write_table(log, tmp_path / "log.parquet")
    source = f"--input={tmp_path}/log.parquet"
    infer.run(["infer", source, *ASKED, f"--output={tmp_path}/s.json"])
    schema = data.read_schema(tmp_path / "s.json")
    assert schema.extras == ("rating",)
    assert schema.features[-3:] == (
        data.Numeric(name="user_rate", side="user"),
        data.Numeric(name="user_rating", side="user"),
        data.Sparse(name="last_item", side="user", dtype="bytes", table="item"),
    )
    assert data.read_schema(data.write_schema(schema, tmp_path / "again.json")) == schema
    given = [f"--schema={tmp_path}/s.json", f"--output={tmp_path}/r", "--split_fractions=1", "--noprogress"]
    convert.run(["convert", source, *given])
    batch = {k: v.numpy() for k, v in next(iter(data.read_records(tmp_path / "r", batch_size=500))).items()}
    user, rating, time = (log[name].to_numpy() for name in ("user_id", "rating", "timestamp"))
    for i in range(500):
        mine = (user == user[i]) & (time < time[i])
        expected = rating[mine].mean() if mine.any() else np.nan
        np.testing.assert_array_equal(batch["user_rating"][i], np.float32(expected))

    # The last hundred rows as new ones, without what is known afterwards.
    order = np.argsort(time)
    pa_csv.write_csv(log.take(order[:400]), tmp_path / "old.csv")
    pa_csv.write_csv(log.take(order[400:]).drop_columns(["rating"]), tmp_path / "new.csv")
    written = data.read_schema(tmp_path / "r")
    read: dict[str, Any] = {
        **{"schema": written, "needed": [column.name for column in written.input_columns], "carried": ()},
        **{"reading": TableReading(), "bad_rows": BadRows(), "files": find_files(f"{tmp_path}/new.csv")},
    }
    with (
        temporary_directory("new") as directory,
        open_tables(log=find_files(f"{tmp_path}/old.csv"), directory=directory, **read) as tables,
    ):
        (new,) = TableBatches(tables.rows, batch_size=100)
    # Of the new rows, the first has all of its past in the log.
    for name in ("user_rate", "user_rating", "last_item"):
        np.testing.assert_array_equal(new[name][0].numpy(), batch[name][order[400]])
    # The log may hold the new rows, too: the same file is read once, equal rows of another file are reported.
    pa_csv.write_csv(log.take(order[400:]), tmp_path / "later.csv")
    read["files"] = find_files(f"{tmp_path}/later.csv")
    with (
        temporary_directory("once") as directory,
        open_tables(log=find_files(f"{tmp_path}/old.csv,{tmp_path}/later.csv"), directory=directory, **read) as tables,
    ):
        (once,) = TableBatches(tables.rows, batch_size=100)
    for name in ("user_rate", "user_rating", "last_item"):
        np.testing.assert_array_equal(once[name].numpy(), batch[name][order[400:]])
    assert tables.reports == ("Files of --log that are also in --input, whose rows are counted once: 1.",)
    pa_csv.write_csv(log.take(order), tmp_path / "all.csv")
    with (
        temporary_directory("twice") as directory,
        open_tables(log=find_files(f"{tmp_path}/all.csv"), directory=directory, **read) as tables,
    ):
        (said,) = tables.reports
    assert said.startswith(
        "100 rows of --input have the same click, item, rating, timestamp, user_id as a row of --log."
    )
    # A schema that takes nothing from earlier rows leaves a log aside.
    plain = data.Schema(
        name="s", features=(data.Sparse(name="item", dtype="bytes"),), labels=(data.Label(name="click"),)
    )
    with (
        temporary_directory("aside") as directory,
        open_tables(
            log=find_files(f"{tmp_path}/old.csv"),
            directory=directory,
            **{**read, "schema": plain, "needed": ["item"], "bad_rows": BadRows()},
        ) as tables,
    ):
        assert (tables.examples, tables.reports) == (100, ())
    read["files"] = find_files(f"{tmp_path}/new.csv")
    with (
        temporary_directory("lacks") as directory,
        pytest.raises(ValueError, match=r"--log: .*new\.csv lacks click, rating, which identifies earlier rows"),
        open_tables(log=find_files(f"{tmp_path}/new.csv"), directory=directory, **read),
    ):
        pass


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("rate", "it is written as user_rate=mean(click) by user_id, with count, sum, mean or last."),
        ("rate=median(click) by user_id", "it is written as user_rate=mean(click) by user_id, with count, sum"),
        (
            "rate=mean(click) by usr_id",
            "rows are grouped by 'usr_id', which is not a column of single ids. Did you mean",
        ),
        (
            "rate=mean(clik) by user_id",
            "mean takes 'clik', which is not a column of single numbers. Did you mean 'click'",
        ),
        ("rate=mean(click, 1.2.3)", "it is written as user_rate=mean(click) by user_id"),
        ("item=count() by user_id", "column 'item' already exists: choose another name."),
        ("rate=mean() by user_id", "mean needs a column."),
    ],
)
def test_wrong_flags_are_one_line(tmp_path: Path, flag: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv").write_text("user_id,item,time,click\n1,a,1700000000,0\n2,b,1700000001,1\n")
    with pytest.raises(SystemExit):
        infer.run(["infer", f"--input={tmp_path}/log.csv", "--label=click", f"--past={flag}"])
    error = capsys.readouterr().err
    assert error.startswith(f"error: --past={flag}: ")
    assert message in error
    assert error.count("\n") == 1
