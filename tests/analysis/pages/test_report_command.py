"""The report of runs: with everything, with little, with a baseline, of many fields and tasks, and of bad input."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank.analysis.figures.matrix import matrix_heatmap
from fullrank.analysis.pages import file_sections
from fullrank.analysis.report import run
from fullrank.data import IdMap, Label, Schema, Sparse, write_records


def report(output: Path, *arguments: str) -> str:
    run(["report", *arguments, f"--output={output}"])
    return re.sub(r"</?span>", "", output.read_text(encoding="utf-8"))


def card(page: str, question: str) -> str:
    """The verdict below a question, as text."""
    return page.split(f"<h2>{question}</h2>")[1].split("</article>")[0]


def test_a_run_is_scored_and_everything_else_is_reported_missing(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = report(tmp_path / "a.html", f"--run={toy_run}")
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "a.html")
    assert "No baseline was given" in card(page, "Is it better than the baseline, on every segment?")
    assert "is predicted" in card(page, "Are the probabilities right?")
    assert "Information abundance is" in card(page, "Did the embeddings keep their rank?")
    assert f"fullrank conflicts --run={toy_run}" in card(page, "Are the tasks free of conflicts?")
    for command in ("importance", "correlation", "entanglement"):
        assert f"<code>fullrank {command} " in page
    assert "Reliability of click" in page
    assert "click_ne during training" in page
    assert page.count("<svg") >= 6
    config = json.loads((toy_run / "config.json").read_text())
    assert config["data"]["fingerprint"] in page


def test_parts_of_a_run_and_a_baseline_are_shown(toy_run: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    shutil.copytree(toy_run, full)
    conflicts = {
        "tasks": ["click", "like"],
        "gates": {"click": {"a": 0.7, "b": 0.3}, "like": {"a": 0.2, "b": 0.8}},
        "cosines": {"set0": {"click": {"click": 1.0, "like": -0.5}, "like": {"click": -0.5, "like": 1.0}}},
    }
    features = {name: {"increase": 3.0, "reach": 0.1} for name in ("user", "item", "tags", "age")}
    importance = {"examples": 300, "tasks": {"click": features, "like": features}}
    for name, content in (("conflicts", conflicts), ("importance", importance)):
        (full / name).mkdir()
        (full / name / f"{name}.json").write_text(json.dumps(content))
    inspected = {
        "measures": {"share/set0/fields/age": 0.25, "rms/set0/fields/age": 0.1, "attention/set0/history": None},
        "asleep": [{"part": "set0/history", "why": "its attention is a plain mean", "do": "--sequence=mean"}],
        "pairs": {"gwpfm": [{"first": "user", "second": "item", "strength": 1.75}]},
        "uncertainty": {},
    }
    (full / "inspect").mkdir()
    (full / "inspect" / "parts.json").write_text(json.dumps(inspected))
    page = report(tmp_path / "b.html", f"--run={full}", f"--baseline={toy_run}")
    assert "1 part of it is asleep" in page
    assert "<td>its attention is a plain mean</td>" in page
    assert "Pairs that gwpfm weights" in page
    assert "0 of 2 tasks gain; no task and no segment is known to lose" in page
    assert "click by region" in page
    assert "click and like on set0 have a cosine of -0.50" in page
    assert "4 of 4 features" in page
    assert "What each task reads" in page


def test_cosines_below_zero_differ_from_zero(toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scale of cosines goes from -1 to 1; that of gates from 0 to 1."""
    drawn: dict[str, dict[str, Any]] = {}

    def remember(**arguments: Any) -> None:
        drawn[arguments["title"]] = arguments
        matrix_heatmap(**arguments)

    monkeypatch.setattr(file_sections, "matrix_heatmap", remember)
    full = tmp_path / "full"
    shutil.copytree(toy_run, full)
    (full / "conflicts").mkdir()
    conflicts = {
        "gates": {"click": {"a": 1.0}, "like": {"a": 1.0}},
        "cosines": {"set0": {"click": {"click": 1.0, "like": -0.5}, "like": {"click": -0.5, "like": 1.0}}},
    }
    (full / "conflicts" / "conflicts.json").write_text(json.dumps(conflicts))
    page = report(tmp_path / "d.html", f"--run={full}", "--noscore")
    cosines, gates = drawn["Gradients on set0"], drawn["What each task reads"]
    assert (cosines["smallest"], cosines["largest"]) == (-1.0, 1.0)
    assert cosines["values"].tolist() == [[1.0, -0.5], [-0.5, 1.0]]
    assert (gates["smallest"], gates["largest"]) == (0.0, 1.0)
    assert "-0.50" in page.replace("\N{MINUS SIGN}", "-")


