"""Objectives and teachers by the command line: another run, an export, a column, the moving average; and resuming."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ran_commands import run as exit_code

from fullrank.data import read_records, read_schema
from fullrank.models.objectives.ranking import MAX_PAIRS
from fullrank.trainers import export, train
from fullrank.trainers.config.objective import ObjectiveConfig
from fullrank.trainers.training.callbacks.saving import Saving
from fullrank.trainers.training.load_run import load_run

FLAGS = (
    "--batch_size=64", "--model=single", "--widths=4", "--experts=flat", "--hidden=8", "--tower=", "--epochs=1",
    "--table_learning_rate=0.2", "--progress=none", "--tensorboard=false",
)  # fmt: skip


class Killed(BaseException):
    """Stands in for kill -9: nothing after it runs."""


def run(records: Path, output: Path, *flags: str) -> int:
    return exit_code(train, f"--data={records}", f"--output={output}", *FLAGS, *flags)


def weights(path: Path) -> list[np.ndarray[Any, Any]]:
    return [weight.numpy() for weight in load_run(path).model.weights]


def loss_of(path: Path) -> float:
    return float([json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()][-1]["loss"])


@pytest.fixture(scope="module")
def plain(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("plain") / "run"
    assert run(toy_records, output) == 0
    return output


def test_a_run_and_its_export_teach_alike(toy_records: Path, toy_run: Path, plain: Path, tmp_path: Path) -> None:
    export.run(["export", f"--run={toy_run}", f"--output={tmp_path}/served"])
    alike = ("--deterministic=false", "--shuffle=false", "--residual_weight=0.3", "--training_hidden=4")
    for name, teacher in (("by_run", toy_run), ("by_export", tmp_path / "served"), ("version", tmp_path / "served/1")):
        assert run(toy_records, tmp_path / name, f"--teacher={teacher}", *alike) == 0
    by_run = weights(tmp_path / "by_run")
    for name in ("by_export", "version"):
        for ours, theirs in zip(by_run, weights(tmp_path / name), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert loss_of(tmp_path / "by_run") > loss_of(plain)  # it learns more than the labels
    assert [w.shape for w in by_run] == [w.shape for w in weights(plain)]  # of which a trained model keeps nothing


def test_a_column_of_the_records_teaches(toy_records: Path, tmp_path: Path) -> None:
    schema = dataclasses.replace(read_schema(toy_records), extras=("teacher",))
    from fullrank.data import Ragged, write_records

    draw = np.random.default_rng(0)
    splits: dict[str, Any] = {}
    for name, size in (("train", 600), ("validation", 200)):
        clicks = (draw.random(size) < 0.4).astype(np.float32)
        splits[name] = {
            "user": draw.integers(0, 30, size),
            "item": np.array([b"item%d" % n for n in draw.integers(0, 20, size)], object),
            "tags": Ragged(draw.integers(0, 9, 2 * size), np.full(size, 2, np.int32)),
            "age": draw.normal(size=size).astype(np.float32),
            "click": clicks,
            "like": clicks,
            "region": np.array([b"de"] * size, object),
            "teacher": np.where(draw.random(size) < 0.3, np.nan, 0.1 + 0.8 * clicks).astype(np.float32),
        }
    vocabulary = [b"item%d" % number for number in range(20)]
    write_records(tmp_path / "records", schema=schema, splits=splits, vocabularies={"item": vocabulary})
    records = tmp_path / "records"
    assert "teacher" in next(iter(read_records(records, split="train", batch_size=4)))
    for name, flag in (("alone", "teacher"), ("named", "click:teacher")):
        assert run(records, tmp_path / name, f"--teacher_columns={flag}", "--residual_weight=0.5") == 0
    assert (tmp_path / "alone" / "result.json").is_file()


def test_a_killed_run_with_a_moving_average_goes_on_to_the_same_bits(
    toy_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
    taught = ("--teacher=ema", "--teacher_decay=0.9", "--residual_weight=0.5", "--ranking=pairwise", "--max_pairs=50")
    grouped = ("--group_places=user,representation", "--group_codes=4")
    flags = (*taught, *grouped, "--ema_decay=0.9", "--deterministic", "--checkpoint_steps=7")
    assert run(toy_records, tmp_path / "whole", *flags) == 0
    saves: list[int] = []
    original = Saving._now

    def now(self: Saving) -> None:
        saves.append(1)
        if len(saves) == 2:
            raise Killed
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Saving, "_now", now)
        with pytest.raises(Killed):
            run(toy_records, tmp_path / "killed", *flags)
    assert run(toy_records, tmp_path / "killed", *flags) == 0
    for ours, theirs in zip(weights(tmp_path / "killed"), weights(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_moving_average_follows_the_model_and_shares_its_tables(toy_records: Path, tmp_path: Path) -> None:
    from fullrank.trainers.config.model import ModelConfig
    from fullrank.trainers.config.optimizer import OptimizerConfig
    from fullrank.trainers.training.build_model import build_model, compile_model
    from fullrank.trainers.training.teachers import give_teacher

    schema = read_schema(toy_records)
    config = ModelConfig(model="single", widths=(4,), experts=("flat",), hidden=(8,), tower=(5,))
    objective = ObjectiveConfig(teacher="ema", teacher_decay=0.5)
    model = build_model(config, schema, objective=objective)
    taught = give_teacher(model, objective, schema, twin=lambda: build_model(config, schema, tables_of=model))
    dense = {weight.ref() for weight in model.trainable_weights} - {w.ref() for w in model.table_variables.values()}
    assert len(taught.averages) == len(dense - {w.ref() for w in model.learning.weights})
    compile_model(model, OptimizerConfig(), total_steps=3)
    batch = next(iter(read_records(toy_records, split="train", batch_size=64)))
    assert model.learning.teacher is not None
    np.testing.assert_allclose(model.learning.teacher(batch)["click"], model(batch)["click"], rtol=1e-6)
    bias = next(w for w in model.head.weights if "bias" in w.name)
    average = next(a for a in taught.averages if a.shape == bias.shape and "logits" in a.name and "bias" in a.name)
    seen = float(bias[0, 0])
    expected = seen
    for step in range(3):
        model.fit(tf.data.Dataset.from_tensors(batch), callbacks=list(taught.callbacks), verbose=0)
        decay = min(0.5, (2 + step) / (11 + step))
        expected = decay * expected + (1 - decay) * float(bias[0, 0])
    assert float(average[0, 0]) == pytest.approx(expected, rel=1e-4)
    assert float(bias[0, 0]) != seen


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--teacher=nowhere",), "--teacher=nowhere is neither a run directory nor an export"),
        (("--teacher=ema", "--teacher_columns=age"), "are two teachers"),
        (("--residual_weight=0.1",), "--residual_weight needs a teacher"),
        (
            ("--ranking_weight=0.2",),
            "--ranking_weight takes effect only with --ranking: leave it out, or give that, too.",
        ),
        (("--max_pairs=9", "--ranking=listwise"), "--max_pairs takes effect only with --ranking=pairwise:"),
        (("--teacher_columns=region",), "the records have no number 'region' for each example"),
        (("--teacher_columns=like:age",), "the model has no task 'like'. Tasks: click."),
        (("--ranking=pairwise", "--ranking_key=age"), "The ranking key is a column of one id"),
        (("--group_codes=9",), "--group_codes takes effect only with --group_places:"),
        (("--classification=focal", "--head=gp"), "Take classification='cross_entropy' or 'class_balanced'"),
    ],
)
def test_flags_that_cannot_be(
    toy_records: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    assert run(toy_records, tmp_path / "run", *flags) != 0
    assert message in capfd.readouterr().err
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_teacher_of_other_tasks_is_refused_before_there_is_a_run(
    toy_records: Path, plain: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export.run(["export", f"--run={plain}", f"--output={tmp_path}/served"])
    for teacher in (plain, tmp_path / "served"):
        assert run(toy_records, tmp_path / "run", f"--teacher={teacher}", "--tasks=like") != 0
        assert f"--teacher={teacher} predicts click, but none of the binary tasks like." in capfd.readouterr().err
        assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_records_is_refused(
    toy_run: Path, make_records: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records = make_records(tmp_path / "records")
    text = (records / "schema.json").read_text()
    (records / "schema.json").write_text(text.replace('"name": "age"', '"name": "years"'))
    assert run(records, tmp_path / "run", f"--teacher={toy_run}") != 0
    assert "has no column 'age', which the model was trained with" in capfd.readouterr().err


def test_the_flag_and_the_function_draw_as_many_pairs() -> None:
    assert ObjectiveConfig().max_pairs == MAX_PAIRS
