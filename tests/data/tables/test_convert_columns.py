"""From table rows to columns: every type a table may have, every mistake a cell may hold."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullrank import data
from fullrank.data.records.example_layout import decode_examples
from fullrank.data.tables.row_columns import convert_rows, row_to_record, to_columns

SCHEMA = data.Schema(
    name="ads",
    features=(
        data.Sparse(name="item"),
        data.Sparse(name="country", dtype="bytes"),
        data.Sparse(name="tags", dtype="bytes", max_values=2, weights="tag_weights"),
        data.Numeric(name="price"),
        data.Sequence(
            name="history",
            behaviour=(data.BehaviourColumn(name="past_item", table="item", target="item"),),
            times="past_time",
            max_length=3,
        ),
        data.Vector(name="content", length=2),
        data.Bits(name="hash_id", length=6),
    ),
    labels=(data.Label(name="click"), data.Label(name="spend", type="value")),
    weight="importance",
    keys=(data.Key(name="user", dtype="bytes"),),
    time="time",
)
# Two good rows, as a CSV file holds them.
TEXT: dict[str, list[Any]] = {
    "item": ["7", None],
    "country": ["NA", ""],
    "tags": ["a|b", ""],
    "tag_weights": ["0.5|2", None],
    "price": ["1.5", "NA"],
    "past_item": ["1|2|3|4", ""],
    "past_time": ["10|20|30|40", ""],
    "content": ["0.25|-1", ""],
    "hash_id": ["010011", ""],
    "click": ["1", ""],
    "spend": ["-2.5", "nan"],
    "importance": ["1", "0"],
    "user": ["u1", ""],
    "time": ["2024-01-01 00:01:00", "60"],
}


def text_batch(**changes: list[Any]) -> pa.RecordBatch:
    """The good rows with some columns changed, each cell binary as the CSV reader gives it."""
    encoded = {
        name: [cell if cell is None or isinstance(cell, bytes) else cell.encode() for cell in cells]
        for name, cells in {**TEXT, **changes}.items()
    }
    return pa.RecordBatch.from_pydict({name: pa.array(cells, pa.binary()) for name, cells in encoded.items()})


def plain(columns: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns as lists; NaN as None, because it does not equal itself."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(item) for item in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return {
        name: clean(column.to_lists() if isinstance(column, data.Ragged) else column.tolist())
        for name, column in columns.items()
    }


GOOD: dict[str, list[Any]] = {
    "item": [7, -1],
    "country": [b"NA", b""],  # Namibia, not "not available"
    "tags": [[b"a", b"b"], []],
    "tag_weights": [[0.5, 2.0], []],
    "price": [1.5, None],
    "past_item": [[2, 3, 4], []],  # the last three
    "past_time": [[20, 30, 40], []],
    "content": [[0.25, -1.0], [None, None]],
    "hash_id": [[0, 1, 0, 0, 1, 1], [-1] * 6],
    "click": [1.0, None],
    "spend": [-2.5, None],
    "importance": [1.0, 0.0],
    "user": [b"u1", b""],
    "time": [1704067260, 60],  # 2024-01-01 is 19,723 days after 1970
}


def test_text_becomes_columns() -> None:
    columns = to_columns(text_batch(), SCHEMA)
    assert list(columns) == [column.name for column in SCHEMA.columns]
    assert plain(columns) == GOOD
    for column in SCHEMA.columns:
        found = columns[column.name]
        values = found.values if isinstance(found, data.Ragged) else found
        assert values.dtype == column.numpy_dtype, column.name


def test_typed_tables_become_the_same_columns() -> None:
    moment = datetime.datetime(2024, 1, 1, 0, 1)
    batch = pa.RecordBatch.from_pydict(
        {
            "item": pa.array([7, None], pa.int16()),
            "country": pa.array(["NA", None]).dictionary_encode(),
            "tags": pa.array([["a", "b"], None], pa.large_list(pa.large_string())),
            "tag_weights": pa.array([[0.5, 2], []], pa.list_(pa.float16())),
            "price": pa.array([1.5, math.nan]),
            "past_item": pa.array([[1, 2, 3, 4], None], pa.list_(pa.uint8())),
            "past_time": pa.array([[10, 20, 30, 40], None]),
            "content": pa.array([[0.25, -1], None], pa.list_(pa.float64(), 2)),
            "hash_id": pa.array([[0, 1, 0, 0, 1, 1], []]),
            "click": pa.array([True, None]),
            "spend": pa.array([-2.5, None], pa.float32()),
            "importance": pa.array([1, 0]),
            "user": pa.array([b"u1", b""], pa.binary()),
            "time": pa.array([moment, datetime.datetime(1970, 1, 1, 0, 1)], pa.timestamp("ns")),
            "unused": pa.array([{"a": 1}, None]),
        }
    )
    assert plain(to_columns(batch, SCHEMA)) == GOOD
    assert plain(to_columns(batch.slice(1), SCHEMA)) == {name: cells[1:] for name, cells in GOOD.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"item": ["1", "x7"]},
            "row 1 of the batch, counted from 0, column 'item': 'x7' is not a 64-bit whole number.",
        ),
        (
            {"item": ["1.5", "1"]},
            "row 0 of the batch, counted from 0, column 'item': '1.5' is not a 64-bit whole number.",
        ),
        (
            {"item": ["9223372036854775808", "1"]},
            "row 0 of the batch, counted from 0, column 'item': '9223372036854775808' is not a 64-bit whole number.",
        ),
        ({"price": ["1", "-inf"]}, "column 'price': '-inf' is not a finite float32 number."),
        ({"price": ["1e39", ""]}, "column 'price': '1e39' is not a finite float32 number."),
        ({"price": ["", "1,5"]}, "column 'price': '1,5' is not a number."),
        ({"price": ["", b"\xff"]}, "column 'price': '\\xFF' is not a number."),
        ({"click": ["0", "2"]}, "column 'click': '2' is not a label: use 0 or 1, or leave it empty if unobserved."),
        ({"click": ["0.5", ""]}, "column 'click': '0.5' is not a label: use 0 or 1, or leave it empty if unobserved."),
        ({"click": ["yes", ""]}, "column 'click': 'yes' is not a number."),
        ({"importance": ["-1", "1"]}, "column 'importance': '-1' is not a sample weight: use a number of at least 0."),
        ({"importance": ["1", None]}, "column 'importance': an empty cell is not a sample weight"),
        ({"content": ["1|2|3", ""]}, "column 'content': has 3 values where the schema says 2."),
        ({"content": ["1|", ""]}, "column 'content': has no value at position 1; give all 2 or none."),
        ({"hash_id": ["0100", ""]}, "column 'hash_id': '0100' is not 6 bits, as 0 and 1 or hexadecimal."),
        ({"hash_id": ["7f", ""]}, "column 'hash_id': '7f' is not 6 bits, as 0 and 1 or hexadecimal."),
        ({"hash_id": ["0|1|0|0|1|2", ""]}, "is not 6 bits, as 0 and 1 or hexadecimal."),
        ({"past_time": ["1|2|3", ""]}, "column 'past_time': has 3 values where column 'past_item' has 4."),
        ({"past_item": ["1|2|3|x", ""]}, "column 'past_item': 'x' is not a 64-bit whole number."),
        ({"tag_weights": ["1|2", "3"]}, "column 'tag_weights': has 1 values where column 'tags' has 0."),
        ({"time": ["yesterday", "1"]}, "column 'time': 'yesterday' is neither a number nor a time."),
        (
            {"price": ["", "x" * 100]},
            "column 'price': 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx... is not a number.",
        ),
    ],
)
def test_a_bad_cell_is_named(change: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is what is tested
        to_columns(text_batch(**change), SCHEMA)
    assert message in str(error.value)


def test_the_first_bad_cell_of_every_row_is_found() -> None:
    _, bad = convert_rows(text_batch(item=["1", "x"], price=["y", "z"]), SCHEMA)
    assert [(cell.row, cell.message.split("'")[1]) for cell in bad] == [(0, "price"), (1, "item")]


def test_a_column_that_cannot_hold_its_feature_is_named() -> None:
    batch = text_batch().drop_columns(["price"]).append_column("price", pa.array([[1.0], [2.0]]))
    with pytest.raises(ValueError, match=r"column 'price' holds lists \(DOUBLE\[\]\), but the schema declares"):
        to_columns(batch, SCHEMA)
    batch = text_batch().drop_columns(["past_item"]).append_column("past_item", pa.array([[[1]], [[2]]]))
    with pytest.raises(ValueError, match="column 'past_item' holds lists of lists"):
        to_columns(batch, SCHEMA)


def test_missing_columns_are_named_with_what_is_similar() -> None:
    batch = text_batch().drop_columns(["click", "item"]).append_column("Click", pa.array([1, 2]))
    with pytest.raises(
        ValueError, match=r"^The input has no column 'item', .*; 'click', did you mean 'Click'\? It has: c"
    ):
        to_columns(batch, SCHEMA)


@pytest.mark.parametrize(
    ("cell", "bits"),
    [
        ("010011", [0, 1, 0, 0, 1, 1]),
        ("0|1|0|0|1|1", [0, 1, 0, 0, 1, 1]),
        ("13", [0, 1, 0, 0, 1, 1]),  # 0x13 = 0b010011
        ("0x3F", [1, 1, 1, 1, 1, 1]),
        ("", [-1] * 6),
    ],
)
def test_bits_may_be_written_in_several_ways(cell: str, bits: list[int]) -> None:
    columns = to_columns(text_batch(hash_id=[cell, ""]), SCHEMA)
    assert columns["hash_id"][0].tolist() == bits


@pytest.mark.parametrize(
    ("cell", "unit", "expected"),
    [
        ("1700000000", "s", 1700000000),
        ("1700000000.9", "s", 1700000000),
        ("2024-01-01", "ms", 1704067200000),
        ("2024-01-01T00:00:00Z", "s", 1704067200),
        ("2024-01-01 02:00:00+02:00", "s", 1704067200),
        ("2024-01-01T00:00:00.250", "ms", 1704067200250),
        ("", "s", -1),
    ],
)
def test_times(cell: str, unit: Any, expected: int) -> None:
    schema = data.Schema(
        name="s", features=(data.Numeric(name="x"),), labels=(data.Label(name="y"),), time="t", time_unit=unit
    )
    alone = pa.RecordBatch.from_pydict({"x": ["1"], "y": ["1"], "t": [cell]})
    assert plain(to_columns(alone, schema))["t"] == [expected]
    # Beside another spelling, so that the cells are read one by one.
    mixed = pa.RecordBatch.from_pydict({"x": ["1"] * 3, "y": ["1"] * 3, "t": [cell, "1970-01-02 00:00Z", "86400"]})
    day = 86_400 * {"s": 1, "ms": 1000}[unit]
    assert plain(to_columns(mixed, schema))["t"] == [expected, day, 86_400]


def test_a_delimiter_of_ones_own() -> None:
    batch = text_batch(**{name: [cell and str(cell).replace("|", ";") for cell in TEXT[name]] for name in TEXT})
    assert plain(to_columns(batch, SCHEMA, list_delimiter=";")) == GOOD


IDS = st.integers(-(2**63), 2**63 - 1)
# Text that is not a whole number with blanks around it or .0 behind it, which has a canonical form of its own.
WORDS = st.binary(max_size=6).filter(lambda word: word != b"\\N" and not word.strip().rstrip(b".0").isdigit())
TAGS = st.text(max_size=6).map(str.encode).filter(lambda word: word and b"|" not in word and word[:1] != b"[")
NUMBERS = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.tuples(
        st.none() | IDS,
        WORDS,
        st.lists(TAGS.filter(lambda word: not word.strip().isdigit()), max_size=2),
        NUMBERS,
        st.lists(st.tuples(IDS, st.integers(0, 2**40)), max_size=3),
        st.none() | st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2),
        st.none() | st.tuples(*[st.integers(0, 1)] * 6),
        st.sampled_from([None, 0.0, 1.0]),
    ),
    min_size=1,
    max_size=8,
)


def spelled(value: float | int | None) -> str | None:
    return None if value is None else repr(float(np.float32(value))) if isinstance(value, float) else str(value)


@given(ROWS)
def test_what_is_spelled_as_text_is_read_back(rows: list[Any]) -> None:
    items, countries, tags, prices, histories, contents, hashes, clicks = zip(*rows, strict=True)
    count = len(rows)
    batch = text_batch(
        item=[spelled(item) for item in items],
        country=list(countries),
        tags=[b"|".join(row) for row in tags],
        tag_weights=["|".join("1.5" for _ in row) for row in tags],
        price=[spelled(price) for price in prices],
        past_item=["|".join(str(item) for item, _ in row) for row in histories],
        past_time=["|".join(str(time) for _, time in row) for row in histories],
        content=["|".join(str(spelled(part)) for part in row or ()) for row in contents],
        hash_id=["".join(map(str, row or ())) for row in hashes],
        click=[spelled(click) for click in clicks],
        spend=["1"] * count,
        importance=["1"] * count,
        user=["u"] * count,
        time=["1"] * count,
    )
    found = plain(to_columns(batch, SCHEMA))
    assert found["item"] == [-1 if item is None else item for item in items]
    assert found["country"] == list(countries)
    assert found["tags"] == [list(row) for row in tags]
    assert found["price"] == list(prices)
    assert found["past_item"] == [[item for item, _ in row] for row in histories]
    assert found["past_time"] == [[time for _, time in row] for row in histories]
    assert found["content"] == [[None, None] if row is None else list(row) for row in contents]
    assert found["hash_id"] == [[-1] * 6 if row is None else list(row) for row in hashes]
    assert found["click"] == list(clicks)


def test_one_row_becomes_the_record_that_the_layout_reads() -> None:
    row = {
        "item": 7,
        "country": "NA",
        "tags": ["a", "b"],
        "tag_weights": [0.5, 2.0],
        "price": 1.5,
        "past_item": [1, 2, 3, 4],
        "past_time": np.array([10, 20, 30, 40]),
        "content": np.array([0.25, -1], np.float32),
        "hash_id": "010011",
        "click": True,
        "spend": -2.5,
        "importance": 1,
        "user": b"u1",
        "time": datetime.datetime(2024, 1, 1, 0, 1),
        "unused": object(),
    }
    record = row_to_record(row, SCHEMA)
    first = {name: cells[:1] for name, cells in GOOD.items()}
    assert plain(dict(decode_examples([record], schema_columns=SCHEMA.columns))) == first
    with pytest.raises(ValueError, match="column 'item': 'x' is not a 64-bit whole number"):
        row_to_record({**row, "item": "x"}, SCHEMA)
    with pytest.raises(ValueError, match="has no column 'item'"):
        row_to_record({name: value for name, value in row.items() if name != "item"}, SCHEMA)
