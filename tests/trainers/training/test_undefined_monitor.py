"""Labels that leave metrics undefined: said before training, and neither better nor worse after an epoch."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullrank import models
from fullrank.data import Columns, IdMap, read_schema, write_records
from fullrank.data.schema.features import Key, Label, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.models.heads.task_outputs import TaskOutputs
from fullrank.trainers import evaluate
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig, WarmStartConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.run.checkpoints import TrainingState
from fullrank.trainers.training.callbacks.early_stopping import EarlyStopping
from fullrank.trainers.training.callbacks.monitors import watched
from fullrank.trainers.training.label_classes import LabelClasses, look_at_labels
from fullrank.trainers.training.records import validation_batches
from fullrank.trainers.training.train_model import train_model
from fullrank.trainers.training.warnings import few_steps_warning, label_warnings, undefined_metrics

NAN = float("nan")
SIZES: Mapping[str, int] = {"train": 64, "validation": 16, "test": 16}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes records of a click and a buy; by default each has both classes and weight 1."""

    def write(**changes: Any) -> Path:
        splits: dict[str, Columns] = {}
        for split, size in SIZES.items():
            rows = np.arange(size)
            columns: dict[str, Any] = {
                "user": rows % 5,
                "click": (rows % 2).astype(np.float32),
                "buy": (rows % 3 == 0).astype(np.float32),
                "w": np.ones(size, np.float32),
            }
            for name, value in changes.items():
                column, _, only = name.partition("__")
                if only in ("", split):
                    columns[column] = np.full(size, value, np.float32)
            splits[split] = columns
        schema = Schema(
            name="toy",
            features=(Sparse(name="user", ids=IdMap(kind="identity", size=5)),),
            labels=(Label(name="click"), Label(name="buy")),
            weight="w",
            keys=(Key(name="user"),),
        )
        write_records(tmp_path / "records", schema=schema, splits=splits, vocabularies={}, shards=1)
        return tmp_path / "records"

    return write


def config(records: Path, **train: Any) -> RunConfig:
    return RunConfig(
        data=DataConfig(data=str(records), batch_size=16),
        model=ModelConfig(
            model="shared_bottom", tasks=("click", "buy"), experts=("flat",), widths=(2,), hidden=(4,), expert_width=4
        ),
        train=TrainConfig(
            output=str(records.parent / "run"),
            progress="none",
            tensorboard=False,
            **{"epochs": 4, "monitor": "auc", **train},
        ),
    )


