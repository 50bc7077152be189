"""Studies: paired intervals by hand, plans from files, and a whole study that is stopped and resumes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from fullrank.analysis.comparisons.paired import paired_difference
from fullrank.trainers.studies.catalogue import STUDIES
from fullrank.trainers.studies.job import config_of
from fullrank.trainers.studies.plan import Study, StudyConfig, read_study
from fullrank.trainers.studies.pool import read_results
from fullrank.trainers.studies.report import write_report
from fullrank.trainers.studies.run import chosen, jobs_of

PLAN = {"name": "tiny", "question": "?", "baseline": "a", "variants": {"a": [], "b": ["--widths=8"]}}


def test_paired_interval_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, standard deviation 1, error 1 / sqrt(3), and t(.975, 2) = 4.302653.
    found = paired_difference(values=[2.0, 4.0, 6.0], baseline=[1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(2.0)
    assert found.high - found.mean == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert found.verdict("+") == "not resolved"  # 2 - 2.48 < 0
    steady = paired_difference(values=[2.0, 3.1, 4.0], baseline=[1.0, 2.0, 3.0])
    assert (steady.verdict("+"), steady.verdict("-")) == ("as expected", "opposite")
    single = paired_difference(values=[1.0], baseline=[0.0])
    assert (single.mean, single.verdict("+")) == (1.0, "not resolved")
    assert math.isnan(single.low)
    assert math.isnan(single.high)
    with pytest.raises(ValueError, match="equal lengths"):
        paired_difference(values=[1.0], baseline=[])


def test_a_plan_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(PLAN))
    assert read_study(file).variants == {"a": (), "b": ("--widths=8",)}
    for change, message in (
        ({"baselin": "a"}, "did you mean 'baseline'"),
        ({"baseline": "c"}, "which is not a variant"),
        ({"variants": {"a": "--x"}}, "list of texts"),
        ({"expected": {"b": "up"}}, "better or worse"),
        ({"duplicates": ["ad_id"]}, "duplicates has to be text"),
    ):
        file.write_text(json.dumps({**PLAN, **change}))
        with pytest.raises(ValueError, match=message):
            read_study(file)


def test_a_flag_that_no_run_could_read_is_found_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    for flag, message in (("--widht=8", "did you mean"), ("--epochs=0", "at least 1"), ("epochs", "is not a flag")):
        file.write_text(json.dumps({**PLAN, "variants": {"a": [], "b": [flag]}}))
        study = read_study(file)
        config = StudyConfig(study=str(file), data="records", output=str(tmp_path / "out"), seeds=(1,))
        first, second = jobs_of(study, config)
        assert config_of(first).train.seed == 1
        with pytest.raises(ValueError, match=message):
            config_of(second)


@pytest.mark.slow
def test_a_study_from_the_command_line_goes_on_and_reports_what_failed(toy_records: Path, tmp_path: Path) -> None:
    file, output = tmp_path / "plan.json", tmp_path / "out"
    shared = ["--epochs=1", "--model=single", "--batch_size=64", "--monitor=auc"]
    variants = {"a": [], "b": ["--widths=8"], "c": ["--tasks=nothing"]}
    file.write_text(json.dumps({**PLAN, "flags": shared, "variants": variants}))
    command = [sys.executable, "-m", "fullrank.trainers.study", f"--study={file}", f"--output={output}", "--seeds=1,2"]

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, check=False)

    nowhere = call(f"--data={tmp_path / 'nowhere'}")
    assert nowhere.returncode == 1
    assert "no such file" in nowhere.stderr
    assert not output.exists()
    whole = call(f"--data={toy_records}")
    assert whole.returncode == 1
    assert "c, seed 1" in whole.stdout
    assert "no label 'nothing'" in whole.stdout
    assert {
        (line["variant"], line["seed"]) for line in read_results(output / "results.jsonl") if "error" not in line
    } == {
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("b", 2),
    }
    again = call(f"--data={toy_records}", "--variants=b")
    assert again.returncode == 0
    assert "0 of 4 runs to do" in again.stdout
    assert not list((output / "runs").glob("*"))


def test_jobs_go_seed_by_seed_and_the_baseline_always_runs() -> None:
    study = Study(name="s", question="?", baseline="a", variants={"a": (), "b": (), "c": ()}, flags=("--epochs=1",))
    config = StudyConfig(study="s", data="records", output="out", seeds=(1, 2), variants=("c",))
    jobs = jobs_of(chosen(study, config), config)
    assert [(job.variant, job.seed) for job in jobs] == [("a", 1), ("c", 1), ("a", 2), ("c", 2)]
    with pytest.raises(ValueError, match="has no 'd'"):
        chosen(study, StudyConfig(study="s", data="records", output="out", variants=("d",)))


def test_a_cut_line_is_not_a_result(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text('{"variant": "a", "seed": 1}\n{"variant": "b", "se')
    assert read_results(file) == [{"variant": "a", "seed": 1}]
    assert read_results(tmp_path / "none.jsonl") == []


def test_the_report_says_what_came_out(tmp_path: Path) -> None:
    def line(variant: str, seed: int, auc: float) -> dict[str, object]:
        statistics = {"auc": auc, "ne": 1 - auc, "segments": {}}
        return {
            "variant": variant,
            "seed": seed,
            "tasks": {"click": statistics},
            "best_epoch": 1,
            "cpu_seconds": 1.0,
            "weights": 9,
        }

    study = Study(name="s", question="?", baseline="a", variants={"a": (), "b": (), "c": ()}, expected={"b": "better"})
    lines = [line("a", 1, 0.7), line("a", 2, 0.71), line("b", 1, 0.75), line("b", 2, 0.7601)]
    text = write_report(study, [*lines, {"variant": "c", "seed": 1, "error": "boom"}], directory=tmp_path, records="r")
    assert "+0.0500" in text or "+0.0501" in text
    assert "as expected" in text
    assert "Failed: c, seed 1: boom" in text
    assert (tmp_path / "report.md").read_text() == text
    assert (tmp_path / "figures" / "click_auc.png").stat().st_size > 5000


def test_a_variant_of_one_task_a_model_is_a_run_a_task() -> None:
    study = Study(
        name="s",
        question="?",
        baseline="single",
        variants={"single": ("--widths=8",), "both": (), "own": ("--tasks=like",)},
        flags=("--epochs=1",),
        tasks=("click", "like"),
        one_task_a_model=("single",),
    )
    assert study.runs_of("single") == (
        ("--epochs=1", "--widths=8", "--tasks=click"),
        ("--epochs=1", "--widths=8", "--tasks=like"),
    )
    assert study.runs_of("both") == (("--epochs=1", "--tasks=click,like"),)
    assert study.runs_of("own") == (("--epochs=1", "--tasks=like"),)
    job = jobs_of(study, StudyConfig(study="s", data="records", output="out", seeds=(1,)))[0]
    assert config_of(job, number=1).model.tasks == ("like",)
    assert config_of(job, number=1).train.output != config_of(job, number=0).train.output
    with pytest.raises(ValueError, match="needs tasks"):
        Study(name="s", question="?", baseline="a", variants={"a": ()}, one_task_a_model=("a",))


def test_every_study_has_flags_that_a_run_can_read() -> None:
    for study in STUDIES.values():
        config = StudyConfig(study=study.name, data="records", output="out", seeds=(1,))
        for job in jobs_of(study, config):
            for number in range(len(job.flags)):
                assert config_of(job, number=number).train.seed == 1
