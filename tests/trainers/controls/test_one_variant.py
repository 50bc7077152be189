"""The runs of a variant: how its rate is chosen, what a failure leaves, and one short training that is measured."""

from __future__ import annotations

from typing import Any

import pytest

from fullrank.data.planted.affinities import Affinities
from fullrank.data.planted.world import BLOCK, Task, World
from fullrank.trainers.controls import one_variant
from fullrank.trainers.controls.one_variant import TUNING_SEED, VariantJob, run_variant
from fullrank.trainers.controls.plan import Claim, Control


def world(effect: str) -> World:
    return World(
        mechanisms={"affinities": Affinities(users=8, ads=6, reasons=2)},
        tasks={"click": Task(weights={f"affinities/{effect}": 2.0})},
    )


CONTROL = Control(
    name="c",
    claims=(Claim(text="wide beats narrow", method="wide", baseline="narrow"),),
    positive=world("chosen"),
    negative=world("sum"),
    variants={"narrow": ("--widths=4",), "wide": ("--widths=8",)},
    flags=("--batch_size=2048", "--model=single", "--experts=flat", "--hidden=8", "--tower="),
    rows=BLOCK,
    rates=(0.003, 0.01, 0.03),
    field="ad_id",
)


def job(**changes: Any) -> VariantJob:
    given: dict[str, Any] = {"control": CONTROL, "side": "positive", "variant": "wide", "seeds": (1, 2), "tuned": {}}
    return VariantJob(**{**given, **changes})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Seeds and rates of the trainings, which come to -|rate - .01|, and fail with seed 7 and seed 0 of narrow."""
    found: list[tuple[int, float]] = []

    class Training:
        def __init__(self, job: VariantJob, *, rate: float) -> None:
            self._variant = job.variant

        def run(self, *, seed: int, rate: float) -> dict[str, Any]:
            found.append((seed, rate))
            if seed == 7 or (self._variant == "narrow" and seed == TUNING_SEED):
                raise RuntimeError("no memory")
            return {"values": {"auc": -abs(rate - 0.01), "ne": 0.5}}

    monkeypatch.setattr(one_variant, "_Training", Training)
    return found


def test_every_seed_is_trained_with_the_rate_that_tuning_chose(runs: list[tuple[int, float]]) -> None:
    lines = run_variant(job())
    assert runs == [(TUNING_SEED, 0.003), (TUNING_SEED, 0.01), (TUNING_SEED, 0.03), (1, 0.01), (2, 0.01)]
    assert [(line["seed"], line["rate"]) for line in lines] == runs
    assert {line["plan"] for line in lines} == {CONTROL.digest("positive", "wide")}
    assert all(line["seconds"] >= 0 and line["cpu_seconds"] >= 0 for line in lines)


def test_rates_that_were_tuned_are_not_tuned_again(runs: list[tuple[int, float]]) -> None:
    run_variant(job(tuned={0.003: 0.9, 0.01: 0.1}, seeds=(3,)))
    assert runs == [(TUNING_SEED, 0.03), (3, 0.003)]


def test_a_failed_seed_is_said_and_others_go_on(runs: list[tuple[int, float]]) -> None:
    lines = run_variant(job(tuned=dict.fromkeys(CONTROL.rates, 0.5), seeds=(7, 8)))
    assert [seed for seed, _ in runs] == [7, 8]
    failed, fine = lines
    assert failed["error"].startswith("RuntimeError: no memory (test_one_variant.py:")
    assert "values" not in failed
    assert "error" not in fine


def test_nothing_is_trained_where_a_rate_could_not_be_tuned(runs: list[tuple[int, float]]) -> None:
    (line,) = run_variant(job(variant="narrow"))
    assert runs == [(TUNING_SEED, 0.003)]
    assert (line["seed"], line["error"].partition(" (")[0]) == (TUNING_SEED, "RuntimeError: no memory")


@pytest.mark.slow
def test_a_training_is_measured_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_variant, "_MEASURED_BLOCKS", 1)
    (line,) = run_variant(job(variant="narrow", tuned=dict.fromkeys(CONTROL.rates, 0.5), seeds=(1,)))
    assert "error" not in line, line["error"]
    assert line["steps"] == 4
    before, after = line["untrained"], line["values"]
    assert before["ia"] != after["ia"]
    # A table of four columns has no more than four directions, and random numbers have less.
    assert 1.0 < after["ia"] <= 4.0
    assert before["ia_isotropic"] == after["ia_isotropic"] < 4.0
    assert min(after["rank_experts"], after["rank_read"]) >= 1.0
    assert line["oracle"]["auc"] > after["auc"]
    assert line["oracle"]["ne"] < 1.0
    assert "attention" not in after
    assert line["map"] == []  # there is no sequence to attend to
    assert line["weights"] > 0
