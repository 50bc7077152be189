"""Evaluating a run against another one by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ran_commands import run as exit_code

from fullrank.analysis import paired_gain
from fullrank.analysis.comparisons.key_bootstrap import LEAST_KEYS
from fullrank.trainers import evaluate
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.evaluation import against_baseline
from fullrank.trainers.evaluation.configs import PredictConfig
from fullrank.trainers.evaluation.predict_run import predict_run
from fullrank.trainers.evaluation.score import ScoredRows
from fullrank.trainers.training.train_model import train_model


def run_main(*arguments: str) -> int:
    return exit_code(evaluate, *arguments)


def train(records: Path, output: Path, *, tasks: tuple[str, ...]) -> Path:
    train_model(
        RunConfig(
            data=DataConfig(data=str(records), batch_size=64),
            model=ModelConfig(model="single", experts=("flat",), tasks=tasks, widths=(4,), hidden=(8,), tower=()),
            train=TrainConfig(output=str(output), epochs=1, steps_per_epoch=10, progress="none", tensorboard=False),
        )
    )
    return output


@pytest.fixture(scope="module")
def weak_run(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one task that has seen little."""
    return train(toy_records, tmp_path_factory.mktemp("weak") / "run", tasks=("click",))


def test_gain_over_a_baseline_by_segment(
    toy_run: Path, weak_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--run={toy_run}", f"--baseline={weak_run}", "--segments=region,item"]
    assert run_main(*flags, f"--json={tmp_path}/eval.json", f"--output={tmp_path}/figures") == 0
    result = json.loads((tmp_path / "eval.json").read_text())
    assert "gain" not in result["like"]  # the baseline does not predict it
    gain = result["click"]["gain"]
    assert gain["baseline"] == str(weak_run)
    assert gain["ne"] == pytest.approx(result["click"]["ne"], rel=1e-5)
    assert gain["verdict"] == "better"
    assert 0 < gain["low"] < gain["gain"] < gain["high"]
    assert set(gain["segments"]) == {"region", "item"}
    for region, entry in gain["segments"]["region"].items():
        assert entry["ne"] == pytest.approx(result["click"]["segments"]["region"][region]["ne"], rel=1e-5)
        assert entry["keys"] == 10  # users 0..29, user % 3 is the region
        assert entry["verdict"] == "too few keys"
        assert entry["gain"] is not None
        assert entry["low"] is entry["high"] is entry["low_of_all"] is None
    assert gain["worst"] is None
    shown = capsys.readouterr().out.splitlines()
    assert f"NE gain over {weak_run} in percent, 95 % intervals by user:" in shown
    assert sum("worst segment of click: not known, because no segment" in line for line in shown) == 1
    figure = tmp_path / "figures" / "click_region_gain.png"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_worst_segment_of_several_columns() -> None:
    """Its interval holds for all segments of all columns; a segment of few keys cannot be the worst."""
    draw = np.random.default_rng(0)
    labels, old = (draw.random(4000) < 0.3).astype(float), np.full(4000, 0.3)
    columns = {"region": np.arange(4000) % 2, "device": np.where(np.arange(4000) < 20, 2, np.arange(4000) // 3 % 2)}
    # Worse on device 1, and far worse on the 20 rows of device 2.
    new = np.clip(np.where(labels > 0, 0.4, 0.25) - 0.2 * columns["device"] * labels, 0.01, 0.99)
    given: dict[str, Any] = {"labels": labels, "baseline": old, "predictions": new, "draws": 200}
    gains = {name: paired_gain(**given, segments=values, columns=2) for name, values in columns.items()}
    found = against_baseline.to_json(gains, baseline="runs/old", min_keys=LEAST_KEYS)
    worst = found["worst"]
    assert (worst["column"], worst["value"], worst["verdict_of_all"]) == ("device", "1", "worse")
    assert worst["low_of_all"] < worst["low"] < worst["gain"] < worst["high"] < worst["high_of_all"] < 0
    assert found["segments"]["device"]["2"]["verdict"] == "too few keys"
    assert found["segments"]["device"]["2"]["gain"] < worst["gain"]
    text = against_baseline.describe({"click": gains}, min_keys=LEAST_KEYS)
    assert f"worst segment of click: device=1, NE gain {worst['gain']:+.3f} % [" in text
    assert "] for all segments at once, " in text
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_gain_is_that_of_the_predictions(toy_run: Path, weak_run: Path, tmp_path: Path) -> None:
    assert run_main(f"--run={toy_run}", f"--baseline={weak_run}", f"--json={tmp_path}/e.json") == 0
    found = json.loads((tmp_path / "e.json").read_text())["click"]["gain"]
    tables = []
    for name, run in (("new", toy_run), ("old", weak_run)):
        predict_run(PredictConfig(run=str(run), output=str(tmp_path / f"{name}.parquet"), columns=("region",)))
        tables.append(pq.read_table(tmp_path / f"{name}.parquet"))
    new, old = tables
    expected = paired_gain(
        labels=new["click"].to_numpy(),
        baseline=old["click_probability"].to_numpy(),
        predictions=new["click_probability"].to_numpy(),
        segments=np.array(new["region"].to_pylist()),
        keys=new["user"].to_numpy(),
    )
    assert found["gain"] == pytest.approx(expected.overall.gain, rel=1e-6)
    for segment in expected.segments:
        assert found["segments"]["region"][segment.segment]["gain"] == pytest.approx(segment.gain, rel=1e-6)


def test_a_run_against_itself_gains_nothing(weak_run: Path, tmp_path: Path) -> None:
    assert run_main(f"--run={weak_run}", f"--baseline={weak_run}", f"--json={tmp_path}/e.json") == 0
    gain = json.loads((tmp_path / "e.json").read_text())["click"]["gain"]
    assert (gain["gain"], gain["low"], gain["high"], gain["verdict"]) == (0.0, 0.0, 0.0, "not resolved")


def test_runs_without_a_common_task_are_refused(
    weak_run: Path, toy_records: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = train(toy_records, tmp_path / "other", tasks=("like",))
    assert run_main(f"--run={other}", f"--baseline={weak_run}") == 1
    assert "predicts click, the run like: there is no binary task to compare" in capfd.readouterr().err
    assert run_main(f"--run={other}", "--baseline=nowhere") == 1
    assert "nowhere is not a run directory" in capfd.readouterr().err


def test_rows_keep_ids_as_codes() -> None:
    rows = ScoredRows()
    first: dict[str, Any] = {"user": np.array([7, -1, 7]), "shop": np.array([b"a", b"b", b"a"], object)}
    second: dict[str, Any] = {"user": np.array([-1, 3]), "shop": np.array([b"c", b"a"], object)}
    for batch in (first, second):
        rows.add({**batch, "w": np.full(len(batch["user"]), np.nan)}, {"click": np.ones(len(batch["user"]))})
    keys = rows.keys("user")
    assert keys[0] == keys[2]
    assert len(np.unique(keys)) == 4  # 7, 3, and each row without a user for itself
    assert rows.segments("shop", largest=3, others="(others)").tolist() == ["a", "b", "a", "c", "a"]
    assert rows.segments("shop", largest=1, others="(others)").tolist() == ["a", "(others)", "a", "(others)", "a"]
    assert rows.weights("w").tolist() == [1.0] * 5
    assert not rows.has_label("w", weight=None)
