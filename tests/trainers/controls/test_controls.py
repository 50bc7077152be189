"""Controls: verdicts by hand, what is missing, and a control from the command line that resumes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullrank.data.planted.evidence import Evidence
from fullrank.data.planted.world import Task, World
from fullrank.models.metrics.normalised_entropy import normalised_entropy
from fullrank.trainers.controls.catalogue import CONTROLS
from fullrank.trainers.controls.measure import scores
from fullrank.trainers.controls.one_variant import VariantJob, run_variant
from fullrank.trainers.controls.page import write_page
from fullrank.trainers.controls.plan import Claim, Control, ControlConfig
from fullrank.trainers.controls.run import chosen, jobs_of
from fullrank.trainers.studies.pool import read_results


def world(weight: float) -> World:
    return World(mechanisms={"evidence": Evidence()}, tasks={"click": Task(weights={"evidence/linear": weight})})


CONTROL = Control(
    name="c",
    claims=(Claim(text="b beats a", method="b", baseline="a"),),
    positive=world(2.0),
    negative=world(0.0),
    variants={"a": (), "b": ("--hidden=8",), "c": ("--hidden=4",)},
    flags=("--batch_size=1024", "--model=single", "--experts=flat", "--vectors=projection"),
    rows=8192,
    rates=(0.003,),
)


def line(side: str, variant: str, seed: int, auc: float, *, control: Control = CONTROL, rate: float = 0.003) -> Any:
    values = {"auc": auc, "ne": 1 - auc}
    return {
        "validated": auc,
        "control": control.name,
        "side": side,
        "variant": variant,
        "seed": seed,
        "rate": rate,
        "plan": control.digest(side, variant),  # type: ignore[arg-type]
        "values": values,
        "untrained": {},
        "oracle": {"auc": 0.9, "ne": 0.1},
        "weights": 7,
        "cpu_seconds": 1.0,
    }


def row_of(page: str) -> list[str]:
    (found,) = (text for text in page.splitlines() if text.startswith("| b beats a"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_verdicts_by_hand() -> None:
    # Differences .01, .02, .03: mean .02, standard deviation .01, t(.975, 2) = 4.302653, reach .024842.
    gains = [line("positive", "a", seed, 0.7) for seed in (1, 2, 3)]
    gains += [line("positive", "b", seed, 0.7 + 0.01 * seed) for seed in (1, 2, 3)]
    # Differences -.0101, -.01, -.0099.
    gains += [line("negative", "a", seed, 0.5) for seed in (1, 2, 3)]
    gains += [line("negative", "b", seed, 0.4898 + 0.0001 * seed) for seed in (1, 2, 3)]
    cells = row_of(write_page([CONTROL], gains))
    assert cells[1:8] == [
        "auc",
        "0.5000",
        "0.7000",
        "0.7200",
        "0.9000",
        "+0.0200 [-0.0048, +0.0448]",
        "not resolved",
    ]
    assert cells[-1] == "kept"
    lower = dataclasses.replace(CONTROL, metric="ne")
    cells = row_of(write_page([lower], gains))
    # By NE, which is 1 - AUC here, b is .01 worse on the negative side, and both floors are 1.
    assert (cells[2], cells[8], cells[-1]) == ("1.0000", "1.0000", "kept")
    better = [*gains, *(line("positive", "b", seed, 0.9 + 0.0001 * seed) for seed in (1, 2, 3))]
    assert row_of(write_page([CONTROL], better))[7] == "**won**"
    assert row_of(write_page([dataclasses.replace(CONTROL, seeds=(1, 2, 3, 4))], better))[7] == "**won** (3 of 4 seeds)"
    wins = [*gains, *(line("negative", "b", seed, 0.9 + 0.0001 * seed) for seed in (1, 2, 3))]
    assert row_of(write_page([CONTROL], wins))[-1] == "not kept"
    noted = dataclasses.replace(CONTROL, note="It cannot be.")
    assert row_of(write_page([noted], wins))[-1] == "not kept: [why](#c)"
    assert row_of(write_page([noted], better))[7] == "**won**"


def test_validation_rows_choose_a_rate_in_each_world() -> None:
    control = dataclasses.replace(CONTROL, rates=(0.001, 0.01), seeds=(1, 2))
    found = {(1, 0.001): (0.8, 0.61), (1, 0.01): (0.7, 0.99), (2, 0.001): (0.7, 0.99), (2, 0.01): (0.8, 0.63)}
    lines = [
        {**line("positive", variant, seed, test + gain, control=control, rate=rate), "validated": validated}
        for variant, gain in (("a", 0.0), ("b", 0.1))
        for (seed, rate), (validated, test) in found.items()
    ]
    page = write_page([control], lines)
    assert row_of(page)[3:5] == ["0.6200", "0.7200"]
    assert "| 0.001: 1, 0.01: 1 |" in page
    # A world in which a rate is still missing has no result.
    assert row_of(write_page([control], lines[:-1]))[7] == "1 of 2 seeds"
    by_ne = dataclasses.replace(control, metric="ne")
    assert row_of(write_page([by_ne], lines))[3:5] == ["0.0100", "-0.0900"]  # 1 - .99, of the smaller validated value
    assert (control.tuned_by, by_ne.tuned_by, dataclasses.replace(control, metric="nmi").tuned_by) == (
        "auc",
        "ne",
        "ne",
    )


def test_the_page_says_what_is_missing_and_what_failed() -> None:
    failed = {**line("positive", "b", 2, 0.0), "error": "boom"}
    control = dataclasses.replace(CONTROL, seeds=(1, 2))
    page = write_page([control], [line("positive", "a", 1, 0.7), failed])
    assert "* c, positive, a: seeds 2" in page
    assert "* c, positive, b, seed 2, rate 0.003: boom" in page
    assert "0 of 2 seeds" in page
    other = dataclasses.replace(control, rows=16_384)
    assert "* c, positive, a: seeds 1, 2" in write_page([other], [line("positive", "a", 1, 0.7)])


def test_the_page_shows_attention_by_age_as_means_over_seeds() -> None:
    def attention(alike: float | None) -> list[dict[str, float | None]]:
        return [
            {"up_to_hours": 0.1, "alike": alike, "others": None},
            {"up_to_hours": 24.0, "alike": 0.5, "others": 1.0},
        ]

    lines = [{**line("positive", "b", seed, 0.7), "map": attention(alike)} for seed, alike in ((1, 2.0), (2, 3.0))]
    lines += [{**line("positive", "b", 3, 0.7), "map": attention(None)}]
    page = write_page([CONTROL], lines)
    table = page[page.index("so that 1 is a plain mean:") :].splitlines()[2:]
    rows = [[cell.strip() for cell in text.strip("|").split("|")] for text in table[2:4]]
    assert rows == [["0.1", "2.5000", "-"], ["24", "0.5000", "1.0000"]]
    without = [line("positive", "b", 1, 0.7)]
    assert "Attention by the age" not in write_page([CONTROL], without)


def test_what_is_missing_is_a_job_and_claims_come_first() -> None:
    control = dataclasses.replace(CONTROL, seeds=(1, 2), rates=(0.001, 0.01))
    done = [line("positive", "a", 1, 0.7, control=control, rate=0.001)]
    done += [{**line("positive", "a", 1, 0.7, control=control, rate=0.01), "error": "boom"}]
    jobs = jobs_of([control], sides=("positive", "negative"), results=done)
    every = ((1, 0.001), (1, 0.01), (2, 0.001), (2, 0.01))
    assert [(job.side, job.variant, job.missing) for job in jobs] == [
        ("positive", "a", every[1:]),
        ("positive", "b", every),
        ("negative", "a", every),
        ("negative", "b", every),
        ("positive", "c", every),
    ]


def test_every_control_that_comes_with_fullrank_can_be_trained() -> None:
    for control in CONTROLS.values():
        assert control.positive != control.negative
        for variant in control.variants:
            job = VariantJob(control=control, side="positive", variant=variant, missing=())
            assert job.config(0.003).optimizer.table_learning_rate == pytest.approx(0.09)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="Did you mean 'tim'"):
        chosen(["time"])
    with pytest.raises(ValueError, match="no variant 'd'"):
        dataclasses.replace(CONTROL, claims=(Claim(text="", method="d", baseline="a"),))
    with pytest.raises(ValueError, match="needs a field"):
        dataclasses.replace(CONTROL, metric="ia")
    with pytest.raises(ValueError, match="positive and negative"):
        ControlConfig(output="o", sides=("both",))
    with pytest.raises(ValueError, match="different seeds"):
        ControlConfig(output="o", seeds=(1, 1))


def test_scores_by_hand() -> None:
    labels = np.array([1.0, 0.0, 0.0, 1.0])
    # p = .8 for positives and .2 for negatives: -log .8 over log 2.
    logits = np.where(labels == 1, 1, -1) * np.log(4.0)
    assert normalised_entropy(labels, logits) == pytest.approx(-np.log(0.8) / np.log(2))
    rows = {"click": labels, "like": np.array([1, 1, 0, 0])}
    found = scores({"click": logits, "like": logits}, rows)
    assert (found["auc"], found["worst_auc"], found["last_auc"]) == (0.75, 0.5, 0.5)
    # Of the first two, which are new, the positive is below the negative; of all, three pairs of four are wrong.
    new = scores({"click": np.array([0.0, 2.0, 1.0, 1.5])}, {"click": labels, "hidden_new": np.array([1, 1, 0, 0])})
    assert (new["new_auc"], new["auc"]) == (0.0, 0.25)


def test_carries_matter_to_a_linear_reader() -> None:
    numbers = np.arange(256)

    def digits(base: int) -> np.ndarray[Any, Any]:
        places = int(np.ceil(8 * np.log(2) / np.log(base)))
        given = [numbers // base**place % base for place in range(places)]
        return np.stack([(each == value) * 1.0 for each in given for value in range(base)], axis=1)

    def explained(*bases: int) -> float:
        read = np.concatenate([digits(base) for base in bases], axis=1)
        shares = []
        for wave in (np.cos(2 * np.pi * numbers / 256), np.sin(2 * np.pi * numbers / 256)):
            left = wave - read @ np.linalg.lstsq(read, wave, rcond=None)[0]
            shares.append(1 - left @ left / (wave @ wave))
        return float(np.mean(shares))

    assert [explained(2), explained(3), explained(2, 3)] == pytest.approx([0.405, 0.726, 0.816], abs=1e-3)


@pytest.mark.slow
def test_a_run_does_not_depend_on_the_runs_before_it() -> None:
    runs = ((1, 0.01), (2, 0.003), (1, 0.01))
    lines = run_variant(VariantJob(control=CONTROL, side="positive", variant="a", missing=runs))
    assert [each.get("error") for each in lines] == [None] * 3
    first, other, again = (each["values"]["auc"] for each in lines)
    assert first == pytest.approx(again, abs=1e-4)
    assert abs(first - other) > 1e-4
    assert 0.55 < first < lines[0]["oracle"]["auc"]


@pytest.mark.slow
def test_a_control_from_the_command_line_resumes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fullrank.trainers.control", f"--output={tmp_path}", "--controls=pairwise_loss"]
    command += ["--sides=negative", "--rows=8192", "--seeds=1,2"]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr[-2000:]
    results = read_results(tmp_path / "controls.jsonl")
    assert len(results) == 4 * 3 * 2
    page = (tmp_path / "controls.md").read_text(encoding="utf-8")
    assert "| negative | sgd, pairs" in page
    assert "* tim, positive, mean: seeds 1, 2" in page
    with open(tmp_path / "controls.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(results[0])[:30])  # as a kill leaves it
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert "0 variants to train" in again.stdout
    listed = subprocess.run([*command[:3], "--list"], capture_output=True, text=True, check=True)
    assert "TIM beats a mean of behaviours" in listed.stdout
