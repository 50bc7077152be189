"""Scoring rows of tables, without labels and without records."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from ran_commands import run

from fullrank.data import convert as convert_command
from fullrank.data import read_records, read_schema
from fullrank.data.schema.json import write_schema
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.bad_rows import BadRows
from fullrank.trainers import evaluate as evaluate_command
from fullrank.trainers import predict as predict_command
from fullrank.trainers.evaluation.configs import EvaluateConfig, ExportConfig, PredictConfig
from fullrank.trainers.evaluation.evaluate_run import evaluate_run
from fullrank.trainers.evaluation.export_run import export_run
from fullrank.trainers.evaluation.predict_run import predict_run
from fullrank.trainers.evaluation.table_input import TableBatches, TableReading, open_tables

SCORES = ["click_probability", "like_probability"]


@pytest.fixture(scope="module")
def rows(toy_records: Path) -> pa.Table:
    """The test split as a table, with a column that no schema knows; some values are missing, some ids are unknown."""
    batch = {
        name: value.numpy()
        for name, value in next(iter(read_records(toy_records, split="test", batch_size=300))).items()
    }
    tags = ["|".join(str(tag) for tag in row if tag >= 0) for row in batch["tags"]]
    age: list[float | None] = batch["age"].astype(np.float64).tolist()
    age[3] = None
    items = [item.decode() for item in batch["item"]]
    items[5:7] = ["", "no such item"]
    tags[8] = ""
    return pa.table(
        {
            "request": [f"r{number:03d}" for number in range(300)],
            "user": batch["user"],
            "item": items,
            "tags": tags,
            "age": age,
            "region": [region.decode() for region in batch["region"]],
            "click": batch["click"].astype(np.int64),
            "like": [None if np.isnan(value) else int(value) for value in batch["like"]],
        }
    )


@pytest.fixture(scope="module")
def tables(rows: pa.Table, toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows in each format, with and without labels, and as the records that `convert` makes of them."""
    folder = tmp_path_factory.mktemp("tables")
    pa_csv.write_csv(rows, folder / "labelled.csv")
    new = rows.drop_columns(["click", "like", "region"])
    pa_csv.write_csv(new, folder / "new.csv")
    pq.write_table(new, folder / "new.parquet")
    (folder / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in new.to_pylist()))
    flags = [f"--input={folder}/labelled.csv", f"--schema={toy_run}/schema.json", f"--output={folder}/records"]
    assert run(convert_command, *flags, "--split_fractions=1", "--noprogress", "--workers=1") == 0
    return folder


