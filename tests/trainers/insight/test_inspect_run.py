"""What is asleep in a model, by hand, and the command that says so of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fullrank.trainers import inspect_run, train
from fullrank.trainers.insight.parts_run import asleep

AWAKE: dict[str, float | None] = {
    "rms/s/fields/a": 0.2,
    "rms/s/fields/b": 0.1,
    "rms/s/history": 0.1,
    "share/s/fields/a": 0.4,
    "share/s/fields/b": 0.3,
    "share/s/history": 0.3,
    "attention/s/history": 0.8,
    "expert/flat": 0.5,
    "silent/flat": 0.5,
    "expert/fm": 0.5,
    "silent/fm": 0.0,
    "gate/click": 0.9,
    "gate/click/flat": 0.6,
    "gate/click/fm": 0.4,
    "gate/buy/flat": 0.96,
    "gate/buy/fm": 0.04,
    "gate/buy": None,
}


def test_a_model_that_is_awake() -> None:
    assert list(asleep(AWAKE)) == []


@pytest.mark.parametrize(
    ("changed", "part", "why"),
    [
        ({"attention/s/history": 0.9999}, "s/history", "plain mean (entropy 0.9999"),
        # The fields' size is sqrt((.04 + .01) / 2) = .158, a tenth of which is .0158.
        ({"rms/s/history": 0.015}, "s/history", "its output is 0.015, that of the other fields 0.158"),
        # Three parts: an even share is a third, a tenth of that 3.3 %.
        ({"share/s/history": 0.03}, "s/history", "its share of predictions is 3.00%, an even one 33.33%"),
        ({"silent/flat": 0.95}, "flat", "95% of its units never fire"),
        ({"gate/click/fm": 0.04}, "fm", "no gate gives it more than 4.00%"),
    ],
)
def test_parts_that_sleep(changed: dict[str, float], part: str, why: str) -> None:
    (found,) = asleep({**AWAKE, **changed})
    assert found["part"] == part
    assert why in found["why"]
    assert found["do"]


def test_sizes_that_are_just_large_enough() -> None:
    assert list(asleep({**AWAKE, "rms/s/history": 0.016, "share/s/history": 0.034})) == []


@pytest.fixture(scope="module")
def run_with_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fullrank.data import prepare

    directory = tmp_path_factory.mktemp("asleep")
    prepare.run(["prepare", "--dataset=synthetic", "--rows=600", f"--output={directory}/records", "--noprogress"])
    train.run([
        "train", f"--data={directory}/records", f"--output={directory}/run", "--batch_size=64", "--model=me",
        "--tasks=click", "--widths=4,4", "--hidden=8", "--tower=8", "--epochs=1", "--progress=none",
        "--tensorboard=false", "--sequence_scale=10",
    ])  # fmt: skip
    return directory / "run"


def test_the_command_names_what_sleeps(
    run_with_history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A scale of 10 for rows of a few hundredths: the attention of a product that is divided by 100 is a plain mean.
    inspect_run.run(["inspect_run", f"--run={run_with_history}", f"--json={tmp_path}/parts.json", "--batches=2"])
    printed = capsys.readouterr().out
    content: dict[str, Any] = json.loads((tmp_path / "parts.json").read_text())
    assert "What the experts read" in printed
    assert "set0/history: its attention is a plain mean (entropy 1.0000 of the largest)" in printed
    assert "--sequence_scale=" in printed
    assert content["measures"]["attention/set0/history"] > 0.9999
    assert {finding["part"] for finding in content["asleep"]} >= {"set0/history", "set1/history"}
    assert content["uncertainty"] == {}
    assert sum(v for n, v in content["measures"].items() if n.startswith("share/")) == pytest.approx(1.0, abs=1e-4)


def test_a_run_without_a_history(toy_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect_run.run(["inspect_run", f"--run={toy_run}", "--batches=1"])
    assert "Gates:" in capsys.readouterr().out


def test_a_split_that_is_not_there(toy_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        inspect_run.run(["inspect_run", f"--run={toy_run}", "--split=nowhere"])
    assert "nowhere" in capfd.readouterr().err