def test_stated_uncertainty_of_a_head(toy_run: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    shutil.copytree(toy_run, full)
    config = json.loads((full / "config.json").read_text())
    config["config"]["model"]["head"] = "gp"
    (full / "config.json").write_text(json.dumps(config))
    page = report(tmp_path / "e.html", f"--run={full}", "--noscore")
    assert "How certain the model is about each example." in page
    groups = [
        {"examples": 50, "deviation": 0.1, "predicted": 0.3, "observed": 0.28},
        {"examples": 50, "deviation": 0.6, "predicted": 0.4, "observed": 0.5},
    ]
    of_task = {"quantiles": [0.05, 0.3, 0.9], "groups": groups}
    content = {"measures": {}, "asleep": [], "pairs": {}, "uncertainty": {"click": of_task}}
    (full / "inspect").mkdir()
    (full / "inspect" / "parts.json").write_text(json.dumps(content))
    page = report(tmp_path / "e.html", f"--run={full}", "--noscore")
    assert 'aria-label="Deviation of the logit of click"' in page
    assert "No part of it is asleep." in page


def test_a_run_that_cannot_be_scored_shows_its_evaluation(toy_run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(toy_run, alone)
    metrics = {"examples": 10, "auc": 0.7, "ne": None, "gauc": None, "ece": 0.01, "bias": 1.0, "base_rate": 0.3}
    page = report(tmp_path / "c.html", f"--run={alone}", "--noscore")
    assert f"<code>fullrank evaluate --run={alone} --json={alone}/eval.json</code>" in page
    (alone / "eval.json").write_text(json.dumps({"click": metrics}))
    page = report(tmp_path / "c.html", f"--run={alone}", f"--data={tmp_path}")
    assert "The records are no longer in" in page
    assert "0.7000" in page


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of 60 fields and 30 tasks, as files say, and predictions of it."""
    folder, draw, rows = tmp_path_factory.mktemp("wide"), np.random.default_rng(0), 500
    fields, tasks = [f"a_field_with_a_long_name_{k}" for k in range(60)], [f"conversion_type_{k}" for k in range(30)]
    schema = Schema(
        name="wide",
        features=tuple(Sparse(name=name, ids=IdMap(kind="identity", size=5)) for name in fields),
        labels=tuple(Label(name=name) for name in tasks),
    )
    columns = {name: draw.integers(0, 5, rows) for name in fields}
    labels = {name: (draw.random(rows) < 0.2).astype(np.float32) for name in tasks}
    write_records(folder / "records", schema=schema, splits={"test": {**columns, **labels}}, vocabularies={})
    run_folder = folder / "run"
    run_folder.mkdir()
    shutil.copy(folder / "records" / "schema.json", run_folder / "schema.json")
    config = {"config": {"data": {"data": str(folder / "records")}, "model": {"model": "ame", "tasks": tasks}}}
    (run_folder / "config.json").write_text(json.dumps(config))
    cosines = {"set0": {one: {two: 1.0 if one == two else -0.2 for two in tasks} for one in tasks}}
    gates = {task: {f"expert_{k}": 1 / 6 for k in range(6)} for task in tasks}
    importance = {"examples": rows, "tasks": {t: {f: {"increase": 1.0, "reach": 0.1} for f in fields} for t in tasks}}
    for name, content in (
        ("conflicts", {"tasks": tasks, "gates": gates, "cosines": cosines}),
        ("importance", importance),
    ):
        (run_folder / name).mkdir()
        (run_folder / name / f"{name}.json").write_text(json.dumps(content))
    scores = {f"{name}_probability": np.clip(0.2 + 0.1 * draw.normal(size=rows), 0.01, 0.9) for name in tasks}
    pq.write_table(pa.table({**labels, **scores}), folder / "scores.parquet")
    return folder


def test_many_fields_and_tasks(wide: Path, tmp_path: Path) -> None:
    """Figures are of the few tasks that matter most; the others are in tables, so that the page stays small."""
    page = report(tmp_path / "wide.html", f"--run={wide / 'run'}", f"--predictions={wide / 'scores.parquet'}")
    assert page.count("Reliability of") <= 2 * 6 + 1
    assert "Figures are of the 6 most biased of 30 tasks" in page
    assert "conversion_type_29" in page
    assert "435 of 435 pairs of tasks conflict" in page
    assert len(page) < 4_000_000


@pytest.mark.skipif(shutil.which("chromium") is None, reason="apt-get install chromium")
def test_a_browser_shows_the_page_without_errors(wide: Path, tmp_path: Path) -> None:
    report(tmp_path / "wide.html", f"--run={wide / 'run'}", f"--predictions={wide / 'scores.parquet'}")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--enable-logging=stderr",
    ]
    shot = [
        f"--screenshot={tmp_path / 'shot.png'}",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1400,900",
    ]
    command = ["chromium", *flags, *shot, f"file://{tmp_path / 'wide.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "CONSOLE" not in done.stderr
    assert (tmp_path / "shot.png").stat().st_size > 10_000


def test_bad_input_gets_one_line(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, broken = tmp_path / "other", tmp_path / "broken"
    for place in (other, broken):
        place.mkdir()
        for name in ("schema.json", "config.json"):
            shutil.copy(toy_run / name, place / name)
    config = json.loads((toy_run / "config.json").read_text())
    config["data"]["examples"] = {"train": 5}
    (other / "config.json").write_text(json.dumps(config))
    (broken / "eval.json").write_text("{")
    cases = [
        ([f"--run={tmp_path / 'none'}"], "is not a run directory"),
        ([f"--run={toy_run}", f"--baseline={other}"], "was trained on other data"),
        ([f"--run={broken}"], "eval.json is damaged"),
        ([f"--run={toy_run}", "--split=tst"], "has no split 'tst'"),
    ]
    for arguments, said in cases:
        with pytest.raises(SystemExit):
            report(tmp_path / "no.html", *arguments)
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ")
        assert said in line
    with pytest.raises(SystemExit):
        report(tmp_path / "no.txt", f"--run={toy_run}")
    assert "the page must be an .html file" in capsys.readouterr().err
    assert not (tmp_path / "no.html").exists()