def test_a_monitor_that_is_undefined_throughout_keeps_the_last_weights(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    result = train_model(config(make(click__validation=0.0), patience=2))
    assert (result["epochs"], result["best_epoch"], result["stopped"]) == (4, 4, None)
    assert result["undefined"] == dict.fromkeys(
        ["val_click_auc", "val_click_ne", "val_click_bias", "val_click_ne_calibrated"], "no positive label"
    )
    assert result["best"]["val_buy_auc"] is not None
    captured = capsys.readouterr()
    assert captured.err == (
        "warning: click: no label is positive in the 16 examples of split 'validation', so that AUC, NE and bias are "
        "undefined.\n"
        "warning: val_click_auc, which --monitor names, is undefined in every epoch and cannot choose one: the weights "
        "of the last epoch will be kept. To choose an epoch, take --monitor=click_log_loss, which is defined.\n"
    )
    assert [line for line in captured.out.splitlines() if line.startswith("epoch")] == [
        f"epoch {epoch}: val_click_auc is undefined (no positive label), so this epoch is neither better nor worse."
        for epoch in (1, 2, 3, 4)
    ]
    assert "last weights, because val_click_auc was undefined in every validation, after epoch 4 of 4." in captured.out


def test_a_batch_that_leaves_few_steps_is_said(make: Callable[..., Path]) -> None:
    run = config(make(), epochs=1)

    def said(batch_size: int, *, steps: int) -> list[str]:
        large = dataclasses.replace(run, data=dataclasses.replace(run.data, batch_size=batch_size))
        return few_steps_warning(large, steps=steps)

    assert said(2048, steps=1) == [
        "--batch_size=2048 and --epochs=1 make 1 step in all, in which little is learned: take a smaller batch, such "
        "as --batch_size=64, or more epochs."
    ]
    # 10 steps of 2,048 are 20,480 examples, of which 20 steps of 1,024 can be made.
    assert "--batch_size=1024" in said(2048, steps=10)[0]
    assert said(2048, steps=20) == []
    assert said(64, steps=1) == []
    started = dataclasses.replace(run, warm_start=WarmStartConfig(start="runs/yesterday"))
    assert few_steps_warning(started, steps=1) == []


def test_the_monitor_that_the_warning_names_works(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    result = train_model(config(make(click__validation=0.0), monitor="click_log_loss", epochs=1))
    assert result["best"]["val_click_log_loss"] > 0
    assert "--monitor" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "monitor", "expected"),
    [
        ({}, "val_click_auc", []),
        ({}, None, []),
        ({"click__validation": 1.0}, "val_click_log_loss", ["every label is positive in the 16 .* AUC and NE are"]),
        (
            {"click__validation": NAN},
            "val_click_auc",
            ["click: no label is observed in the 16 .* all its metrics are", "take --monitor=buy_auc, which is"],
        ),
        (
            {"w__validation": 0.0},
            "val_click_auc",
            [
                "click: every observed label has weight 0 in",
                "buy: every observed label has weight 0 in",
                "name another --validation_split",
            ],
        ),
        (
            {"click__validation": 0.0},
            "val_mean_auc",
            ["click: no label is positive", "The monitored mean of auc leaves out click"],
        ),
        ({"buy__train": 0.0}, "val_click_auc", ["buy: no label is positive in the 64 .* nothing to learn for this"]),
        ({"buy__train": NAN}, None, ["buy: no label is observed in the 64 examples of split 'train'"]),
    ],
)
def test_what_labels_cannot_give_is_said_before_training(
    make: Callable[..., Path], changes: dict[str, float], monitor: str | None, expected: list[str], tmp_path: Path
) -> None:
    records = make(**changes)
    schema = read_schema(records)
    data = DataConfig(data=str(records), batch_size=8)
    said = label_warnings(
        data,
        schema,
        outputs=TaskOutputs(schema, models.single(tasks=("click", "buy")), models.RankerOptions()),
        monitor=monitor,
        validation=lambda: validation_batches(data, schema, cache=tmp_path),
        cache=tmp_path,
    )
    assert len(said) == len(expected), said
    for sentence, pattern in zip(said, expected, strict=True):
        assert re.search(pattern, sentence), sentence


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w__train": 0.0}, r"nothing to train on in the 64 .*every observed label has weight 0.* column 'w'"),
        ({"click__train": NAN, "buy__train": NAN}, r"nothing to train on .*click: no label is observed; buy: no label"),
    ],
)
def test_labels_that_teach_nothing_are_refused(
    make: Callable[..., Path], changes: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train_model(config(make(**changes)))


def test_the_look_ends_when_there_is_nothing_more_to_see() -> None:
    read = []

    def batches() -> Any:
        for number in range(100):
            read.append(number)
            yield {"click": np.array([0.0, 1.0 if number == 2 else NAN]), "w": np.array([1.0, 1.0])}

    found, examples = look_at_labels(batches(), tasks={"click": True}, weight="w")
    assert (found["click"].lack, examples, read) == (None, 6, [0, 1, 2])


def test_soft_labels_are_of_both_classes_and_values_of_none() -> None:
    soft, value = LabelClasses(is_binary=True), LabelClasses(is_binary=False)
    for classes in (soft, value):
        classes.add(np.array([0.3]), None)
        assert classes.lack is None
    assert soft.defined == ("auc", "log_loss", "ne", "ece")
    assert value.defined == ("rmse", "mae")


def test_an_undefined_validation_uses_no_patience() -> None:
    state, saved, told = TrainingState(), [], []
    callback = EarlyStopping(
        state,
        monitor="val_click_auc",
        patience=2,
        save_best=lambda: saved.append(epoch),
        on_undefined=lambda number, _: told.append(number),
    )
    for epoch, value in enumerate([NAN, 0.5, NAN, NAN, NAN, 0.4, NAN, 0.6], start=1):
        callback.on_epoch_end(epoch - 1, {"val_click_auc": value})
    # The weights of epoch 1 are kept for want of others; epoch 6 is one epoch without improvement, 8 is better.
    assert saved == [1, 2, 8]
    assert told == [1, 3, 4, 5, 7]
    progress = state.progress
    assert (progress.best, progress.best_epoch, progress.stale, progress.undefined) == (0.6, 8, 0, 5)
    assert (progress.plateau, progress.stopped) == (0, "")


def test_reasons_are_told_by_the_mean_label() -> None:
    values = {
        "val_click_auc": None,
        "val_click_log_loss": 0.3,
        "val_click_base_rate": 0.0,
        "val_buy_auc": NAN,
        "val_buy_base_rate": 1.0,
        "val_like_auc": NAN,
        "val_like_base_rate": NAN,
        "val_spend_bias": None,
        "val_spend_mean_label": -0.5,
        "click_auc": None,
    }
    assert undefined_metrics(values, tasks=("click", "buy", "like", "spend")) == {
        "val_click_auc": "no positive label",
        "val_buy_auc": "no negative label",
        "val_like_auc": "no label that counts",
        "val_like_base_rate": "no label that counts",
        "val_spend_bias": "labels whose sum is not positive",
    }


def test_the_tasks_of_a_monitor() -> None:
    tasks = {"click": True, "click_late": True, "spend": False}
    assert watched("val_click_late_ne", tasks=tasks) == (("click_late",), "ne")
    assert watched("val_click_log_loss", tasks=tasks) == (("click",), "log_loss")
    assert watched("val_mean_auc", tasks=tasks) == (("click", "click_late"), "auc")
    assert watched("val_mean_rmse", tasks=tasks) == (("spend",), "rmse")


def test_evaluation_names_what_is_undefined_and_compares_what_is_not(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    records = make(click__test=0.0, buy__test=NAN)
    train_model(config(records, epochs=1))
    run, file = records.parent / "run", tmp_path / "eval.json"
    capsys.readouterr()
    evaluate.run(["evaluate", f"--run={run}", f"--baseline={run}", f"--json={file}"])
    shown = capsys.readouterr().out.splitlines()
    assert "click: auc, ne, bias, gauc undefined: no positive label." not in shown
    assert "click: auc, ne, bias undefined: no positive label." in shown
    assert "click: gauc undefined: no user has both classes." in shown
    assert any(line.startswith("buy: auc, log_loss, ne") and "of positive weight." in line for line in shown)
    assert "nan" not in "\n".join(shown).casefold()
    assert '"gain": "no observed label of positive weight"' in file.read_text()
    assert "NaN" not in file.read_text()


def test_a_baseline_on_rows_of_weight_0_is_no_error(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    records = make(w__test=0.0)
    train_model(config(records, epochs=1))
    evaluate.run(["evaluate", f"--run={records.parent / 'run'}", f"--baseline={records.parent / 'run'}"])
    assert "gain undefined: no observed label of positive weight." in capsys.readouterr().out


def test_a_missing_weight_is_one(make: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """All clicks lack a weight, the others weigh 1: half of the weight is clicked."""
    missing = np.where(np.arange(16) % 2 == 1, NAN, 1.0)
    records = make(w__validation=missing, w__test=missing)
    result = train_model(config(records, epochs=1))
    assert result["best"]["val_click_base_rate"] == 0.5
    assert "no label is positive" not in capsys.readouterr().err
    evaluate.run(["evaluate", f"--run={records.parent / 'run'}", f"--json={tmp_path / 'eval.json'}"])
    found = json.loads((tmp_path / "eval.json").read_text())["click"]
    assert (found["examples"], found["base_rate"]) == (16, 0.5)