@pytest.fixture(scope="module")
def export(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("export")
    export_run(ExportConfig(run=str(toy_run), output=str(output), warmup="statistics"))
    return output


@pytest.mark.parametrize("kind", ["run", "export"])
def test_scores_of_tables_are_those_of_the_converted_records_bit_for_bit(
    kind: str, tables: Path, toy_run: Path, export: Path, rows: pa.Table, tmp_path: Path
) -> None:
    model: dict[str, Any] = {"run": str(toy_run)} if kind == "run" else {"export": str(export)}
    out = tmp_path / "out.parquet"
    predict_run(PredictConfig(data=str(tables / "records"), split="train", output=str(out), batch_size=128, **model))
    expected = pq.read_table(out)
    for name in ("labelled.csv", "new.csv", "new.parquet", "new.jsonl"):
        source, columns = str(tables / name), ("request", "item")
        config = PredictConfig(input=source, output=str(out), overwrite=True, batch_size=128, columns=columns, **model)
        assert predict_run(config) == 300
        found = pq.read_table(out)
        labels = ["click", "like"] if name == "labelled.csv" else []
        assert found.column_names == ["user", *labels, "request", "item", *SCORES]
        assert found["request"].to_pylist() == rows["request"].to_pylist()
        assert found["item"].to_pylist() == [item or None for item in rows["item"].to_pylist()]
        for column in ("user", *labels, *SCORES):
            assert found[column].equals(expected[column]), (name, column)


def test_csv_and_standard_output_hold_the_same_rows(
    tables: Path, toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--run={toy_run}", f"--input={tables}/new.csv", "--columns=request"]
    assert run(predict_command, *flags, f"--output={tmp_path}/out.csv") == 0
    capsys.readouterr()
    assert run(predict_command, *flags, "--output=-") == 0
    shown = capsys.readouterr()
    assert shown.out == (tmp_path / "out.csv").read_text()
    assert "standard output: 300 rows of user, request, click_probability, like_probability." in shown.err
    predict_run(PredictConfig(run=str(toy_run), input=str(tables / "new.csv"), output=str(tmp_path / "out.parquet")))
    exact = pq.read_table(tmp_path / "out.parquet")
    for name in SCORES:  # the shortest decimal that gives the float32 back
        read = np.array(pa_csv.read_csv(tmp_path / "out.csv")[name].to_pylist(), np.float32)
        np.testing.assert_array_equal(read, exact[name].to_numpy())


def test_missing_ids_are_null_and_empty_cells(tables: Path, toy_run: Path, tmp_path: Path) -> None:
    lines = (tables / "new.csv").read_text().splitlines()[:4]
    header = lines[0].replace('"', "").split(",")
    cells = [line.split(",") for line in lines[1:]]
    for row, name in enumerate(("user", "item", "request")):
        cells[row][header.index(name)] = ""
    (tmp_path / "few.csv").write_text("\n".join(",".join(line) for line in [header, *cells]))
    given, columns = str(tmp_path / "few.csv"), ("item", "request")
    for ending in ("parquet", "csv"):
        output = str(tmp_path / f"out.{ending}")
        predict_run(PredictConfig(run=str(toy_run), input=given, output=output, columns=columns))
    found = pq.read_table(tmp_path / "out.parquet").select(["user", "item", "request"])
    assert [column.is_null().to_pylist() for column in found.columns] == np.eye(3, dtype=bool).tolist()
    written = [line.split(",")[:3] for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert [[cell == "" for cell in line] for line in written] == [[False] * 3, *np.eye(3, dtype=bool).tolist()]


def test_the_output_is_written_though_nobody_reads_what_is_said(tables: Path, toy_run: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "fullrank.trainers.predict", f"--run={toy_run}", f"--input={tables}/new.csv"]
    # The arguments are those of this test.
    ended = subprocess.run(
        [*command, f"--output={tmp_path}/out.csv"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert ended.returncode == 141
    assert b"Error" not in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 301


def test_convert_names_the_command_that_needs_no_labels(
    tables: Path, toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--input={tables}/new.csv", f"--schema={toy_run}/schema.json", f"--output={tmp_path}/records"]
    assert run(convert_command, *flags, "--noprogress") == 1
    found = capsys.readouterr().err
    assert "new.csv has no column 'click'; 'like'; 'region'." in found
    assert "Score rows without labels with fullrank predict --input." in found


def test_evaluate_reads_tables_with_labels(tables: Path, toy_run: Path, tmp_path: Path) -> None:
    def evaluated(config: EvaluateConfig) -> dict[str, dict[str, Any]]:
        return evaluate_run(dataclasses.replace(config, baseline=str(toy_run), duplicates="item:region"))

    config = EvaluateConfig(run=str(toy_run), input=str(tables / "labelled.csv"), json=str(tmp_path / "eval.json"))
    found = evaluated(config)
    assert found == evaluated(EvaluateConfig(run=str(toy_run), data=str(tables / "records"), split="train"))
    assert json.loads((tmp_path / "eval.json").read_text()) == found
    assert found["click"]["examples"] == 300


def test_bad_rows_are_counted_and_listed(
    tables: Path, toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (tables / "new.csv").read_text().splitlines()
    lines[2] = '"r001",7.5,"item1","1",0.5'
    lines[4] = '"r003",1'
    (tmp_path / "bad.csv").write_text("\n".join(lines) + "\n")
    flags = [f"--run={toy_run}", f"--input={tmp_path}/bad.csv", f"--output={tmp_path}/out.csv", "--columns=request"]
    assert run(predict_command, *flags) == 1
    assert "bad.csv, line 5: " in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
    assert run(predict_command, *flags, "--on_bad_record=skip") == 0
    assert "Left out 2 bad rows of 300. The first: " in capsys.readouterr().out
    scored = pa_csv.read_csv(tmp_path / "out.csv")["request"].to_pylist()
    assert scored == [f"r{number:03d}" for number in range(300) if number not in (1, 3)]
    rejects = pa_csv.read_csv(tmp_path / "out.csv.rejects.csv").to_pylist()
    assert len(rejects) == 2
    assert any("'7.5' is not" in row["reason"] for row in rejects)


def test_a_joined_table_gives_columns(
    tables: Path, toy_run: Path, rows: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pa_csv.write_csv(rows.select(["request", "user", "item", "tags"]), tmp_path / "new.csv")
    pq.write_table(rows.select(["request", "age"]), tmp_path / "ages.parquet")
    whole, joined = tmp_path / "whole.parquet", tmp_path / "joined.parquet"
    predict_run(PredictConfig(run=str(toy_run), input=str(tables / "new.csv"), output=str(whole)))
    flags = [f"--run={toy_run}", f"--input={tmp_path}/new.csv", f"--join={tmp_path}/ages.parquet", "--on=request"]
    assert run(predict_command, *flags, f"--output={joined}") == 0
    assert "100.00% of the rows have their 'request'" in capsys.readouterr().out
    assert pq.read_table(joined).equals(pq.read_table(whole))


@pytest.mark.parametrize(
    ("command", "arguments", "code", "message"),
    [
        (predict_command, ["--output=p"], 2, "--output=p: the name must end in .parquet, .pq, .csv, or be -"),
        (predict_command, ["--output=-", "--export=E"], 2, "give either --run (a run directory) or --export"),
        (predict_command, ["--output=-", "--input=NEW", "--columns=nobody"], 1, "has no column 'nobody'"),
        (predict_command, ["--output=-", "--input=NEW", "--columns=tags"], 1, "'tags' is not a column with one value"),
        (predict_command, ["--output=-", "--input=none.csv"], 1, "No file matches 'none.csv'"),
        (predict_command, ["--output=-", "--input=SHORT"], 1, "has no column 'age'"),
        (evaluate_command, ["--input=NEW"], 1, "has no column 'click'"),
        (evaluate_command, ["--input=NEW", "--data=d"], 2, "give either --data"),
    ],
)
def test_mistakes_are_one_line(
    command: Any,
    arguments: list[str],
    code: int,
    message: str,
    toy_run: Path,
    tables: Path,
    rows: pa.Table,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pa_csv.write_csv(rows.select(["user", "item", "tags"]), tmp_path / "short.csv")
    paths = {"NEW": str(tables / "new.csv"), "SHORT": str(tmp_path / "short.csv")}
    filled = arguments
    for mark, path in paths.items():
        filled = [argument.replace(f"={mark}", f"={path}") for argument in filled]
    assert run(command, f"--run={toy_run}", *filled) == code
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_batches_of_tables_equal_those_of_converted_records(
    every_kind: tuple[Schema, Any], make_batch: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    schema, size = every_kind[0], 70
    batch = {name: value.numpy() for name, value in make_batch(size=size, seed=3).items()}
    lengths = np.random.default_rng(4).integers(0, 8, size)  # some histories are longer than the schema's 5

    def cells(name: str) -> list[Any]:
        values = batch[name]
        if values.ndim == 1:
            return list(values.tolist())
        full = np.concatenate([values, values], axis=1)
        cut = {"tags": 3, "tag_weights": 3, "picture": 4, "hash_id": 8}
        ends = [cut[name]] * size if name in cut else lengths
        lists = [row[:end].tolist() for row, end in zip(full, ends, strict=True)]
        return [[] if any(value != value for value in row) else row for row in lists]

    pq.write_table(pa.table({name: cells(name) for name in batch}), tmp_path / "new.parquet")
    write_schema(schema, tmp_path / "schema.json")
    flags = [f"--input={tmp_path}/new.parquet", f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records"]
    flags += ["--split=random", "--split_fractions=1", "--noprogress", "--workers=1", "--sort_by_time=history"]
    assert run(convert_command, *flags) == 0
    converted = read_schema(tmp_path / "records")
    records = read_records(converted, split="train", batch_size=32)
    (tmp_path / "scratch").mkdir()
    with open_tables(
        (tmp_path / "new.parquet",),
        schema=converted,
        needed=[column.name for column in converted.columns],
        carried=(),
        reading=TableReading(),
        bad_rows=BadRows(),
        directory=tmp_path / "scratch",
    ) as given:
        tables = TableBatches(given.rows, batch_size=32)
        assert tables.element_spec == records.element_spec
        found, expected = list(tables), list(records)
    assert given.examples == size
    assert len(found) == len(expected) == 3
    for mine, theirs in zip(found, expected, strict=True):
        assert set(mine) == set(theirs)
        for name in mine:
            np.testing.assert_array_equal(mine[name].numpy(), theirs[name].numpy(), err_msg=name)
