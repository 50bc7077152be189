"""A job of a study: its training and evaluation in one line of results, and the worker processes that run jobs."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.studies import pool
from fullrank.trainers.studies.job import Job, run_job, start_worker
from fullrank.trainers.studies.pool import appended_to, read_results, run_jobs
from fullrank.trainers.training import train_model as training


@pytest.fixture
def job(toy_records: Path, tmp_path: Path) -> Job:
    return Job(
        variant="a",
        seed=3,
        data=str(toy_records),
        flags=(("--epochs=1",),),
        run=str(tmp_path / "run"),
        split="test",
        segments=("region",),
        duplicates=None,
        abundance=True,
        keep=False,
    )


@pytest.fixture
def trained(toy_run: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configurations that were trained; each training leaves a copy of `toy_run`."""
    found: list[RunConfig] = []

    def train_model(config: RunConfig, *, command: list[str]) -> dict[str, Any]:
        assert command == ["study", *(f"--epochs={config.train.epochs}",)]
        found.append(config)
        print("words of a training")
        shutil.copytree(toy_run, config.train.output)
        return {"best_epoch": 2, "weights": 100}

    monkeypatch.setattr(training, "train_model", train_model)
    return found


def test_a_job_trains_evaluates_and_removes_its_run(
    job: Job, trained: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = run_job(job)
    assert "error" not in line, line["error"]
    assert capsys.readouterr().out == ""
    assert [(config.train.seed, config.train.epochs, config.train.output) for config in trained] == [(3, 1, job.run)]
    assert (line["variant"], line["seed"], line["best_epoch"], line["weights"]) == ("a", 3, 2, 100)
    click, like = line["tasks"]["click"], line["tasks"]["like"]
    assert click["examples"] == 300
    assert click["auc"] > 0.75
    assert sum(entry["examples"] for entry in click["segments"]["region"].values()) == 300
    assert set(click["segments"]["region"]) == {"de", "fr", "jp"}
    # What is measured of the tables belongs to no task.
    assert click["ia"] == like["ia"] > 1.0
    assert 0.0 < click["ia_share"] <= 1.0
    assert json.loads(json.dumps(line, allow_nan=False)) == line
    assert not Path(job.run).exists()


def test_a_failed_job_says_where_and_leaves_nothing(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_model(config: RunConfig, *, command: list[str]) -> dict[str, Any]:
        Path(config.train.output).mkdir()
        raise RuntimeError("no memory")

    monkeypatch.setattr(training, "train_model", train_model)
    (line,) = run_job(job)
    assert line["error"].startswith("RuntimeError: no memory (test_job.py:")
    assert "tasks" not in line
    assert not Path(job.run).exists()
    run_job(dataclasses.replace(job, keep=True))
    assert Path(job.run).exists()


def test_a_worker_process_has_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("TF_CPP_MIN_LOG_LEVEL", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    for name in names:
        monkeypatch.setenv(name, "")
    level = tf.get_logger().level
    try:
        start_worker(3)
        assert [os.environ[name] for name in names] == ["3", "3", "3"]
        assert tf.get_logger().getEffectiveLevel() >= 40
    finally:
        tf.get_logger().setLevel(level)


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes that load neither TensorFlow nor the script that runs the tests."""
    monkeypatch.setattr(pool, "start_worker", abs)
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))


@pytest.mark.usefixtures("light")
def test_jobs_run_in_processes_that_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_RUNS_A_PROCESS", 2)
    found: list[float] = []
    run_jobs([1.0, 4.0, 9.0], math.sqrt, done=found.append, workers=1, title="roots", unit="root")
    assert found == [1.0, 2.0, 3.0]
    run_jobs([], math.sqrt, done=found.append, workers=1, title="roots")
    assert len(found) == 3


@pytest.mark.usefixtures("light")
def test_what_a_job_raises_ends_all() -> None:
    found: list[float] = []
    with pytest.raises(ValueError, match=r"domain|nonnegative"):
        run_jobs([-1.0, 4.0], math.sqrt, done=found.append, workers=1, title="roots")
    assert found == []


def test_a_line_that_a_kill_has_cut_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text('{"variant": "a", "seed": 1}\n{"variant": "b", "se')
    with appended_to(file) as append:
        append([{"variant": "b", "seed": 1, "error": "boom"}])
    assert [line["variant"] for line in read_results(file)] == ["a", "b"]
    captured = capsys.readouterr()
    assert "b, seed 1 failed: boom" in captured.out + captured.err
    with appended_to(tmp_path / "new.jsonl") as append, pytest.raises(ValueError, match="JSON compliant"):
        append([{"variant": "b", "seed": 1, "auc": math.nan}])
