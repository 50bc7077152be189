"""Plans of studies that cannot be run or compared, and the tables of segments in a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fullrank.trainers.studies.plan import Study, StudyConfig, read_study
from fullrank.trainers.studies.report import write_report

PLAN: dict[str, Any] = {"name": "tiny", "question": "?", "baseline": "a", "variants": {"a": [], "b": ["--widths=8"]}}
READS = ["--teacher={baseline}"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": {"a": [], "b/c": []}}, "'b/c' cannot be a name; use letters, digits and"),
        ({"variants": {"a": READS}}, "the baseline cannot read its own run, {baseline}."),
        (
            {"variants": {"a": [], "b": READS}, "tasks": ["click"], "one_task_a_model": ["a"]},
            "{baseline} needs a baseline of one run, not of one per task.",
        ),
        ({"metrics": []}, "'tiny' has no metrics."),
        ({"one_task_a_model": ["c"], "tasks": ["click"]}, "one_task_a_model names 'c', which is not a variant"),
        ({"variants": ["a", "b"]}, "variants has to be an object. Received: ['a', 'b']."),
        ({"expected": ["b"]}, "expected has to be an object."),
        ({"flags": "--epochs=1"}, "flags has to be a list of texts. Received: '--epochs=1'."),
        ({"name": 3}, "name has to be text. Received: 3."),
        ({"widths": []}, "unknown field 'widths'"),
    ],
)
def test_a_plan_that_compares_nothing_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({**PLAN, **change}))
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read_study(file)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": ', "plan.json is not JSON: "),
        ("[]", "a study is an object with name, question, baseline and variants."),
        ('{"name": "tiny", "variants": {}}', "question, baseline missing."),
    ],
)
def test_a_file_that_is_no_plan_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read_study(file)
    assert message in str(refused.value)


def test_a_study_without_seeds_is_refused() -> None:
    with pytest.raises(ValueError, match="--seeds needs different seeds, at least one"):
        StudyConfig(study="tiny", data="records", output="out", seeds=())


def line(variant: str, seed: int, **aucs: float) -> dict[str, Any]:
    """A run with an AUC for each region; a region of n letters has 10^n examples."""
    regions = {name: {"examples": 10 ** len(name), "auc": auc} for name, auc in aucs.items()}
    statistics = {"auc": 0.7, "ne": 0.9, "segments": {"region": regions}}
    costs = {"best_epoch": 2, "cpu_seconds": 10.0 * seed, "weights": 1000}
    return {"variant": variant, "seed": seed, "tasks": {"click": statistics}, **costs}


def cells_of(report: str, start: str) -> list[str]:
    (found,) = (text for text in report.splitlines() if text.startswith(start))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_segments_are_compared_from_the_largest(tmp_path: Path) -> None:
    study = Study(
        name="s", question="?", baseline="a", variants={"a": (), "b": (), "c": ()}, segments=("region", "device")
    )
    lines = [line("a", 1, de=0.6, other=0.5), line("a", 2, de=0.6, other=0.52)]
    lines += [line("b", 1, de=0.65, other=0.6), line("b", 2, de=0.65), line("c", 1, other=0.55)]
    report = write_report(study, lines, directory=tmp_path, records="records")
    assert cells_of(report, "| AUC") == ["AUC", "region=other (100,000)", "region=de (100)"]
    table = report[report.index("\n| AUC") + 1 :].partition("\n\n")[0]
    assert cells_of(table, "| a ")[1:] == ["0.5100 ± 0.0141", "0.6000 ± 0.0000"]
    # One pair of seeds has no interval; two whose differences are equal have one of no width.
    assert cells_of(table, "| b ")[1:] == ["0.6000 (+0.1000)", "0.6500 ± 0.0000 (+0.0500 [+0.0500, +0.0500])"]
    assert cells_of(table, "| c ")[1:] == ["0.5500 (+0.0500)", "-"]
    costs = report[report.index("| variant | CPU seconds per run") :]
    assert cells_of(costs, "| a ") == ["a", "15", "1,000", "2"]
