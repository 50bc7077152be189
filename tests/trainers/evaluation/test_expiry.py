"""`fullrank export --expire_days`: which ids go, what the others predict, what it costs, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ran_commands import run as exit_code
from small_runs import small

from fullrank.data import Columns, IdMap, Ragged, read_records, write_records
from fullrank.data.schema.features import BehaviourColumn, Label, Numeric, NumericStatistics, Sequence, Sparse
from fullrank.data.schema.json import read_schema, write_schema
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.vocabulary import read_vocabulary
from fullrank.trainers import export as export_command
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.train_model import train_model

DAY = 86_400_000
ITEMS = [b"item%d" % number for number in range(10)]
FORGOTTEN, IN_A_HISTORY = ITEMS[:4], ITEMS[4]


def rows(size: int, draw: np.random.Generator, *, days: int, undated: int = 0) -> Columns:
    """Items 0 to 4 are shown on the first day only; item 4 is in each history of the last day.

    The last rows have no time.
    """
    day = np.sort(draw.integers(0, days, size))
    item = np.where(day == 0, draw.integers(0, 10, size), draw.integers(5, 10, size))
    ids = np.array(ITEMS, object)
    time = day * DAY + draw.integers(0, 1000, size)
    return {
        "user": draw.integers(0, 6, size),
        "item": ids[item],
        "last_item": np.full(size, ITEMS[9], object),
        "age": draw.normal(size=size).astype(np.float32),
        "noise": draw.normal(size=size).astype(np.float32),
        "past_items": Ragged(ids[np.where(day == days - 1, 4, 9)], np.full(size, 1, np.int32)),
        "past_times": Ragged(day * DAY, np.full(size, 1, np.int32)),
        "click": (draw.random(size) < 0.05 + 0.1 * item).astype(np.float32),
        "time": np.where(np.arange(size) < size - undated, time, -1),
    }


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dated") / "records"
    statistics = NumericStatistics(mean=0.0, std=1.0, minimum=-4.0, maximum=4.0, missing=0.0)
    schema = Schema(
        name="dated",
        features=(
            Sparse(name="user", ids=IdMap(kind="identity", size=6), side="user"),
            Sparse(name="item", dtype="bytes", ids=IdMap(size=10), side="ad"),
            Sparse(name="last_item", dtype="bytes", table="item", side="user"),
            Numeric(name="age", statistics=statistics, side="user"),
            Numeric(name="noise", statistics=statistics),
            Sequence(
                name="history",
                behaviour=(BehaviourColumn(name="past_items", table="item", target="item"),),
                times="past_times",
                max_length=2,
                side="user",
            ),
        ),
        labels=(Label(name="click", mean=0.5),),
        time="time",
        time_unit="ms",
    )
    draw = np.random.default_rng(0)
    splits = {"train": rows(2000, draw, days=4, undated=3), "validation": rows(200, draw, days=1)}
    write_records(directory, schema=schema, splits=splits, vocabularies={"item": ITEMS})
    return directory


@pytest.fixture(scope="module")
def run(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dated") / "run"
    left_out = ("noise",)  # a run without a feature keeps the columns of its data
    train_model(small(records, output, numeric="scaled", sequence="tim", calibrate=False, without_features=left_out))
    return output


def run_command(*arguments: str) -> int:
    return exit_code(export_command, *arguments)


def scores(export: Path, batch: dict[str, tf.Tensor], columns: list[str]) -> np.ndarray[Any, Any]:
    loaded = tf.saved_model.load(str(export))
    answers: np.ndarray[Any, Any] = loaded.signatures["serving_default"](**{n: batch[n] for n in columns})[
        "click"
    ].numpy()
    return answers


@pytest.mark.slow
def test_forgotten_ids_are_read_as_unknown_and_the_others_as_before(
    run: Path, records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "served"
    arguments = (f"--run={run}", f"--output={output}", "--expire_days=item:1.5", "--max_auc_loss=1")
    assert run_command(*arguments) == 0
    printed = capsys.readouterr().out
    assert "item: no training example of the last 1.5 days names 4 of 10 ids, which are left out" in printed
    assert "3 examples have no time: the ids that they name stay." in printed
    assert f"--expire_days=item:1.5 against all_ids on the validation split of {records}:" in printed

    assets = output / "1" / "assets"
    written = json.loads((assets / "expired_ids.json").read_text())
    assert written["tables"] == [{"table": "item", "days": 1.5, "ids": 4, "of": 10}]
    assert written["table_bytes"] < written["table_bytes_all_ids"]
    served = {owner.name: owner.ids for owner in read_schema(assets).tables}
    assert (served["item"].size, served["item"].max_size, served["user"].size) == (6, 6, 6)

    batch = dict(next(iter(read_records(records, split="validation", batch_size=200))))
    columns = [column.name for column in load_run(run).schema.input_columns]
    forgotten = np.isin(batch["item"].numpy(), np.array(FORGOTTEN, object))
    assert forgotten.any()
    assert (batch["item"].numpy() == IN_A_HISTORY).any()
    model = load_run(run).model
    trained = model({name: batch[name] for name in columns}, training=False)["click"].numpy()
    got = scores(output / "1", batch, columns)
    np.testing.assert_allclose(got[~forgotten], trained[~forgotten], atol=1e-6)
    unseen = {**batch, "item": tf.where(forgotten, b"never seen", batch["item"])}
    unknown = model({name: unseen[name] for name in columns}, training=False)["click"].numpy()
    np.testing.assert_allclose(got, unknown, atol=1e-6)
    assert np.abs(got - trained)[forgotten].max() > 1e-2
    largest = written["tasks"]["click"]["difference"]
    assert largest == pytest.approx(np.abs(got - trained).max(), abs=1e-5)
    # The run itself knows all of its ids.
    assert len(read_vocabulary(schema=read_schema(run), feature="item")) == 10


@pytest.mark.slow
def test_a_loss_above_the_limit_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "served"
    assert run_command(f"--run={run}", f"--output={output}", "--expire_days=item:0.5", "--max_auc_loss=0") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.startswith("error: --expire_days=item:0.5: the AUC of click falls from ")
    assert line.endswith("by more than --max_auc_loss=0. Nothing was exported.")
    assert not list(output.glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("itme:3", "there is no such table. Tables with a vocabulary: item."),
        ("last_item:3", "it shares the table of 'item'. Tables with a vocabulary: item."),
        ("user:3", "its ids are identity rows, not a vocabulary. Tables with a vocabulary: item."),
    ],
)
def test_tables_that_cannot_lose_ids(
    run: Path, tmp_path: Path, given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(f"--run={run}", f"--output={tmp_path / 'served'}", f"--expire_days={given}") == 1
    assert f"--expire_days={given}: {message}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_table_of_which_nothing_would_be_left(
    run: Path, records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = tmp_path / "others"
    nothing = np.zeros(50, np.int32)
    columns = {
        **rows(50, np.random.default_rng(1), days=1),
        "item": np.full(50, b"new", object),
        "last_item": np.full(50, b"new", object),
        "past_items": Ragged(np.array([], object), nothing),
        "past_times": Ragged(np.array([], np.int64), nothing),
    }
    schema = read_schema(records)
    write_records(others, schema=schema, splits={"train": columns}, vocabularies={"item": [b"new", *ITEMS[1:]]})
    assert run_command(f"--run={run}", f"--output={tmp_path / 'out'}", f"--data={others}", "--expire_days=item:3") == 1
    assert "--expire_days=item:3: every id of item is expired" in capsys.readouterr().err


@pytest.mark.slow
def test_records_with_times_in_another_unit(
    run: Path, records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = tmp_path / "seconds"
    shutil.copytree(records, seconds)
    write_schema(dataclasses.replace(read_schema(records), time_unit="s"), seconds)
    arguments = (f"--run={run}", f"--output={tmp_path / 'out'}", f"--data={seconds}", "--expire_days=item:3")
    assert run_command(*arguments) == 1
    assert f"of {seconds} holds times in s, but the model was trained with ms" in capsys.readouterr().err


@pytest.mark.slow
def test_without_event_times(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(f"--run={toy_run}", f"--output={tmp_path / 'out'}", "--expire_days=item:3") == 1
    assert "--expire_days needs event times" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--expire_days=item",), "'item' is not table:days, such as item_id:30"),
        (("--expire_days=item:0",), "'item:0' is not table:days"),
        (("--expire_days=item:nan",), "'item:nan' is not table:days"),
        (("--expire_days=item:1,item:2",), "--expire_days names a table twice. Received: item:1,item:2."),
        (("--max_auc_loss=0.1",), "takes effect only with --weights=int8 or bfloat16, or --expire_days"),
        (("--expire_days=item:1", "--max_difference=0.1"), "takes effect only with --weights=int8 or bfloat16"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("--run=r", "--output=o", *arguments) == 2
    assert message in capsys.readouterr().err
