"""Extras: float columns of the records that training may ask for and no model reads as an input."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from fullrank import data
from fullrank.data import convert, inspect
from fullrank.data.schema.json import schema_to_json
from fullrank.data.schema.schema import SchemaError
from fullrank.data.schema.value_rules import value_rules, violations
from fullrank.models import Ranker, single


def _schema(*extras: str, **changes: Any) -> data.Schema:
    return dataclasses.replace(
        data.Schema(
            name="small",
            features=(data.Sparse(name="user", ids=data.IdMap(kind="identity", size=9)), data.Numeric(name="age")),
            labels=(data.Label(name="click"),),
            weight="weight",
            keys=(data.Key(name="user"),),
            time="at",
            extras=extras,
        ),
        **changes,
    )


def _ran(command: Callable[[list[str]], None], line: str) -> Any:
    try:
        command(line.split())
    except SystemExit as end:
        return end.code or 0
    return 0


def test_they_are_columns_of_records_and_not_inputs() -> None:
    schema = _schema("teacher", "count")
    assert [column.name for column in schema.columns][-2:] == ["teacher", "count"]
    assert {(column.dtype, column.form) for column in schema.columns[-2:]} == {("float32", "one")}
    assert not {"teacher", "count"} & {column.name for column in schema.input_columns}


def test_schema_json_lists_their_names(tmp_path: Path) -> None:
    file = data.write_schema(_schema("teacher", "count"), tmp_path)
    assert json.loads(file.read_text())["extras"] == ["teacher", "count"]
    assert data.read_schema(tmp_path) == _schema("teacher", "count")


def test_a_file_without_them_is_read_and_written_as_before(tmp_path: Path) -> None:
    file = data.write_schema(_schema(), tmp_path)
    assert "extras" not in file.read_text()
    assert data.read_schema(tmp_path).extras == ()


@pytest.mark.parametrize(
    ("extras", "problem"),
    [
        (("age",), "extra 'age' is another column already"),
        (("click",), "extra 'click' is another column already"),
        (("weight",), "extra 'weight' is another column already"),
        (("at",), "extra 'at' is another column already"),
        (("one", "one"), "extra 'one' is given twice"),
        (("",), "extra '' has no name"),
    ],
)
def test_an_extra_is_a_column_of_its_own(extras: tuple[str, ...], problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        _schema(*extras)


def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps({**schema_to_json(_schema()), "extras": [1]}))
    with pytest.raises(SchemaError, match=r"extras\[0\]: expected text"):
        data.read_schema(tmp_path)


@pytest.mark.parametrize("layout", ["block", "example"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_convert_keeps_them_and_a_missing_one_is_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str, ending: str
) -> None:
    text = "user,age,click,weight,at,teacher\n"
    text += "".join(f"{row % 9},{row},{row % 2},1,{row},{'' if row % 3 else row / 100}\n" for row in range(50))
    table = tmp_path / f"log.{ending}"
    if ending == "csv":
        table.write_text(text)
    else:
        pq.write_table(pa_csv.read_csv(io.BytesIO(text.encode())), table)
    data.write_schema(_schema("teacher"), tmp_path)
    output = tmp_path / "records"
    schema = tmp_path / "schema.json"
    command = f"convert --input={table} --schema={schema} --output={output} --layout={layout} --noprogress"
    assert _ran(convert.run, command) == 0
    expected = np.array([np.nan if row % 3 else row / 100 for row in range(40)], np.float32)
    batches = list(data.read_records(output, split="train", batch_size=16))
    np.testing.assert_array_equal(np.concatenate([batch["teacher"].numpy() for batch in batches]), expected)
    capsys.readouterr()
    assert _ran(inspect.run, f"inspect --data={output} --rows=2 --validate") == 0
    shown = capsys.readouterr().out
    assert "extras: teacher\n" in shown
    assert "Nothing is wrong" in shown


@pytest.mark.parametrize("value", ["inf", "-inf", "1e99", "many"])
def test_convert_rejects_values_that_are_not_finite_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    (tmp_path / "log.csv").write_text(f"user,age,click,weight,at,teacher\n1,1,1,1,1,.5\n2,2,0,1,2,{value}\n")
    data.write_schema(_schema("teacher"), tmp_path)
    given = f"--input={tmp_path / 'log.csv'} --schema={tmp_path / 'schema.json'} --split_fractions=1 --noprogress"
    assert _ran(convert.run, f"convert {given} --output={tmp_path / 'records'}") == 1
    assert "row 2, column 'teacher'" in capsys.readouterr().err


def test_records_are_checked_by_the_rule_of_numbers() -> None:
    rules = value_rules(_schema("teacher"))
    assert rules["teacher"] == "number"
    found = list(violations({"teacher": np.array([0.5, np.nan, np.inf], np.float32)}, {"teacher": rules["teacher"]}))
    assert [(entry.row, entry.reason) for entry in found] == [(2, "a number must be finite")]


def test_a_model_reads_a_batch_with_them_as_without(
    every_kind: tuple[data.Schema, Any], make_batch: Callable[..., dict[str, Any]]
) -> None:
    schema, vocabularies = every_kind
    more = dataclasses.replace(schema, extras=("teacher",))
    model = Ranker(more, single(width=4, experts=("flat",)), vocabularies=vocabularies)
    assert "teacher" not in model.example_batch()
    plain = make_batch(size=8)
    batch = {**plain, "teacher": tf.fill([8], float("nan"))}
    assert model.compute_loss(batch).numpy() == model.compute_loss(plain).numpy()
    features, _, _ = data.split_batch(more, labels=["click"])(batch)
    assert features.keys() == {column.name for column in schema.input_columns}
