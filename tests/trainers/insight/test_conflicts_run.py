"""`fullrank conflicts` on models that no training has touched, whose gradients are computed again by other means."""

from __future__ import annotations

import json
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from both_sides import with_random_weights
from ran_commands import ran

from fullrank import models
from fullrank.data import read_records, read_schema
from fullrank.trainers import conflicts
from fullrank.trainers.insight import conflicts_run

TASKS = ("click", "like")
WIRINGS = {
    "shared": models.shared_bottom(tasks=TASKS, width=4, expert_width=8, experts=("flat",)),
    "stem": models.stem(tasks=TASKS, widths=(4, 4, 4), expert_width=8, experts=(("flat", 0), ("flat", 1), ("flat", 2))),
    "one": models.single(tasks=("click",), width=4, expert_width=8),
}


@pytest.fixture(scope="module")
def made(toy_records: Path) -> dict[str, models.Ranker]:
    """A model of each wiring."""
    return {name: with_random_weights(read_schema(toy_records), wiring) for name, wiring in WIRINGS.items()}


@pytest.fixture(autouse=True)
def _runs_are_models(toy_records: Path, made: dict[str, models.Ranker], monkeypatch: pytest.MonkeyPatch) -> None:
    config = types.SimpleNamespace(data=types.SimpleNamespace(data=str(toy_records)))
    loaded = {name: types.SimpleNamespace(model=model, config=config) for name, model in made.items()}
    monkeypatch.setattr(conflicts_run, "load_run", lambda run: loaded[run])


def expected_cosine(model: models.Ranker, records: Path, *, batches: int) -> float:
    """Between both tasks' gradients on the only set, over all batches at once."""
    found: list[list[np.ndarray]] = [[], []]
    for batch in read_records(read_schema(records), split="validation", batch_size=100).take(batches):
        for place, task in enumerate(TASKS):
            with tf.GradientTape() as tape:
                read = model.inside(batch)
                labels = tf.stack([batch[name] for name in TASKS], axis=1)
                loss = model.objective.losses(read.predicted, labels, None)[TASKS.index(task)]
            found[place].append(np.ravel(tape.gradient(loss, read.fields[0])).astype(np.float64))
    first, second = (np.concatenate(parts) for parts in found)
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def test_gates_and_cosines_over_several_batches(
    made: dict[str, models.Ranker], toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "conflicts"
    given = ("--run=shared", f"--output={output}", "--batches=2", "--batch_size=100")
    code, out, err = ran(capsys, conflicts.run, *given)
    assert code == 0, err
    content = json.loads((output / "conflicts.json").read_text())
    assert content["tasks"] == ["click", "like"]
    # One expert, which both tasks read with all their weight.
    (expert,) = content["experts"]
    assert content["gates"] == {task: {expert: 1.0} for task in TASKS}
    ((name, cosines),) = content["cosines"].items()
    assert cosines["click"]["click"] == pytest.approx(1.0)
    assert cosines["click"]["like"] == cosines["like"]["click"]
    expected = expected_cosine(made["shared"], toy_records, batches=2)
    assert cosines["click"]["like"] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert {file.name for file in output.glob("*.png")} == {"gates.png", f"gradients_{name}.png"}
    lines = [line.split() for line in out.splitlines()]
    assert ["click", "1.0000"] in lines
    assert [name, "click", "-", "like", f"{cosines['click']['like']:.4f}"] in lines
    code, _, err = ran(capsys, conflicts.run, *given)
    assert code == 1
    assert "--overwrite" in err


def test_a_task_without_a_gradient_has_no_cosine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "conflicts"
    code, out, err = ran(
        capsys, conflicts.run, "--run=stem", f"--output={output}", "--batches=1", "--batch_size=100", "--split=test"
    )
    assert code == 0, err
    content = json.loads((output / "conflicts.json").read_text())
    for row in content["gates"].values():
        assert len(row) == 3
        assert sum(row.values()) == pytest.approx(1.0, abs=1e-5)
    # Each task trains its own set and the shared one.
    cosines = content["cosines"]
    assert cosines["click"]["click"] == {"click": pytest.approx(1.0), "like": None}
    assert cosines["like"]["click"] == {"click": None, "like": None}
    assert -1 < cosines["shared"]["click"]["like"] < 1
    assert ["click", "click", "-", "like", "-"] in [line.split() for line in out.splitlines()]
    assert {file.name for file in output.glob("gradients_*.png")} == {
        f"gradients_{name}.png" for name in ("shared", "click", "like")
    }


def test_one_task_and_no_batch_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = f"--output={tmp_path / 'none'}"
    code, _, err = ran(capsys, conflicts.run, "--run=one", output)
    assert (code, err) == (1, "error: --run=one predicts click alone: only several tasks can share parts.\n")
    monkeypatch.setattr(conflicts_run, "read_records", lambda schema, **_: tf.data.Dataset.range(0))
    code, _, err = ran(capsys, conflicts.run, "--run=shared", output)
    assert code == 1
    assert "Split 'validation' of 'toy' holds no batch." in err
    assert not (tmp_path / "none").exists()
