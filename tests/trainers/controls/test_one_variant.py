"""The runs of a variant: their order, what a failure leaves, and one short training that is measured."""

from __future__ import annotations

from typing import Any

import pytest

from fullrank.data.planted.affinities import Affinities
from fullrank.data.planted.world import BLOCK, Task, World
from fullrank.trainers.controls import one_variant
from fullrank.trainers.controls.one_variant import VariantJob, run_variant
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


RUNS = ((1, 0.003), (1, 0.01), (7, 0.01), (2, 0.03))


def job(**changes: Any) -> VariantJob:
    given: dict[str, Any] = {"control": CONTROL, "side": "positive", "variant": "wide", "missing": RUNS}
    return VariantJob(**{**given, **changes})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Seeds and rates of the trainings, of which those of seed 7 fail."""
    found: list[tuple[int, float]] = []

    class Training:
        def __init__(self, job: VariantJob) -> None:
            pass

        def run(self, *, seed: int, rate: float) -> dict[str, Any]:
            found.append((seed, rate))
            if seed == 7:
                raise RuntimeError("no memory")
            return {"validated": 0.6, "values": {"auc": 0.5, "ne": 0.5}}

    monkeypatch.setattr(one_variant, "_Training", Training)
    return found


def test_what_is_missing_is_trained_and_a_failed_run_is_said(runs: list[tuple[int, float]]) -> None:
    lines = run_variant(job())
    assert runs == list(RUNS)
    assert [(line["seed"], line["rate"]) for line in lines] == runs
    assert {line["plan"] for line in lines} == {CONTROL.digest("positive", "wide")}
    assert all(line["seconds"] >= 0 and line["cpu_seconds"] >= 0 for line in lines)
    assert ["error" in line for line in lines] == [False, False, True, False]
    assert lines[2]["error"].startswith("RuntimeError: no memory (test_one_variant.py:")
    assert "values" not in lines[2]


@pytest.mark.slow
def test_a_training_is_measured_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_variant, "_MEASURED_BLOCKS", 1)
    line, again = run_variant(job(variant="narrow", missing=((1, 0.01), (1, 0.01))))
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
    # Validation rows are others than those of the test, of the same world.
    assert line["validated"] != after["ne" if CONTROL.tuned_by == "ne" else "auc"]
    assert line["validated"] == pytest.approx(after["auc"], abs=0.05)
    # Every run starts anew.
    assert again["validated"] == pytest.approx(line["validated"], abs=1e-4)
