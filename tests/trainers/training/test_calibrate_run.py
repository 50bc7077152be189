"""Calibration of a run: from training through result.json to evaluation and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ran_commands import run

from fullrank.data import prepare
from fullrank.trainers import evaluate, export, predict, train
from fullrank.trainers.training.load_run import load_run

FLAGS = ["--model=single", "--widths=4", "--tower=8", "--hidden=8", "--dropout=0", "--unknown_share=0", "--seed=2"]
FLAGS += ["--epochs=1", "--steps_per_epoch=400", "--batch_size=64", "--table_learning_rate=0.5", "--deterministic"]
FLAGS += ["--tasks=click,like", "--progress=none", "--notensorboard", "--best_of_tasks"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records whose users and ads are few enough to be learned by heart, and a run with calibration and one without."""
    folder = tmp_path_factory.mktemp("calibrated")
    records = f"--output={folder / 'records'}"
    assert run(prepare, "--dataset=synthetic", "--rows=6000", records, "--noprogress") == 0
    for name, more in (("plain", ["--nocalibrate"]), ("run", [])):
        assert run(train, f"--data={folder / 'records'}", f"--output={folder / name}", *FLAGS, *more) == 0
    return folder


def result(directory: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    return loaded


def evaluated(runs: Path, name: str, *more: str) -> dict[str, Any]:
    file = runs / f"{name}.json"
    assert run(evaluate, f"--run={runs / name}", "--split=validation", f"--json={file}", *more) == 0
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def test_what_was_learned_by_heart_is_less_sure_afterwards(runs: Path) -> None:
    found = result(runs / "run")["calibration"]["best"]["click"]
    assert 0 < found["scale"] < 0.9
    assert found["ne"] < found["ne_before"]
    plain, calibrated = evaluated(runs, "plain")["click"], evaluated(runs, "run")["click"]
    assert plain["ne"] == pytest.approx(found["ne_before"], rel=1e-5)
    # Of bins of the logit, a 128th wide; the error falls with the number of rows.
    assert calibrated["ne"] == pytest.approx(found["ne"], rel=1e-4)
    # The order is the same; AUC is counted on a grid of logits, whose cells they change.
    assert calibrated["auc"] == pytest.approx(plain["auc"], abs=5e-4)
    assert result(runs / "plain")["calibration"] == {}


def test_the_best_weights_of_a_task_have_a_calibration_of_their_own(runs: Path) -> None:
    found = result(runs / "run")["calibration"]["best-click"]["click"]
    assert evaluated(runs, "run", "--best_of=click")["click"]["ne"] == pytest.approx(found["ne"], rel=1e-4)


def test_an_export_predicts_what_the_run_does(runs: Path) -> None:
    assert run(export, f"--run={runs / 'run'}", f"--output={runs / 'serving'}") == 0
    tables = []
    for name, source in (("run", f"--run={runs / 'run'}"), ("export", f"--export={runs / 'serving'}")):
        assert run(predict, source, f"--data={runs / 'records'}", f"--output={runs / name}.parquet") == 0
        tables.append(pq.read_table(runs / f"{name}.parquet"))
    for task in ("click", "like"):
        mine, served = (table[f"{task}_probability"].to_numpy() for table in tables)
        np.testing.assert_allclose(mine, served, atol=1e-5)


@pytest.mark.parametrize("entry", [{"scale": -1.0, "shift": 0.0}, {"scale": 1.0}, {"scale": "x", "shift": 0.0}, []])
def test_a_damaged_calibration_is_named(runs: Path, entry: Any) -> None:
    file = runs / "run" / "result.json"
    before = file.read_text(encoding="utf-8")
    content = json.loads(before)
    content["calibration"]["best"]["click"] = entry
    file.write_text(json.dumps(content), encoding="utf-8")
    try:
        with pytest.raises(ValueError, match=r"result\.json is damaged: its calibration of best cannot be applied"):
            load_run(runs / "run")
    finally:
        file.write_text(before, encoding="utf-8")
