"""From a user's own table to records and back: infer, convert and inspect as they are called."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from logged_rows import COLUMNS, ROWS, expected_of, made_rows, write_csv
from ran_commands import ran

from fullrank import data
from fullrank.data import convert, infer, inspect

COLUMNS += ["click", "watch", "timestamp"]


@pytest.fixture(scope="module")
def rows() -> list[list[Any]]:
    return made_rows()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, rows: list[list[Any]]) -> Path:
    """The log as two CSV files."""
    directory = tmp_path_factory.mktemp("logs")
    for name, part in (("clicks-1.csv", rows[: ROWS // 3]), ("clicks-2.csv", rows[ROWS // 3 :])):
        write_csv(directory / name, part)
    return directory


@pytest.fixture(scope="module")
def schema_file(logs: Path) -> Path:
    """The schema that infer proposes for the log."""
    file = logs / "schema.json"
    infer.run(["infer", f"--input={logs}/*.csv", "--label=click,watch", f"--output={file}"])
    return file


def read(directory: Path, split: str) -> dict[str, np.ndarray[Any, Any]]:
    batches = list(data.read_records(directory, split=split, batch_size=512))
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}


def test_the_proposed_schema_is_what_a_person_would_write(schema_file: Path) -> None:
    assert data.read_schema(schema_file) == data.Schema(
        name="clicks_1",
        features=(
            data.Sparse(name="user_id", side="user"),
            data.Sparse(name="item_id", side="ad"),
            data.Sparse(name="category", dtype="bytes"),
            data.Numeric(name="price"),
            data.Sparse(name="tags", dtype="bytes", max_values=2),
            data.Sequence(
                name="past",
                behaviour=(data.BehaviourColumn(name="past_items", table="item_id", target="item_id"),),
                times="past_times",
                max_length=4,
            ),
            data.Vector(name="content", length=3),
        ),
        labels=(data.Label(name="click"), data.Label(name="watch", type="value")),
        keys=(data.Key(name="user_id"),),
        time="timestamp",
    )


@pytest.mark.parametrize("layout", ["block", "example"])
def test_the_records_hold_the_rows_split_by_time(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    logs: Path,
    schema_file: Path,
    rows: list[list[Any]],
    layout: str,
) -> None:
    records = tmp_path / "records"
    code, out, err = ran(
        capsys,
        convert.run,
        f"--input={logs}/*.csv",
        f"--schema={schema_file}",
        f"--output={records}",
        f"--layout={layout}",
        "--compression=gzip",
        "--workers=1",
    )
    wrote = out.splitlines()
    assert (code, wrote) == (
        0,
        [
            f"Wrote {records}, {layout} layout, gzip:",
            "  train: 2,400 examples in 3 files",
            "  validation: 300 examples in 1 file",
            "  test: 300 examples in 1 file",
            *wrote[4:7],
            f"Next: fullrank inspect --data={records}",
        ],
    )
    assert "writing test: 100%" in err
    order = sorted(range(ROWS), key=lambda row: rows[row][-1])
    for split, chosen in (("train", order[:2400]), ("validation", order[2400:2700]), ("test", order[2700:])):
        found = read(records, split)
        for name, values in expected_of([rows[row] for row in sorted(chosen)]).items():
            np.testing.assert_array_equal(found[name], np.array(values, found[name].dtype), err_msg=f"{split} {name}")
    items = {rows[row][1] for row in order[:2400]}
    items |= {int(word) for row in order[:2400] for word in rows[row][5].split("|") if word}
    assert set(data.read_vocabulary(schema=data.read_schema(records), feature="item_id").tolist()) == items


@pytest.fixture(scope="module")
def records(logs: Path, schema_file: Path) -> Path:
    """The log as records; tests only read them."""
    output = logs / "records"
    arguments = [f"--input={logs}/clicks-1.csv", f"--schema={schema_file}", f"--output={output}", "--workers=1"]
    convert.run(["convert", *arguments, "--split=random", "--noprogress"])
    return output


def test_splits_may_come_from_files_of_their_own_and_of_another_kind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, logs: Path, schema_file: Path, rows: list[list[Any]]
) -> None:
    table = pa.table(
        {
            name: list(cells)
            for name, cells in zip(COLUMNS, zip(*rows[:50], strict=True), strict=True)
            if name not in ("price", "watch")
        }
    )
    numbers = {
        name: [None if row[at] == "" else row[at] for row in rows[:50]] for name, at in (("price", 3), ("watch", 9))
    }
    for name, cells in numbers.items():
        table = table.append_column(name, pa.array(cells, pa.float64()))
    pq.write_table(table, tmp_path / "late.parquet")
    records = tmp_path / "records"
    arguments = [f"--input={logs}/clicks-2.csv", f"--test_input={tmp_path}/late.parquet", f"--schema={schema_file}"]
    code, _, err = ran(capsys, convert.run, *arguments, f"--output={records}", "--workers=1", "--noprogress")
    assert (code, err) == (0, "")
    schema = data.read_schema(records)
    assert {split.name: split.examples for split in schema.splits} == {"train": 2000, "test": 50}
    expected = expected_of(rows[:50])
    found = read(records, "test")
    for name in ("user_id", "category", "price", "tags", "past_items", "content", "timestamp"):
        np.testing.assert_array_equal(found[name], np.array(expected[name], found[name].dtype), err_msg=name)


def test_bad_rows_are_left_out_on_request(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, schema_file: Path, rows: list[list[Any]]
) -> None:
    bad = [list(row) for row in rows[:100]]
    bad[10][8] = 3
    bad[20][3] = "cheap"
    bad[30].append("one too many")
    file = write_csv(tmp_path / "bad.csv", bad)
    arguments = [f"--input={file}", f"--schema={schema_file}", f"--output={tmp_path}/records", "--workers=1"]
    arguments += ["--noprogress", "--split_fractions=1"]
    code, _, err = ran(capsys, convert.run, *arguments)
    assert (code, err) == (
        1,
        f"error: {file}, line 32: 12 cells instead of 11: {','.join(map(str, bad[30]))[:60]!r}... "
        "(--on_bad_record=skip leaves such rows out.)\n",
    )
    code, _, err = ran(capsys, convert.run, *arguments, "--on_bad_record=skip")
    click = f"{file}, row 11, column 'click': '3' is not a label: use 0 or 1, or leave it empty if unobserved."
    assert code == 1
    assert err.startswith("error: 3 of 100 rows are bad, more than --max_bad_fraction=0.01 allows. The first: ")
    assert not (tmp_path / "records").exists()
    code, out, _ = ran(capsys, convert.run, *arguments, "--on_bad_record=skip", "--max_bad_fraction=0.1")
    assert code == 0
    assert out.startswith(f"Left out 3 bad rows of 100. The first: {file}, line 32: 12 cells instead of 11: ")
    assert click in out
    with open(tmp_path / "records" / "rejects.csv", encoding="utf-8", newline="") as rejects:
        found = list(csv.reader(rejects))
    assert [row[:2] for row in found] == [["file", "row"], [str(file), "32"], [str(file), "11"], [str(file), "21"]]
    assert found[2][2] == click
    assert found[3][2] == f"{file}, row 21, column 'price': 'cheap' is not a number."
    assert "  train: 97 examples in 1 file\n" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--schema=none.json"], 1, "Cannot read the schema none.json: no such file."),
        (["--input=none*.csv"], 1, "No file matches 'none*.csv'."),
        (["--split=column"], 2, "--split=column and --split_column=NAME go together."),
        (["--split=time", "--split_column=click"], 2, "--split=column and --split_column=NAME go together."),
        (["--split_column=fold"], 1, "{logs}/clicks-1.csv has no column 'fold', which --split_column names."),
        (["--split_fractions=0.8,0.1"], 2, "--split_fractions must add up to 1. Received: 0.8,0.1, which is 0.9."),
        (
            ["--split_fractions=a"],
            2,
            "--split_fractions needs one to three positive numbers, for train, validation and test. Received: 'a'.",
        ),
        (
            ["--split=time", "--test_input={logs}/clicks-2.csv"],
            2,
            "--split=time cannot go with --validation_input or --test_input.",
        ),
        (
            ["--test_input={logs}/../{logs.name}/clicks-2.csv"],
            2,
            "--input and --test_input both name {logs}/../{logs.name}/clicks-2.csv, whose rows would be in both",
        ),
        (["--separator=abcde"], 2, "--separator must be one to four characters, or tab. Received: 'abcde'."),
        (["--quote=ab"], 2, "--quote must be one character, none or auto. Received: 'ab'."),
        (["--comment=//"], 2, "--comment must be one character. Received: '//'."),
        (["--encoding=klingon"], 2, "--encoding=klingon is not known. Common ones are utf-8, utf-16, latin-1, "),
        (["--list_delimiter="], 2, "--list_delimiter must not be empty."),
        (["--compresion=gzip"], 2, "unknown flag --compresion; did you mean --compression? See --help."),
        (["--workers=0"], 2, "flag --workers=0: 0 is not a positive integer. See --help."),
        (["--output={logs}"], 1, "{logs} exists already: choose another name, or replace it by --overwrite."),
        (["--separator=;"], 1, "{logs}/clicks-1.csv has no column 'user_id'; 'item_id'; 'category'; "),
    ],
)
def test_a_wrong_command_line_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    logs: Path,
    schema_file: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    given = {"input": f"{logs}/*.csv", "schema": str(schema_file), "output": str(tmp_path / "records")}
    words = [word.format(logs=logs) for word in arguments]
    words += [
        f"--{name}={value}" for name, value in given.items() if not any(w.startswith(f"--{name}=") for w in words)
    ]
    found, out, err = ran(capsys, convert.run, *words)
    assert (found, out) == (code, "")
    assert err.startswith(f"error: {message.format(logs=logs)}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_command_and_each_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (convert, infer, inspect):
        code, out, _ = ran(capsys, command.run, "--help")
        assert code == 0
        assert out.startswith(str(command.__doc__).splitlines()[0])
        assert f"  fullrank {command.__name__.rsplit('.', 1)[1]} " in out
        assert out.index("\n  --") < out.index("\n  --[no]debug\n")
        assert max(map(len, out.splitlines())) <= 120


def test_inspect_shows_schema_statistics_and_rows(capsys: pytest.CaptureFixture[str], records: Path) -> None:
    code, out, err = ran(capsys, inspect.run, f"--data={records}", "--rows=2", "--split=test")
    assert (code, err) == (0, "")
    assert "Data set 'clicks_1', block layout" in out
    assert "keys: user_id (int64)" in out
    assert "time: timestamp (s)" in out
    assert "sequence  user              last 4: past_items as item_id, at past_times" in out
    shown = out[out.index("column (test)") :].splitlines()
    first = {line.split()[0]: line for line in shown[2:]}
    found = read(records, "test")
    assert shown[0].split() == ["column", "(test)", "row", "0", "row", "1"]
    assert first["timestamp"].split() == ["timestamp", *map(str, found["timestamp"][:2])]
    past = "|".join(str(item) for item in found["past_items"][0] if item != -1)
    assert past in first["past_items"]


def test_inspect_validates(capsys: pytest.CaptureFixture[str], tmp_path: Path, records: Path) -> None:
    code, out, _ = ran(capsys, inspect.run, f"--data={records}", "--validate", "--rows=0")
    assert code == 0
    schema = data.read_schema(records)
    rates = out[out.index("mean of click") :].splitlines()[2:5]
    assert rates[0].split()[:2] == ["train", f"{schema.label('click').mean:.6g}"]
    test_clicks = read(records, "test")["click"]
    assert rates[2].split()[:2] == ["test", f"{test_clicks.mean(dtype=np.float64):.6g}"]
    assert out.endswith("Nothing is wrong with the records and vocabularies of train, validation, test.\n")
    copy = tmp_path / "records"
    copy.mkdir()
    for file in records.rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(records)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    shard = copy / schema.split("test").shards[0].file
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    shard.write_bytes(damaged)
    vocabulary = copy / "vocabulary" / "item_id.txt"
    vocabulary.write_text(vocabulary.read_text() + "123456\n")
    code, out, err = ran(capsys, inspect.run, f"--data={copy}", "--validate")
    assert (code, err) == (1, "")
    problems = out[out.index("Problems:") :].splitlines()[1:]
    assert problems[0].startswith(f"  Vocabulary file {vocabulary} has ")
    assert problems[1].startswith(f"  {shard}, record 0: damaged data")
    assert len(problems) == 2
    code, _, err = ran(capsys, inspect.run, f"--data={copy}", "--split=test")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"error: {shard}, record 0: damaged data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data=none"], "Cannot read the schema none: no such file."),
        (["--data={schema}"], "{schema} is a schema without records: run fullrank convert first."),
        (["--data={records}", "--split=dev"], "Schema 'clicks_1' has no split 'dev'. Known: train, validation, test."),
    ],
)
def test_inspect_needs_a_data_set(
    capsys: pytest.CaptureFixture[str], schema_file: Path, records: Path, arguments: list[str], message: str
) -> None:
    words = [word.format(schema=schema_file, records=records) for word in arguments]
    code, _, err = ran(capsys, inspect.run, *words)
    assert (code, err) == (1, f"error: {message.format(schema=schema_file, records=records)}\n")


def test_schema_json_names_nothing_of_the_machine(records: Path) -> None:
    assert str(records.parent) not in json.dumps(json.loads((records / "schema.json").read_text()))


def test_a_conversion_does_not_wait_for_tensorflow() -> None:
    code = "import sys, fullrank.data.convert, fullrank.data.infer; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_number_without_a_value_in_training_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    features = (data.Sparse(name="item"), data.Numeric(name="age"), data.Numeric(name="price"))
    schema = data.Schema(name="s", features=features, labels=(data.Label(name="click"),))
    (tmp_path / "train.csv").write_text("item,age,price,click\n1,,2.5,0\n2,,1.5,1\n")
    (tmp_path / "test.csv").write_text("item,age,price,click\n3,7,,1\n")
    given = (f"--input={tmp_path}/train.csv", f"--test_input={tmp_path}/test.csv", f"--output={tmp_path}/records")
    schema_file = data.write_schema(schema, tmp_path / "schema.json")
    code, out, _ = ran(capsys, convert.run, *given, f"--schema={schema_file}", "--noprogress")
    assert code == 0
    assert "  number age: never observed (train)\n" in out
    assert "number price" not in out
