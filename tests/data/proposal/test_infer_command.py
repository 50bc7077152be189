"""What infer says of a table, by its command line: dates in digits, padded lists, names, samples, and wrong input."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import convert, infer
from fullrank.data.proposal import name_hints
from fullrank.data.proposal.sample import read_sample
from fullrank.data.tables.database import open_database
from fullrank.data.tables.files import Dialect, TableFiles


def test_what_infer_advises_for_a_date_in_digits_works(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [f"{k % 2},141021{k // 20:02d},{k % 7}" for k in range(400)]
    (tmp_path / "log.csv").write_text("\n".join(["click,hour,item_id", *rows]) + "\n")
    command = ["infer", f"--input={tmp_path}/log.csv", "--label=click"]
    infer.run(command)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  hour: ")]
    named = [word for word in shlex.split(line.replace(";", "").replace(",", "")) if word.startswith("--")]
    assert [word.split("=")[0] for word in named] == ["--column", "--time", "--column", "--ignore"]
    named[0] = named[0].replace("VARCHAR ", "VARCHAR, ")
    infer.run([*command, *named, f"--output={tmp_path}/s.json"])
    to_records = ["convert", f"--input={tmp_path}/log.csv", f"--schema={tmp_path}/s.json"]
    convert.run([*to_records, f"--output={tmp_path}/records", "--noprogress", "--workers=1"])
    batch = next(iter(data.read_records(tmp_path / "records", split="train", batch_size=400)))
    assert batch["hour_time"].numpy()[[0, 20]].tolist() == [1_413_849_600, 1_413_853_200]  # 2014-10-21, 0 h and 1 h
    assert batch["hour_of_day"].numpy()[[0, 20, 40]].tolist() == [0, 1, 2]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("listed", [True, False])
def test_lists_that_zeros_fill_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, first: bool, listed: bool
) -> None:
    draw = np.random.default_rng(0)
    ids = [draw.integers(1, 90, draw.integers(0, 6)).tolist() for _ in range(300)]
    filled = [[0] * (5 - len(row)) + row if first else row + [0] * (5 - len(row)) for row in ids]
    table = pa.table(
        {"click": [0, 1] * 150, "item_id": draw.integers(1, 90, 300), "history_item": filled, "part": ["train"] * 300}
    )
    if listed:
        file = tmp_path / "log.parquet"
        pq.write_table(table, file)
    else:
        file = tmp_path / "log.csv"
        cells = [
            ["|".join(map(str, value)) if isinstance(value, list) else str(value) for value in row.values()]
            for row in table.to_pylist()
        ]
        file.write_text("\n".join(map(",".join, [table.column_names, *cells])) + "\n")
    infer.run(["infer", f"--input={file}", "--label=click", "--ignore=part", f"--output={tmp_path}/s.json"])
    assert "history_item: 0 fills the lists up and is left out" in capsys.readouterr().out
    to_records = ["convert", f"--input={file}", f"--schema={tmp_path}/s.json", f"--output={tmp_path}/records"]
    convert.run([*to_records, "--split_column=part", "--noprogress", "--workers=1"])
    batch = next(iter(data.read_records(tmp_path / "records", split="train", batch_size=300)))
    assert batch["history_item"].numpy().tolist() == [row + [-1] * (5 - len(row)) for row in ids]


@pytest.mark.parametrize(
    ("name", "words"),
    [("userId", ("user", "id")), ("user_id", ("user", "id")), ("User-ID 2", ("user", "id", "2")), ("C14", ("c", "14"))],
)
def test_words_of_a_name(name: str, words: tuple[str, ...]) -> None:
    assert name_hints.tokens(name) == words


def test_sides() -> None:
    sides = {name: name_hints.side_of(name) for name in ("user_age", "age", "ad_id", "itemGenre", "hour", "uid")}
    assert sides == {
        "user_age": "user",
        "age": "user",
        "ad_id": "ad",
        "itemGenre": "ad",
        "hour": "context",
        "uid": "user",
    }


def test_the_table_that_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = ["user_id,age,site,click", "1,31,a,0", "2,45,b,1", "1,,a,0", "3,45,NA,1"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    infer.run(["infer", f"--input={tmp_path}/log.csv", "--label=click", "--numeric=age", f"--output={tmp_path}/s.json"])
    assert capsys.readouterr().out == (
        "4 rows sampled from 1 file:\n"
        "\n"
        "column   used as        holds  distinct  missing  examples  reason, or what to check\n"
        "-------  -------------  -----  --------  -------  --------  ------------------------\n"
        "user_id  sparse, key    int           3     0.0%  1, 2, 3\n"
        "age      numeric        int           2    25.0%  45, 31\n"
        "site     sparse         text          3     0.0%  a, b, NA\n"
        "click    label, binary  int           2     0.0%  0, 1\n"
        "\n"
        f"Wrote {tmp_path}/s.json. Look it over, then:\n"
        f"  fullrank convert --input={tmp_path}/log.csv --schema={tmp_path}/s.json --output=records\n"
    )


def test_a_sample_takes_the_first_rows_of_every_file(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 100)):
        pq.write_table(pa.table({"x": range(first, first + 100)}), tmp_path / f"{name}.parquet", row_group_size=10)
    files = tuple(sorted(tmp_path.glob("*.parquet")))
    with open_database(tmp_path, readable=files) as connection:
        tables = TableFiles(connection, files, dialect=Dialect(), directory=tmp_path)
        sample, _ = read_sample(connection, tables, rows=30)
    assert sample["x"].to_pylist() == [*range(15), *range(100, 115)]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--label=clik"], 2, "--label=clik: the input has no such column. Did you mean 'click'?"),
        (["--label=click", "--sparse=zzz"], 2, "--sparse=zzz: the input has no such column. There are: x, click."),
        (["--label=click", "--ignore=click"], 2, "--ignore=click: the same column is given by --label."),
        (["--label=click", "--output={here}/log.csv"], 1, "{here}/log.csv exists already: choose another name, or"),
        (
            ["--label=click", "--ids=x:many"],
            2,
            "--ids=x:many: give COLUMN:KIND, where KIND is vocabulary, hash, compos",
        ),
        (["--label=click", "--ids=x"], 2, "--ids=x: give COLUMN:KIND"),
        (["--label=click", "--ids=xx:hash"], 2, "--ids=xx: the input has no such column. Did you mean 'x'?"),
        (["--label=click", "--ids=x:hash", "--numeric=x"], 2, "--ids=x: the same column is given by --numeric."),
        (["--label=click", "--sample_rows=0"], 2, "flag --sample_rows=0: 0 is not a positive integer. See --help."),
        ([], 2, "flag --label is required. See --help."),
    ],
)
def test_a_wrong_command_line_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "log.csv").write_text("x,click\n1,0\n2,1\n")
    with pytest.raises(SystemExit) as end:
        infer.run(["infer", f"--input={tmp_path}/log.csv", *(word.format(here=tmp_path) for word in arguments)])
    captured = capsys.readouterr()
    assert (end.value.code, captured.out) == (code, "")
    assert captured.err.startswith(f"error: {message.format(here=tmp_path)}")
    assert captured.err.count("\n") == 1


def test_the_map_of_ids_can_be_chosen(tmp_path: Path) -> None:
    rows = [f"{k % 300},{k % 70},{k % 50},{k % 2}" for k in range(1000)]
    (tmp_path / "log.csv").write_text("\n".join(["item_id,user_id,amount,click", *rows]) + "\n")
    chosen = "--ids=item_id:compositional,user_id:hash,amount:vocabulary"
    infer.run(["infer", f"--input={tmp_path}/log.csv", "--label=click", chosen, f"--output={tmp_path}/s.json"])
    schema = data.read_schema(tmp_path / "s.json")
    # 300 ids: one row each is 512; 70 ids: four rows each are 512, too. Amounts under a chosen map are ids.
    assert schema.sparse("item_id").ids == data.IdMap(kind="hash", size=512, hashes=2)
    assert schema.sparse("user_id").ids == data.IdMap(kind="hash", size=512)
    assert schema.sparse("amount").ids == data.IdMap()


def test_an_empty_table_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("x,click\n")
    with pytest.raises(SystemExit):
        infer.run(["infer", f"--input={tmp_path}/log.csv", "--label=click"])
    assert capsys.readouterr().err == f"error: {tmp_path}/log.csv has no rows, so there is nothing to infer from.\n"
