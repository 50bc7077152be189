"""Runs compared by their predictions, and what is said of runs that cannot be."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from fullrank.analysis.compare import named_runs, run
from fullrank.analysis.comparisons.paired_gain import paired_gain

ROWS = 3000


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Predictions of three runs for the same examples: one knows the truth, one the rate, one errs in a region."""
    draw = np.random.default_rng(0)
    truth = 1 / (1 + np.exp(-draw.normal(-1, 1.5, ROWS)))
    region = draw.choice(["de", "fr"], ROWS)
    label = (draw.random(ROWS) < truth).astype(float)
    label[:10] = np.nan
    columns = {"user": draw.integers(0, 300, ROWS), "click": label, "region": region}
    scores = {
        "rate": np.full(ROWS, np.nanmean(label)),
        "truth": truth,
        "half": np.where(region == "de", truth, np.clip(1 - truth, 0.01, 0.99)),
    }
    directory = tmp_path_factory.mktemp("predicted")
    for name, score in scores.items():
        table = {**columns, "click": pa.array(label, from_pandas=True), "click_probability": score}
        pq.write_table(pa.table(table), directory / f"{name}.parquet")
    return directory, {**columns, **scores}


def compare(records: Path, output: Path, *arguments: str) -> dict[str, Any]:
    run(["compare", *arguments, f"--data={records}", f"--output={output}", "--draws=200"])
    found: dict[str, Any] = json.loads((output / "compare.json").read_text())
    return found


def test_metrics_gains_and_files(
    predicted: tuple[Path, dict[str, Any]], toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, columns = predicted
    files = [str(directory / f"{name}.parquet") for name in ("rate", "truth", "half")]
    named = [f"{name}:{file}" for name, file in zip(("rate", "truth", "half"), files, strict=True)]
    found = compare(toy_records, tmp_path / "out", *named)
    shown = capsys.readouterr().out
    overall = {row["run"]: row for row in found["rows"] if not row["segment"]}
    seen = ~np.isnan(columns["click"])
    assert overall["truth"]["auc"] == pytest.approx(roc_auc_score(columns["click"][seen], columns["truth"][seen]))
    assert overall["rate"]["ne"] == pytest.approx(1.0, abs=1e-6)
    assert overall["rate"]["gain"] is None
    expected = paired_gain(
        labels=columns["click"],
        baseline=columns["rate"],
        predictions=columns["truth"],
        keys=columns["user"],
        draws=200,
        columns=2,
    ).overall
    assert overall["truth"]["gain"] == pytest.approx(expected.gain)
    # Draws of the bootstrap depend on the order of the keys.
    assert (overall["truth"]["low"], overall["truth"]["high"]) == pytest.approx((expected.low, expected.high), rel=0.05)
    assert overall["truth"]["verdict"] == "better"
    segments = {(row["run"], row["value"]): row["verdict"] for row in found["rows"] if row["segment"] == "region"}
    assert segments["half", "de"] == "better"
    assert segments["half", "fr"] == "worse"
    assert found["worst"]["click"]["half"]["value"] == "fr"
    assert "worst segment of click with half: region=fr" in shown
    with open(tmp_path / "out" / "compare.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(found["rows"]) == 3 + 2 * 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "compare.csv",
        "compare.json",
        "gains.png",
        "click_truth_region.png",
        "click_half_region.png",
    }


def test_runs_are_named_by_their_last_part() -> None:
    assert named_runs(["runs/a", "new:runs/b"]) == {"a": "runs/a", "new": "runs/b"}
    assert named_runs(["one/run", "two/run"]) == {"one/run": "one/run", "two/run": "two/run"}


def test_flags_may_be_anywhere_and_have_their_values_after_a_space(
    predicted: tuple[Path, dict[str, Any]], toy_records: Path, tmp_path: Path
) -> None:
    directory, _ = predicted
    rate, truth = (f"{name}:{directory / name}.parquet" for name in ("rate", "truth"))
    run(["compare", "--draws", "50", rate, "--output", str(tmp_path / "out"), truth, "--data", str(toy_records)])
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert found["runs"] == ["rate", "truth"]


def test_bad_input_gets_one_line(
    predicted: tuple[Path, dict[str, Any]], toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, _ = predicted
    rate, truth = directory / "rate.parquet", directory / "truth.parquet"
    table = pq.read_table(truth)
    other = {
        "shuffled": table.take(np.random.default_rng(0).permutation(ROWS)),
        "short": table.slice(0, 100),
        "lacking": table.drop_columns(["region", "user"]),
        "unrelated": table.rename_columns(["user", "click", "region", "like_probability"]),
    }
    for name, content in other.items():
        pq.write_table(content, tmp_path / f"{name}.parquet")
    (tmp_path / "text.parquet").write_text("no")
    cases: list[tuple[list[Any], str]] = [
        ([rate], "needs two runs or more"),
        ([rate, tmp_path / "shuffled.parquet"], "shuffled.parquet has other values of 'user' than rate.parquet"),
        ([rate, tmp_path / "short.parquet"], "rate.parquet has 3,000 examples and short.parquet 100"),
        (
            [rate, tmp_path / "unrelated.parquet"],
            "no binary task in common. click: unrelated.parquet does not predict it",
        ),
        ([tmp_path / "lacking.parquet", truth], "lacking.parquet lacks the column(s) 'user', 'region', by which"),
        ([tmp_path / "lacking.parquet", truth], "`fullrank predict --columns=user,region`"),
        ([rate, tmp_path / "text.parquet"], "is not a Parquet file of predictions"),
        ([rate, truth, "--segments=regoin"], "'regoin' is not a column of 'toy'"),
        ([rate, truth, "--split=tst"], "has no split 'tst'"),
        ([f"a:{rate}", f"a:{truth}"], "Two runs have the same name"),
    ]
    for arguments, said in cases:
        with pytest.raises(SystemExit):
            compare(toy_records, tmp_path / "out", *map(str, arguments))
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ")
        assert said in line
    assert not (tmp_path / "out").exists()


def test_a_run_is_scored_on_the_data_that_it_was_trained_on(toy_run: Path, tmp_path: Path) -> None:
    """The same run twice: no gain, and nothing resolved."""
    run(["compare", f"first:{toy_run}", f"again:{toy_run}", f"--output={tmp_path / 'out'}", "--draws=50"])
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    again = [row for row in found["rows"] if row["run"] == "again" and not row["segment"]]
    assert [row["task"] for row in again] == ["click", "like"]
    assert all(row["gain"] == 0.0 and row["examples"] > 200 for row in again)
