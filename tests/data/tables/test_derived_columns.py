"""Labels and columns by expression: what is computed, what is refused, and that all ways to rows agree."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import convert, infer
from fullrank.data.tables.derived_columns import columns_in

REFUSED = {
    "max(x)": "max reads other rows",
    "row_number() OVER ()": "it reads other rows",
    "(SELECT 1)": "it reads another table",
    "x IN (FROM read_csv('/etc/passwd'))": "it reads another table",
    "read_text('/etc/passwd')": "read_text is not known",
    "getenv('HOME')": "getenv is not known",
    "random()": "random does not return the same value for the same row every time",
    "now()": "now does not return the same value for the same row every time",
    "x) , (y": "it is more than one expression",
    "1); DROP TABLE staged; SELECT (1": "Only SELECT statements|more than one",
    "*": "it names no column",
    "nosuch(x)": "nosuch is not known",
    "x +": "syntax error",
}


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("rating >= 4", ("rating",)),
        ("CASE WHEN a THEN b ELSE \"odd name\" || '_' END", ("a", "b", "odd name")),
        ("list_transform(l, lambda q: q + r)", ("l", "r")),
        ("CAST(ln(1 + price) AS INTEGER) BETWEEN 1 AND 2 OR NOT c IS NULL", ("price", "c")),
        ("1", ()),
    ],
)
def test_the_columns_that_an_expression_names(expression: str, columns: tuple[str, ...]) -> None:
    assert columns_in(expression, name="z") == columns


@pytest.mark.parametrize("expression", list(REFUSED))
def test_expressions_other_than_of_one_row_are_rejected(expression: str) -> None:
    with pytest.raises(data.SchemaError, match=rf"^Column 'z' = .* cannot be computed: .*({REFUSED[expression]})"):
        columns_in(expression, name="z")


def schema_of(*columns: data.Derived, features: tuple[Any, ...], **given: Any) -> data.Schema:
    return data.Schema(
        name="log",
        features=features,
        labels=(data.Label(name="click"),),
        reading=data.Reading(columns=columns),
        **given,
    )


def derived(name: str, expression: str, **inputs: Any) -> data.Derived:
    return data.Derived(
        name=name, expression=expression, inputs=tuple(data.Input(name=n, kind=kind) for n, kind in inputs.items())
    )


SCHEMA = schema_of(
    derived("click", "rating >= 4", rating="number"),
    derived("hour", 'hour("at")', at="time_s"),
    derived("price", "ln(1 + price)", price="number"),  # has the name of what it is computed from
    derived("cross", "user || '_' || hour", user="text"),  # names another one
    features=(
        data.Sparse(name="hour"),
        data.Numeric(name="price"),
        data.Sparse(name="cross", dtype="bytes"),
    ),
    time="at",
)
TEXT = {
    "rating": ["4", "3.9", ""],
    "at": ["7200", "1970-01-01 03:30", "60"],
    "price": ["0", "1", ""],
    "user": ["7.0", "x", "y"],
}


def check(found: dict[str, Any]) -> None:
    assert found["click"][:2].tolist() == [1.0, 0.0]
    assert math.isnan(found["click"][2])  # an unknown rating is not a label
    assert found["hour"].tolist() == [2, 3, 0]
    np.testing.assert_allclose(found["price"], [0.0, math.log(2), math.nan])
    assert found["cross"].tolist() == [b"7_2", b"x_3", b"y_0"]
    assert found["at"].tolist() == [7200, 12600, 60]


def test_values_by_hand() -> None:
    check(data.to_columns(pa.RecordBatch.from_pydict(TEXT), SCHEMA))
    typed = {"rating": [4, 3.9, None], "at": [7200, 12600, 60], "price": [0.0, 1.0, None], "user": ["7", "x", "y"]}
    check(data.to_columns(pa.RecordBatch.from_pydict(typed), SCHEMA))


@pytest.mark.parametrize(
    "gaps",
    [
        pa.array([[10, 0], [], None, [7, None]]),
        pa.array(["10|0", "", None, "7|"]),
        pa.array([["10", "0.0"], [], [], ["7", ""]]),
    ],
)
def test_lists_in_an_expression(gaps: pa.Array) -> None:
    """Gaps in seconds become times; a list may be an array of numbers, of texts, or a text."""
    schema = schema_of(
        derived("click", "len(gaps) > 1", gaps="integers"),
        derived("times", "list_transform(gaps, lambda gap: time - gap)", gaps="integers", time="integer"),
        derived("doubled", "list_transform(gaps, lambda gap: 2 * gap)", gaps="numbers"),
        derived("names", "list_transform(gaps, lambda gap: 'n' || gap)", gaps="texts"),
        features=(
            data.Sparse(name="times", max_values=2),
            data.Sparse(name="names", max_values=2, dtype="bytes"),
            data.Vector(name="doubled", length=2),
        ),
    )
    rows = pa.RecordBatch.from_pydict({"gaps": gaps, "time": [100, 100, 100, 100]})
    found: dict[str, Any] = data.to_columns(rows.slice(0, 3), schema)
    assert found["click"].tolist() == [1.0, 0.0, 0.0]
    values, lengths = found["times"]
    assert (values.tolist(), lengths.tolist()) == ([90, 100], [2, 0, 0])
    names, _ = found["names"]
    assert names.tolist()[0] == b"n10"
    np.testing.assert_array_equal(found["doubled"][0], [20.0, 0.0])


def test_a_list_that_an_expression_cannot_read() -> None:
    schema = schema_of(derived("click", "len(gaps) > 1", gaps="integers"), features=(data.Sparse(name="item"),))
    rows = pa.RecordBatch.from_pydict({"item": [1, 2], "gaps": ["1|2", "1|2.5"]})
    with pytest.raises(ValueError, match=r"row 1 of the batch, .*column 'gaps': '2\.5' is not a 64-bit whole number"):
        data.to_columns(rows, schema)
    cell = schema_of(derived("click", "gaps > 1", gaps="integer"), features=(data.Sparse(name="item"),))
    rows = pa.RecordBatch.from_pydict({"item": [1], "gaps": [[1, 2]]})
    with pytest.raises(data.SchemaError, match=r"Column 'click' = 'gaps > 1' cannot be computed: column 'gaps' holds "):
        data.to_columns(rows, cell)


def test_infer_and_convert_compute_with_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(1)
    gaps = [draw.integers(1, 9, size=draw.integers(0, 4)).tolist() for _ in range(90)]
    items = [[int(item) for item in draw.integers(1, 9, size=len(each))] for each in gaps]
    time = [1_700_000_000_000 + 1000 * row for row in range(90)]
    label = draw.integers(0, 2, size=90).tolist()
    pq.write_table(
        pa.table({"click": label, "item": [1, 2, 3] * 30, "items": items, "gap": gaps, "time": time}), "log.parquet"
    )
    column = "--column=item_times=list_transform(gap, lambda g: time - to_seconds(g))"
    infer.run(["infer", "--input=log.parquet", "--label=click", column, "--ignore=gap", "--output=schema.json"])
    schema = data.read_schema(tmp_path / "schema.json")
    assert schema.reading is not None
    assert {each.name: each.kind for each in schema.reading.columns[0].inputs}["gap"] == "integers"
    convert.run(["convert", "--input=log.parquet", "--schema=schema.json", "--output=records", "--noprogress"])
    written = data.read_schema(tmp_path / "records")
    assert [split.examples for split in written.splits] == [72, 9, 9]


def test_a_cell_that_an_expression_cannot_read_makes_a_bad_row() -> None:
    with pytest.raises(ValueError, match=r"row 1 of the batch, .*column 'rating': 'good' is not a number\."):
        data.to_columns(pa.RecordBatch.from_pydict({**TEXT, "rating": ["1", "good", "2"]}), SCHEMA)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (
            {"day": "n/a", "at": "3600"},
            r"'click': cannot be computed from this row by day\(strptime\(day, '%d/%m/%Y'\)\)",
        ),
        (
            {"day": "01/02/2024", "at": "1700000000000000"},
            r"'hour': cannot be computed from this row by hour\(\"at\"\)",
        ),
    ],
    ids=["text", "microseconds"],
)
def test_a_row_on_which_an_expression_fails_is_a_bad_row(cells: dict[str, str], reason: str) -> None:
    schema = schema_of(
        derived("click", "day(strptime(day, '%d/%m/%Y')) % 2", day="text"),
        derived("hour", 'hour("at")', at="time_s"),
        features=(data.Sparse(name="hour"),),
    )
    good = {"day": ["01/02/2024", "02/02/2024", ""], "at": ["3600", "", "7200"]}
    found = data.to_columns(pa.RecordBatch.from_pydict(good), schema)
    np.testing.assert_array_equal(found["click"], [1, 0, np.nan])
    np.testing.assert_array_equal(found["hour"], [1, -1, 2])
    with pytest.raises(ValueError, match=rf"row 3 of the batch, .*column {reason}"):
        data.to_columns(pa.RecordBatch.from_pydict({n: [*good[n], cells[n]] for n in good}), schema)


def test_a_column_that_is_not_there() -> None:
    rows = pa.RecordBatch.from_pydict({name: cells for name, cells in TEXT.items() if name != "rating"})
    with pytest.raises(data.SchemaError, match=r"Column 'click' = 'rating >= 4' cannot be .*: there is no column"):
        data.to_columns(rows, SCHEMA)


def test_types_that_do_not_fit() -> None:
    schema = schema_of(derived("click", "hour(user)", user="text"), features=(data.Sparse(name="user", dtype="bytes"),))
    with pytest.raises(data.SchemaError, match=r"Column 'click' = 'hour\(user\)' cannot be computed: "):
        data.to_columns(pa.RecordBatch.from_pydict({"user": ["a"]}), schema)


def test_reading_survives_the_file(tmp_path: Path) -> None:
    assert data.read_schema(data.write_schema(SCHEMA, tmp_path)) == SCHEMA
    with pytest.raises(ValueError, match=r"derived columns must have different names\. Received: 'a', 'a'"):
        data.Reading(columns=(derived("a", "1"), derived("a", "2")))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_from_flags_to_records(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(0)
    ratings, users = draw.integers(1, 6, 400), draw.integers(0, 9, 400)
    times = 900_000_000 + draw.integers(0, 10**6, 400)
    if kind == "csv":
        lines = [f"{u},{r},{t}" for u, r, t in zip(users, ratings, times, strict=True)]
        (tmp_path / "log.csv").write_text("\n".join(["userId,rating,timestamp", *lines]) + "\n")
    else:
        pq.write_table(pa.table({"userId": users, "rating": ratings, "timestamp": times}), tmp_path / "log.parquet")
    source = f"--input={tmp_path}/log.{kind}"
    asked = ["--label=click=rating>=4", "--column=hour=hour(timestamp)"]
    infer.run(["infer", source, *asked, f"--output={tmp_path}/s.json"])
    out = capsys.readouterr().out
    assert "'click' is computed from it: an input only by --numeric or --sparse" in out
    schema = data.read_schema(tmp_path / "s.json")
    assert [feature.name for feature in schema.features] == ["userId", "hour"]
    arguments = [source, f"--schema={tmp_path}/s.json", f"--output={tmp_path}/r", "--split_fractions=1", "--noprogress"]
    convert.run(["convert", *arguments])
    batch = next(iter(data.read_records(tmp_path / "r", batch_size=400)))
    np.testing.assert_array_equal(batch["click"].numpy(), (ratings >= 4).astype(np.float32))
    np.testing.assert_array_equal(batch["hour"].numpy(), times // 3600 % 24)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--label=click", "--column=hour"],
            "--column takes name=expression, as in 'hour=hour(time)'. Received: 'hour'.",
        ),
        (["--label=click=max(x)"], "Column 'click' = 'max(x)' cannot be computed: max reads other rows."),
        (["--label=click=X>1"], "Column 'click' = 'X>1' cannot be computed: there is no column 'X'; did you mean 'x'?"),
        (
            ["--label=a=hour>1"],
            "Column 'a' = 'hour>1' cannot be computed: there is no column 'hour'; "
            "did you mean 'hour-id', which is written as \"hour-id\"?",
        ),
        (["--label=a=x>1", "--column=a=x>2"], "--label=a=x>1: there is another expression for 'a'."),
    ],
)
def test_wrong_expressions_are_one_line(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text("x,click,hour-id\n1,0,3\n2,1,4\n")
    with pytest.raises(SystemExit):
        infer.run(["infer", f"--input={tmp_path}/log.csv", *arguments])
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert captured.err.count("\n") == 1
