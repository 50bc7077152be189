"""Scoring and evaluating rows of tables: as their records, to the last bit, and without labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from fullrank.data import convert, infer, read_records
from fullrank.trainers import evaluate, predict, train
from fullrank.trainers.evaluate_config import EvaluateConfig
from fullrank.trainers.evaluate_run import evaluate_run
from fullrank.trainers.predict_config import PredictConfig
from fullrank.trainers.predict_run import predict_run


@pytest.fixture(scope="module")
def rows(toy_records: Path) -> pa.Table:
    """The test split as a table, with a column that the run does not know."""
    batch = {
        name: value.numpy()
        for name, value in next(iter(read_records(toy_records, split="test", batch_size=300))).items()
    }
    columns = {name: value.tolist() for name, value in batch.items() if name != "tags"}
    columns = {name: [v.decode() if isinstance(v, bytes) else v for v in cells] for name, cells in columns.items()}
    like = pa.array(batch["like"], mask=np.isnan(batch["like"]))
    tags = [row[:2] for row in batch["tags"].tolist()]
    request = [f"r{number}" for number in range(300)]
    return pa.table({**columns, "like": like, "tags": tags, "request": request})


def write(table: pa.Table, file: Path) -> str:
    """A table as a file of the kind that its name tells."""
    if file.suffix == ".parquet":
        pq.write_table(table, file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        tags = ["|".join(map(str, cell)) for cell in table["tags"].to_pylist()]
        pa_csv.write_csv(table.set_column(table.column_names.index("tags"), "tags", pa.array(tags)), file)
    return str(file)


@pytest.fixture(scope="module")
def expected(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """What the records of the same rows get."""
    file = tmp_path_factory.mktemp("expected") / "p.parquet"
    predict_run(PredictConfig(run=str(toy_run), output=str(file)))
    return pq.read_table(file)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_rows_of_tables_have_the_scores_of_their_records(
    toy_run: Path, rows: pa.Table, expected: pa.Table, tmp_path: Path, ending: str
) -> None:
    source = write(rows.drop_columns(["click", "like", "region"]), tmp_path / f"new.{ending}")
    out = tmp_path / "out.parquet"
    predict_run(PredictConfig(run=str(toy_run), input=source, output=str(out), columns=("request",)))
    found = pq.read_table(out)
    assert found.column_names == ["user", "click", "like", "request", "click_probability", "like_probability"]
    assert found["request"].to_pylist() == rows["request"].to_pylist()
    assert found["click"].null_count == 300
    for task in ("click", "like"):
        np.testing.assert_array_equal(
            found[f"{task}_probability"].to_numpy(), expected[f"{task}_probability"].to_numpy()
        )


def test_scores_go_to_csv_and_to_standard_output(
    toy_run: Path, rows: pa.Table, expected: pa.Table, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    source = write(rows, tmp_path / "new.csv")
    out = tmp_path / "out.csv"
    predict.run(["predict", f"--run={toy_run}", f"--input={source}", f"--output={out}"])
    found = pa_csv.read_csv(out)
    assert found["user"].to_pylist() == rows["user"].to_pylist()
    np.testing.assert_allclose(found["like_probability"].to_numpy(), expected["like_probability"].to_numpy(), rtol=1e-6)
    capfdbinary.readouterr()
    predict.run(["predict", f"--run={toy_run}", f"--input={source}", "--output=-"])
    assert capfdbinary.readouterr().out == out.read_bytes()


def test_rows_of_tables_are_evaluated_as_their_records(
    toy_run: Path, rows: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(rows, tmp_path / "new.csv")
    found = evaluate_run(EvaluateConfig(run=str(toy_run), input=source))
    assert f"on {source}, GAUC by user:" in capsys.readouterr().out
    assert found == evaluate_run(EvaluateConfig(run=str(toy_run)))


def test_bad_rows_are_left_out_on_request(toy_run: Path, rows: pa.Table, tmp_path: Path) -> None:
    bad = rows.set_column(
        rows.column_names.index("age"), "age", pa.array(["old", *map(str, rows["age"].to_pylist()[1:])])
    )
    source = write(bad, tmp_path / "new.csv")
    out = str(tmp_path / "p.parquet")
    with pytest.raises(ValueError, match=r"new\.csv, row 1, column 'age': 'old' is not a number"):
        predict_run(PredictConfig(run=str(toy_run), input=source, output=out))
    assert not Path(out).exists()
    config = PredictConfig(run=str(toy_run), input=source, output=out, on_bad_record="skip", max_bad_fraction=0.5)
    assert predict_run(config) == 299


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (predict, ["--input={d}/none.csv", "--output=p.csv"], "No file matches '{d}/none.csv'."),
        (predict, ["--input={d}/less.csv", "--output=p.csv"], "{d}/less.csv has no column 'age'"),
        (
            predict,
            ["--input={d}/new.csv", "--output=p.csv", "--columns=reqest"],
            "--columns: {d}/new.csv has no column 'reqest'.",
        ),
        (evaluate, ["--input={d}/less.csv"], "{d}/less.csv has no column 'age'"),
        (evaluate, ["--input={d}/new.tfrecord"], "--input takes tables, whose names end in .csv, .parquet, .jsonl or"),
    ],
)
def test_wrong_tables_are_one_line(
    toy_run: Path,
    rows: pa.Table,
    tmp_path: Path,
    command: Any,
    arguments: list[str],
    message: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(rows, tmp_path / "new.csv")
    write(rows.drop_columns(["age"]), tmp_path / "less.csv")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        command.run(["program", f"--run={toy_run}", *(word.format(d=tmp_path) for word in arguments)])
    error = capfd.readouterr().err
    assert message.format(d=tmp_path) in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.slow
def test_histories_of_new_rows_are_those_of_a_conversion_that_held_them(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    # The last twenty rows are of one time, so that none of them is in the history of another.
    times = np.concatenate([900_000_000 + np.sort(draw.integers(0, 10_000, 480)), np.full(20, 900_020_000)])
    log = pa.table(
        {
            "user_id": draw.integers(0, 12, 500),
            "item_id": [f"i{k}" for k in draw.integers(0, 30, 500)],
            "rating": draw.integers(1, 6, 500),
            "timestamp": times,
        }
    )
    pq.write_table(log, tmp_path / "all.parquet")
    pa_csv.write_csv(log[:480], tmp_path / "log.csv")
    pa_csv.write_csv(log[480:].drop_columns(["rating"]), tmp_path / "new.csv")
    asked = ["--label=click=rating>=4", "--history=user_id:item_id", "--history_where=click", "--history_length=5"]
    infer.run(["infer", f"--input={tmp_path}/all.parquet", *asked, f"--output={tmp_path}/s.json"])
    given = [f"--schema={tmp_path}/s.json", f"--output={tmp_path}/records", "--split_fractions=0.86,0.1,0.04"]
    convert.run(["convert", f"--input={tmp_path}/all.parquet", *given, "--noprogress"])
    arguments = ["--model=single", "--experts=flat", "--hidden=4", "--widths=4", "--tower=", "--epochs=1"]
    arguments += [f"--data={tmp_path}/records", f"--output={tmp_path}/run", "--batch_size=64", "--progress=none"]
    train.run(["train", *arguments, "--expert_width=4"])
    run, new = str(tmp_path / "run"), f"{tmp_path}/new.csv"
    predict_run(PredictConfig(run=run, output=str(tmp_path / "old.parquet")))
    output = str(tmp_path / "new.parquet")
    predict_run(PredictConfig(run=run, input=new, log=f"{tmp_path}/log.csv", output=output))
    found, expected = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("new", "old"))
    assert len(set(found["click_probability"].to_pylist())) > 5
    for name in ("user_id", "click_probability"):
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy())
    with pytest.raises(ValueError, match="lacks history_item_id, history_time, which come from earlier rows: name th"):
        predict_run(PredictConfig(run=run, input=new, output=str(tmp_path / "none.parquet")))
