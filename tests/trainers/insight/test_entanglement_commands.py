"""Entanglement and conflicts by the command line, on runs that these tests train."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ran_commands import run

from fullrank.analysis import entanglement
from fullrank.data import prepare
from fullrank.trainers import conflicts, train
from fullrank.trainers.insight.conflicts_run import cosines_of, look_into
from fullrank.trainers.training.load_run import load_run

ONLY_IDS = (
    "--without_features=history,user_vector,ad_vector,content,content_bits,gender,device,category,advertiser,format,"
    "age,price,exposure_count,exposure_gap,hour,position"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Single-task runs, a shared one and STEM, on a small world whose interests weigh much."""
    directory = tmp_path_factory.mktemp("entangled")
    sizes = ("--rows=20000", "--users=60", "--ads=50", "--latent=2", "--affinity=4")
    records = directory / "records"
    assert run(prepare, "--dataset=synthetic", *sizes, f"--output={records}", "--noprogress") == 0
    same = (
        "--batch_size=512",
        "--epochs=4",
        "--widths=4",
        "--table_learning_rate=0.1",
        "--initial_scale=0.2",
        ONLY_IDS,
    )
    for name, *flags in (
        ("click", "--model=single", "--experts=dlrm", "--tasks=click"),
        ("like", "--model=single", "--experts=dlrm", "--tasks=like"),
        ("shared", "--model=shared_bottom", "--experts=dlrm", "--tasks=click,like"),
        ("stem", "--model=stem", "--experts=dlrm:0,dlrm:1,dlrm:2", "--tasks=click,like"),
    ):
        quiet = ("--progress=none", "--notensorboard")
        assert run(train, f"--data={records}", f"--output={directory / name}", *same, *flags, *quiet) == 0
    return directory


def flags(runs: Path, *, user: str = "user_id", first: str = "click") -> list[str]:
    return [
        f"--first=click:{runs / first}",
        f"--second=like:{runs / 'like'}",
        f"--runs=shared:{runs / 'shared'},stem:{runs / 'stem'}",
        f"--user={user}",
        "--item=ad_id",
        f"--data={runs / 'records'}",
        "--pairs=20000",
        "--share=0.3",
    ]


@pytest.mark.slow
def test_entanglement_of_runs(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "entangled"
    assert run(entanglement, *flags(runs), f"--output={output}") == 0
    printed = capsys.readouterr().out
    assert "pairs are near in click and far in like" in printed
    found = json.loads((output / "entanglement.json").read_text())
    assert [(space["run"], space["set"]) for space in found["spaces"][:3]] == [
        ("click", "set0"),
        ("like", "set0"),
        ("shared", "set0"),
    ]
    assert {space["set"] for space in found["spaces"] if space["run"] == "stem"} == {"shared", "click", "like"}
    assert sum(found["best"]["shared"].values()) == pytest.approx(1.0)
    assert sum(found["best"]["stem"].values()) > 1.0
    assert (output / "distances.png").is_file()
    assert run(entanglement, *flags(runs), f"--output={output}") == 1
    assert run(entanglement, *flags(runs), f"--output={output}", "--overwrite") == 0


@pytest.mark.slow
def test_entanglement_says_what_is_wrong(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = f"--output={tmp_path / 'none'}"
    assert run(entanglement, *flags(runs, user="person"), output) == 1
    assert "no set with tables 'person' and 'ad_id'. Its tables are ad_id, user_id" in capsys.readouterr().err
    assert run(entanglement, *flags(runs, first="stem"), output) == 1
    assert "has several embedding sets" in capsys.readouterr().err
    assert run(entanglement, *[f for f in flags(runs) if "--runs" not in f], "--runs=stem", output) == 1
    assert "'stem' is not name:run" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_conflicts_of_a_run(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "conflicts"
    assert run(conflicts, f"--run={runs / 'stem'}", f"--output={output}", "--batches=3", "--batch_size=256") == 0
    assert "Mean gate weights" in capsys.readouterr().out
    found = json.loads((output / "conflicts.json").read_text())
    for row in found["gates"].values():
        assert sum(row.values()) == pytest.approx(1.0, abs=1e-5)
    # A task trains its own set and the shared one, so that only there a second gradient comes.
    assert found["cosines"]["click"]["click"]["like"] is None
    assert found["cosines"]["shared"]["click"]["click"] == pytest.approx(1.0, abs=1e-5)
    assert -1 <= found["cosines"]["shared"]["click"]["like"] <= 1
    assert {file.name for file in output.glob("*.png")} == {
        "gates.png",
        "gradients_shared.png",
        "gradients_click.png",
        "gradients_like.png",
    }
    assert run(conflicts, f"--run={runs / 'click'}", f"--output={tmp_path / 'one'}") == 1
    assert "predicts click alone" in capsys.readouterr().err


@pytest.mark.slow
def test_gradients_are_those_of_each_loss(runs: Path) -> None:
    from fullrank.data import read_records, read_schema

    model = load_run(runs / "shared").model
    batch = next(iter(read_records(read_schema(runs / "records"), split="validation", batch_size=64)))
    _, products = look_into(model, batch)
    table = next(iter(model.table_variables.values()))
    found = []
    for place in range(2):
        with tf.GradientTape() as tape:
            read = model.inside(batch)
            labels = tf.stack([batch[task] for task in model.wiring.tasks], axis=1)
            loss = model.objective.losses(read.predicted, labels, None)[place]
        found.append(tape.gradient(loss, read.fields[0]).numpy().astype(np.float64))
    assert table.shape[1] == 4
    np.testing.assert_allclose(products.numpy()[0, 0, 1], (found[0] * found[1]).sum(), rtol=1e-3, atol=1e-9)


def test_cosines_by_hand() -> None:
    # Gradients (3, 4) and (4, 3): inner products 25, 24, 25, so cosine .96; a task without a gradient has none.
    found = cosines_of(np.array([[[25.0, 24.0, 0.0], [24.0, 25.0, 0.0], [0.0, 0.0, 0.0]]]))
    np.testing.assert_allclose(found[0, :2, :2], [[1.0, 0.96], [0.96, 1.0]])
    assert np.isnan(found[0, 2]).all()
