"""`--table_widths` through the commands: training, evaluation, export, what reads the tables, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ran_commands import ran

from fullrank.analysis import collapse
from fullrank.trainers import evaluate, export, predict, train

FLAGS = (
    "--model=me",
    "--widths=4,8",
    "--expert_width=8",
    "--hidden=8",
    "--tower=8",
    "--batch_size=64",
    "--epochs=2",
    "--table_learning_rate=0.2",
    "--table_widths=user:2,item:4",
    "--notensorboard",
)


@pytest.fixture(scope="module")
def narrow_run(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("narrow") / "run"
    train.run(["train", f"--data={toy_records}", f"--output={run}", *FLAGS])
    return run


def test_tables_have_their_widths_in_every_wider_set(narrow_run: Path) -> None:
    layout = json.loads((narrow_run / "tables.json").read_text())
    widths = {(v["set"], table["name"]): v["width"] for v in layout["variables"] for table in v["tables"]}
    assert {(s, t): w for (s, t), w in widths.items() if t in ("user", "item", "age")} == {
        ("set0", "user"): 2,
        ("set1", "user"): 2,
        ("set0", "item"): 4,
        ("set1", "item"): 4,
        ("set0", "age"): 4,
        ("set1", "age"): 8,
    }


def predicted(capsys: pytest.CaptureFixture[str], model: str, records: Path, file: Path) -> Any:
    code, _, err = ran(capsys, predict.run, model, f"--data={records}", f"--output={file}")
    assert code == 0, err
    return pq.read_table(file)["click_probability"].to_numpy()


@pytest.mark.slow
def test_a_narrow_run_is_evaluated_exported_and_analysed(
    narrow_run: Path, toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(capsys, evaluate.run, f"--run={narrow_run}", f"--json={tmp_path / 'e.json'}")[0] == 0
    assert json.loads((tmp_path / "e.json").read_text())["click"]["auc"] > 0.65
    scores = {}
    for weights, limits in (("float32", ()), ("int8", ("--max_difference=0.1", "--max_auc_loss=0.01"))):
        flags = (f"--run={narrow_run}", f"--output={tmp_path / weights}", f"--weights={weights}", *limits)
        code, _, err = ran(capsys, export.run, *flags)
        assert code == 0, err
        scores[weights] = predicted(
            capsys, f"--export={tmp_path / weights}", toy_records, tmp_path / f"{weights}.parquet"
        )
    of_run = predicted(capsys, f"--run={narrow_run}", toy_records, tmp_path / "run.parquet")
    np.testing.assert_allclose(scores["float32"], of_run, atol=1e-6)
    np.testing.assert_allclose(scores["int8"], of_run, atol=0.1)
    code, out, err = ran(capsys, collapse.run, f"--input={narrow_run}", f"--output={tmp_path / 'collapse'}")
    assert code == 0, err
    assert "user" in out


@pytest.mark.slow
def test_a_narrow_run_starts_another_one(
    narrow_run: Path, toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (
        f"--data={toy_records}",
        f"--start={narrow_run}",
        f"--output={tmp_path / 'run'}",
        *FLAGS[:-3],
        "--notensorboard",
    )
    code, _, err = ran(capsys, train.run, *flags)
    assert code == 1
    assert "table_widths" in err
    code, out, err = ran(capsys, train.run, *flags, FLAGS[-2])
    assert code == 0, err
    assert f"starts from {narrow_run}" in out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("user", "'user' is not feature:width, such as user_id:4"),
        ("user:0", "'user:0' is not feature:width"),
        ("user:8", "'user:8' is narrower than no embedding set. Their widths: 4, 8."),
        ("user:2,user:3", "names a feature twice"),
        ("usr:2", "there is no table 'usr'. Tables: user, item, tags, age"),
    ],
)
def test_what_cannot_be_is_refused(
    given: str, said: str, toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (f"--data={toy_records}", f"--output={tmp_path / 'run'}", *FLAGS[:-2], f"--table_widths={given}")
    code, _, err = ran(capsys, train.run, *flags)
    assert code in (1, 2)
    assert said in err
    assert not (tmp_path / "run").exists()
