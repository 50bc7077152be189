"""The command of a study with stand-ins for its runs: order, resumption, what failed, and whose directory it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobs_here import run_jobs_here
from ran_commands import ran

from fullrank.trainers import study as command
from fullrank.trainers.studies import run as study_run
from fullrank.trainers.studies.job import Job
from fullrank.trainers.studies.pool import read_results

PLAN: dict[str, Any] = {
    "name": "tiny",
    "question": "Is b better?",
    "baseline": "a",
    "variants": {"a": [], "b": ["--widths=8"]},
    "expected": {"b": "better"},
    "flags": ["--epochs=1"],
}


class Runs:
    """Stands in for the runs; b comes to .1 more than a, and the runs of `failing` fail."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.failing: set[tuple[str, int]] = set()

    @property
    def names(self) -> list[tuple[str, int]]:
        return [(job.variant, job.seed) for job in self.jobs]

    def __call__(self, job: Job) -> list[dict[str, Any]]:
        self.jobs.append(job)
        line: dict[str, Any] = {"variant": job.variant, "seed": job.seed, "cpu_seconds": 1.0}
        if (job.variant, job.seed) in self.failing:
            return [{**line, "error": "RuntimeError: boom"}]
        auc = 0.6 + 0.1 * (job.variant == "b") + 0.001 * job.seed
        statistics = {"auc": auc, "ne": 1 - auc, "segments": {}}
        return [{**line, "tasks": {"click": statistics}, "best_epoch": 1, "weights": 9}]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    found = Runs()
    monkeypatch.setattr(study_run, "run_job", found)
    monkeypatch.setattr(study_run, "run_jobs", run_jobs_here)
    return found


@pytest.fixture
def studied(toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `fullrank study` with a plan into `out`; gives code, output and error output."""

    def study(*flags: str, **changes: Any) -> tuple[int, str, str]:
        file = tmp_path / "plan.json"
        file.write_text(json.dumps({**PLAN, **changes}))
        given = (f"--study={file}", f"--data={toy_records}", f"--output={tmp_path / 'out'}", "--seeds=1,2", *flags)
        return ran(capsys, command.run, *given)

    return study


def test_every_variant_runs_with_every_seed_and_the_report_compares_them(
    runs: Runs, studied: Callable[..., Any], tmp_path: Path
) -> None:
    code, out, _ = studied()
    assert code == 0
    assert out.startswith("tiny: Is b better?\n4 of 4 runs to do, 2 at a time.\n")
    assert runs.names == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert runs.jobs[1].flags == (("--epochs=1", "--widths=8"),)
    assert not any(job.keep for job in runs.jobs)
    report = (tmp_path / "out" / "report.md").read_text()
    assert "(+0.1000 [+0.1000, +0.1000])" in report
    assert "as expected" in report
    assert report in out
    assert (tmp_path / "out" / "figures" / "click_auc.png").exists()


def test_what_failed_is_counted_and_run_again(runs: Runs, studied: Callable[..., Any], tmp_path: Path) -> None:
    runs.failing = {("b", 2)}
    code, out, err = studied()
    assert code == 1
    assert "b, seed 2 failed: RuntimeError: boom" in out + err
    assert "Failed: b, seed 2: RuntimeError: boom" in out
    runs.failing, runs.jobs = set(), []
    code, out, _ = studied()
    assert (code, runs.names) == (0, [("b", 2)])
    assert "1 of 4 runs to do" in out
    assert "Failed" not in out
    lines = read_results(tmp_path / "out" / "results.jsonl")
    assert [(line["variant"], line["seed"], "error" in line) for line in lines[3:]] == [("b", 2, True), ("b", 2, False)]


def test_a_baseline_that_others_read_runs_first_and_is_kept(runs: Runs, studied: Callable[..., Any]) -> None:
    variants = {"b": ["--teacher={baseline}"], "a": []}
    code, _, err = studied(variants=variants, expected={})
    assert code == 0, err
    assert runs.names == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert [job.keep for job in runs.jobs] == [True, True, False, False]
    assert f"--teacher={runs.jobs[1].run}" in runs.jobs[3].flags[0]


def test_a_directory_is_of_one_study_that_may_grow(runs: Runs, studied: Callable[..., Any], tmp_path: Path) -> None:
    assert studied("--variants=b")[0] == 0
    grown = {**PLAN["variants"], "c": ["--widths=16"]}
    code, out, _ = studied("--variants=c", variants=grown)
    assert code == 0
    assert "2 of 4 runs to do" in out
    assert set(json.loads((tmp_path / "out" / "study.json").read_text())["variants"]) == {"a", "b", "c"}
    code, _, err = studied("--flags=--seed=3")
    assert code == 1
    assert "holds another study (flags differ): choose another --output." in err
    code, _, err = studied(variants={**PLAN["variants"], "b": ["--widths=4"]})
    assert code == 1
    assert "holds another study (b differ)" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--study=sequence",), "Did you mean 'sequences'?"),
        (("--variants=c",), "study tiny has no 'c', but a, b."),
        (("--data=nowhere",), "nowhere"),
        (("--seeds=1,1",), "--seeds needs different seeds"),
        (("--flags=--epochs=0",), "variant 'a': --epochs has to be at least 1"),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    flags: tuple[str, ...], message: str, runs: Runs, studied: Callable[..., Any], tmp_path: Path
) -> None:
    code, _, err = studied(*flags)
    assert code != 0
    assert message in err
    assert not runs.jobs
    assert not (tmp_path / "out").exists()


def test_the_list_names_studies_and_variants(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, command.run, "--list")
    assert code == 0
    lines = out.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("tasks_census: "))
    assert lines[place + 1] == "    single, shared_bottom, mmoe, ple, me_mmoe, stem, ame"
