"""The command of the controls: it trains what is missing, writes page and lines, goes on, and counts what failed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from jobs_here import run_jobs_here
from ran_commands import ran

from fullrank.data.planted.evidence import Evidence
from fullrank.data.planted.world import Task, World
from fullrank.trainers import control as command
from fullrank.trainers.controls import run as controls_run
from fullrank.trainers.controls.one_variant import VariantJob
from fullrank.trainers.controls.plan import Claim, Control
from fullrank.trainers.studies.pool import read_results


def world(weight: float) -> World:
    return World(mechanisms={"evidence": Evidence()}, tasks={"click": Task(weights={"evidence/linear": weight})})


CONTROL = Control(
    name="c",
    claims=(Claim(text="b beats a", method="b", baseline="a"),),
    positive=world(2.0),
    negative=world(0.0),
    variants={"a": (), "b": ("--hidden=8",)},
    rates=(0.01,),
    seeds=(1, 2),
)


def seeds_of(job: VariantJob) -> tuple[int, ...]:
    return tuple(seed for seed, _ in job.missing)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[VariantJob]:
    """The jobs that were trained; b comes to .1 more than a on the positive side, and seed 5 fails."""
    found: list[VariantJob] = []

    def run_variant(job: VariantJob) -> list[dict[str, Any]]:
        found.append(job)
        gain = 0.1 if (job.side, job.variant) == ("positive", "b") else 0.0
        lines = []
        for seed, rate in job.missing:
            line: dict[str, Any] = {"control": "c", "side": job.side, "variant": job.variant, "seed": seed}
            line["rate"] = rate
            line |= {"plan": job.control.digest(job.side, job.variant), "cpu_seconds": 1.0, "weights": 7}
            auc = 0.6 + gain + 0.001 * seed
            results: dict[str, Any] = {"validated": auc, "values": {"auc": auc, "ne": 1 - auc}, "untrained": {}}
            results["oracle"] = {"auc": 0.9, "ne": 0.1}
            lines.append({**line, "error": "RuntimeError: boom"} if seed == 5 else {**line, **results})
        return lines

    monkeypatch.setattr(controls_run, "CONTROLS", {"c": CONTROL, "other": dataclasses.replace(CONTROL, name="other")})
    monkeypatch.setattr(controls_run, "run_variant", run_variant)
    monkeypatch.setattr(controls_run, "run_jobs", run_jobs_here)
    return found


def test_what_is_missing_is_trained_and_shown(
    trained: list[VariantJob], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (f"--output={tmp_path / 'out'}", "--controls=c")
    code, out, _ = ran(capsys, command.run, *flags, "--sides=positive")
    assert code == 0
    assert "2 variants to train, 1 at a time." in out
    assert [(job.side, job.variant, seeds_of(job)) for job in trained] == [
        ("positive", "a", (1, 2)),
        ("positive", "b", (1, 2)),
    ]
    page = (tmp_path / "out" / "controls.md").read_text()
    assert "+0.1000 [+0.1000, +0.1000]" in page
    assert "**won**" in page
    assert "* c, negative, a: seeds 1, 2" in page
    assert "* other, positive, a: seeds 1, 2" in page  # the page shows every control
    code, out, _ = ran(capsys, command.run, *flags, "--seeds=1,2,3")
    assert code == 0
    assert "4 variants to train" in out
    assert [(job.side, job.variant, seeds_of(job)) for job in trained[2:]] == [
        ("positive", "a", (3,)),
        ("positive", "b", (3,)),
        ("negative", "a", (1, 2, 3)),
        ("negative", "b", (1, 2, 3)),
    ]
    assert "kept" in (tmp_path / "out" / "controls.md").read_text()
    assert "0 variants to train" in ran(capsys, command.run, *flags, "--seeds=1,2,3")[1]


def test_a_failed_run_is_shown_and_makes_the_command_fail(
    trained: list[VariantJob], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (f"--output={tmp_path}", "--controls=c", "--sides=negative", "--seeds=1,5", "--rows=8192")
    code, out, err = ran(capsys, command.run, *flags)
    assert code == 1
    assert "a, seed 5 failed: RuntimeError: boom" in out + err
    assert "* c, negative, a, seed 5, rate 0.01: RuntimeError: boom" in (tmp_path / "controls.md").read_text()
    assert {job.control.rows for job in trained} == {8192}
    lines = read_results(tmp_path / "controls.jsonl")
    assert [(line["variant"], line["seed"], "error" in line) for line in lines] == [
        ("a", 1, False),
        ("a", 5, True),
        ("b", 1, False),
        ("b", 5, True),
    ]
    ran(capsys, command.run, *flags)
    assert [(job.variant, seeds_of(job)) for job in trained[2:]] == [("a", (5,)), ("b", (5,))]


def test_a_flag_that_a_variant_cannot_have_is_found_before_anything_is_trained(
    trained: list[VariantJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = dataclasses.replace(CONTROL, variants={"a": (), "b": ("--hiden=8",)})
    monkeypatch.setattr(controls_run, "CONTROLS", {"c": wrong})
    code, _, err = ran(capsys, command.run, f"--output={tmp_path / 'out'}")
    assert code == 1
    assert "variant 'b'" in err
    assert "hidden" in err
    assert not trained
    assert not (tmp_path / "out").exists()


def test_the_list_names_controls_variants_and_claims(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, command.run, "--list")
    assert code == 0
    shown = out.splitlines()
    place = next(number for number, text in enumerate(shown) if text.startswith("tim: mean, din, tim, "))
    assert shown[place + 1] == "    TIM beats a mean of behaviours ([Tencent] §3.1)"
