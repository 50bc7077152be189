"""Training into a run directory, in one process."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_runs import events, lines, small

from fullrank.data import Label, Sparse, read_records, read_schema
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.layers.legacy_keras import keras
from fullrank.trainers.config import json as config_json
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.training.build_model import build_model, compile_model
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.records import sized
from fullrank.trainers.training.train_model import train_model


def test_a_run_learns_and_its_directory_holds_all_that_is_promised(toy_run: Path, toy_records: Path) -> None:
    result = json.loads((toy_run / "result.json").read_text())
    assert result["monitor"] == "val_mean_ne"
    assert result["best"]["val_click_auc"] > 0.75
    assert result["best"]["val_like_auc"] > 0.7
    assert result["best"]["val_click_ne"] < 0.9
    assert result["steps"] == 3 * 19  # 1200 / 64 = 18.75
    config = json.loads((toy_run / "config.json").read_text())
    assert set(config) == {"config", "command", "versions", "git_commit", "data", "created"}
    assert {"python", "fullrank", "tensorflow", "tf-keras", "numpy"} <= set(config["versions"])
    assert config["data"]["examples"] == {"train": 1200, "validation": 300, "test": 300}
    assert (toy_run / "schema.json").read_bytes() == (toy_records / "schema.json").read_bytes()
    assert (toy_run / "vocabulary" / "item.txt").read_bytes() == (toy_records / "vocabulary" / "item.txt").read_bytes()
    assert {path.name for path in (toy_run / "events").iterdir()} == {"train", "validation"}
    assert (toy_run / "checkpoints" / "checkpoint").is_file()
    assert (toy_run / "best" / "checkpoint").is_file()
    assert not list(toy_run.parent.glob("*.writing-*"))
    assert not list(toy_run.parent.glob(".*.lock"))


def test_metrics_are_a_line_every_few_steps_and_every_epoch(toy_run: Path) -> None:
    steps = [(line["epoch"], line["step"]) for line in lines(toy_run, "train")]
    assert steps == [(e + 1, 19 * e + s) for e in range(3) for s in (5, 10, 15)]
    epochs = lines(toy_run, "epoch")
    assert [(line["epoch"], line["step"]) for line in epochs] == [(1, 19), (2, 38), (3, 57)]
    for name in ("auc", "log_loss", "ne", "ece", "bias"):
        assert all(line[f"{part}click_{name}"] > 0 for line in epochs for part in ("", "val_"))
    assert all(line["learning_rate"] == pytest.approx(0.005) for line in epochs)
    assert all(line["examples_per_second"] > 0 for line in lines(toy_run, "train"))
    assert all(line["val_loss"] > 0 for line in epochs)


def test_the_loss_is_the_mean_over_the_examples_of_the_epoch(toy_run: Path, toy_records: Path) -> None:
    """Two tasks of equal weight; 300 examples are batches of 128, 128 and 44, of which the last counts less."""
    loaded = load_run(toy_run)
    loaded.model.compile(optimizer="sgd")
    batches = list(read_records(toy_records, split="validation", batch_size=128))
    of_batches = [float(loaded.model.compute_loss(batch)) for batch in batches]
    dataset = read_records(toy_records, split="validation", batch_size=128)
    found = loaded.model.evaluate(dataset, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(np.average(of_batches, weights=[128, 128, 44]), rel=1e-5)
    assert found["total_loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert "loss_means" not in found


def test_events_hold_the_same_numbers_for_tensorboard(toy_run: Path) -> None:
    def written(kind: str, name: str) -> Any:
        return pytest.approx({line["step"]: line[name] for line in lines(toy_run, kind)}, abs=1e-6)

    assert dict(events(toy_run / "events" / "train", "step/click_auc")) == written("train", "click_auc")
    assert dict(events(toy_run / "events" / "train", "epoch/like_ne")) == written("epoch", "like_ne")
    assert dict(events(toy_run / "events" / "validation", "epoch/like_ne")) == written("epoch", "val_like_ne")


def test_the_best_epoch_is_that_of_the_smallest_mean_ne(toy_run: Path) -> None:
    values = [(line["val_click_ne"] + line["val_like_ne"]) / 2 for line in lines(toy_run, "epoch")]
    result = json.loads((toy_run / "result.json").read_text())
    assert result["best_epoch"] == 1 + int(np.argmin(values))
    assert result["best"]["val_mean_ne"] == pytest.approx(min(values), rel=1e-6)


def test_the_best_weights_give_the_metrics_they_were_chosen_for(toy_run: Path, toy_records: Path) -> None:
    loaded = load_run(toy_run)
    loaded.model.compile()
    logs = loaded.model.evaluate(
        read_records(toy_records, split="validation", batch_size=64), return_dict=True, verbose=0
    )
    result = json.loads((toy_run / "result.json").read_text())
    assert logs["click_auc"] == pytest.approx(result["best"]["val_click_auc"], abs=1e-6)


def test_a_run_needs_nothing_but_its_directory(toy_run: Path, toy_records: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(toy_run, moved)
    batch = next(iter(read_records(toy_records, split="test", batch_size=8)))
    ours, theirs = load_run(moved).model(batch), load_run(toy_run).model(batch)
    np.testing.assert_array_equal(ours["click"], theirs["click"])


def test_a_directory_that_is_no_run_is_left_alone(toy_records: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="exists and is not a run directory"):
            train_model(small(toy_records, tmp_path / "photos", overwrite=overwrite))
    with pytest.raises(ValueError, match=r"is not a run directory: it has no config\.json"):
        load_run(tmp_path / "photos")
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_two_processes_cannot_train_in_one_directory(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    # The lock is one of the open file, so that a second one in this process is refused as another process's would be.
    with run.locked(), pytest.raises(ValueError, match="another process is training here"), run.locked():
        pass
    with run.locked():
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_validation_the_last_weights_are_the_best(toy_records: Path, tmp_path: Path) -> None:
    result = train_model(small(toy_records, tmp_path / "run", validation_split="", epochs=1))
    assert (result["monitor"], result["best_epoch"]) == (None, 1)
    assert not any(name.startswith("val_") for name in result["best"])
    load_run(tmp_path / "run")


def test_patience_ends_a_run_early_and_says_why(
    toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A learning rate of 1 on so few examples soon stops improving.
    config = small(toy_records, tmp_path / "run", epochs=30, patience=1, table_learning_rate=1.0, steps_per_epoch=8)
    result = train_model(config)
    assert result["epochs"] < 30
    assert result["best_epoch"] == result["epochs"] - 1
    assert result["stopped"] == "no better val_click_ne in 1 epoch(s)"
    assert "stopped: no better val_click_ne" in capsys.readouterr().out
    assert train_model(config) == result


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ("buy",)}, "has no label 'buy'. Known: click, like"),
        ({"plateau_patience": 2}, "--plateau_patience=2 would lower the learning rates when --patience=2 stops"),
        ({"plateau_patience": 1, "schedule": "cosine"}, "--plateau_patience lowers constant learning rates"),
        ({"plateau_patience": 1, "validation_split": ""}, "--plateau_patience needs validations"),
        ({"plateau_factor": 0.5}, "--plateau_factor takes effect only with --plateau_patience"),
        ({"monitor": "accuracy"}, "--monitor=accuracy: no such metric. Known: auto, auc, log_loss"),
        ({"validation_split": "dev"}, "has no split 'dev' to validate on. Splits: train, validation, test."),
        ({"train_split": "training"}, "has no split 'training'"),
        ({"experts": ("deep",)}, "Unknown expert 'deep'. Known: flat, fm"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, toy_records: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")) as caught:
        train_model(small(toy_records, tmp_path / "run", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_ends_with_advice_and_keeps_what_was_saved(
    toy_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullrank.trainers.training.train_model.check_splits", lambda *arguments: None)
    config = small(toy_records, tmp_path / "run", dense_optimizer="sgd", learning_rate=1e30, log_steps=3)
    with pytest.raises(ValueError, match=r"the loss became (nan|inf).* Lower --learning_rate"):
        train_model(config)
    assert not (tmp_path / "run" / "result.json").exists()
    assert not list((tmp_path / "run").glob("checkpoints/*.index"))


def test_mixed_precision_computes_in_bfloat16_and_leaves_no_trace(toy_records: Path, tmp_path: Path) -> None:
    result = train_model(small(toy_records, tmp_path / "run", mixed_precision=True))
    assert result["best"]["val_click_auc"] > 0.6
    assert keras.mixed_precision.global_policy().name == "float32"
    assert not keras.backend.experimental.is_tf_random_generator_enabled()
    model = load_run(tmp_path / "run").model
    assert model.compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights if weight.dtype.is_floating} <= {tf.float32, tf.float64}


def test_the_learning_rate_follows_its_schedule(toy_records: Path, tmp_path: Path) -> None:
    config = small(
        toy_records,
        tmp_path / "run",
        validation_split="",
        epochs=4,
        schedule="linear",
        warmup_steps=19,
        learning_rate=0.01,
        final_rate=0.1,
    )
    train_model(config)
    # The rate of an epoch's last step, t = 18, 37, 56, 75 from 0: the warm-up ends at .01 (19 / 19), then
    # .01 - .009 (t - 19) / 57, with t - 19 = 18, 37, 56.
    rates = [line["learning_rate"] for line in lines(tmp_path / "run", "epoch")]
    assert rates == pytest.approx([0.01, 0.0071579, 0.0041579, 0.0011579], rel=1e-4)


def test_a_run_reads_the_flags_of_another_from_its_config(toy_run: Path) -> None:
    config = RunDirectory(toy_run).config()
    assert config.model.tasks == ("click", "like")
    assert config == config_json.from_json(config_json.to_json(config), source="test")
    changed = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=9))
    assert config_json.differences(config, changed) == ["--epochs was 3, is now 9"]


def test_configurations_are_hashable_plain_data() -> None:
    config = RunConfig(data=DataConfig(data="d"), train=TrainConfig(output="o"), optimizer=OptimizerConfig(clip_norm=1))
    assert hash(config) == hash(dataclasses.replace(config))


def test_a_checkpoint_holds_lowered_rates_and_dense_weights_decay(toy_records: Path, tmp_path: Path) -> None:
    """Decoupled decay takes rate * decay = 0.1 * 0.5 = 5 % of a weight that no gradient moves."""

    def compiled() -> Any:
        config = small(toy_records, tmp_path / "run", learning_rate=0.1, weight_decay=0.5, dense_optimizer="sgd")
        model = build_model(config.model, read_schema(toy_records))
        compile_model(model, config.optimizer, total_steps=1)
        model.optimizer.build(model.trainable_variables)
        return model

    model = compiled()
    kernel = next(weight for weight in model.trainable_weights if "kernel" in weight.name)
    tables = [table.numpy() for table in model.table_variables.values()]
    before = kernel.numpy()
    model.optimizer.apply_gradients([(tf.zeros_like(weight), weight) for weight in model.trainable_variables])
    np.testing.assert_allclose(kernel.numpy(), 0.95 * before, rtol=1e-6)
    for table, kept in zip(model.table_variables.values(), tables, strict=True):
        np.testing.assert_array_equal(table.numpy(), kept)
    model.optimizer.learning_rate.assign(0.03)
    path = tf.train.Checkpoint(optimizer=model.optimizer).write(str(tmp_path / "state"))
    resumed = compiled()
    tf.train.Checkpoint(optimizer=resumed.optimizer).read(path).assert_existing_objects_matched()
    assert float(resumed.optimizer.learning_rate) == pytest.approx(0.03)


@pytest.mark.parametrize(("examples", "size"), [(1, 128), (16_384, 128), (33_462, 256), (80_000, 512), (10**9, 2048)])
def test_a_batch_leaves_enough_steps_unless_it_is_given(examples: int, size: int) -> None:
    shard = Shard(file="f", examples=examples)
    split = Split(name="train", shards=(shard,))
    schema = Schema(name="s", features=(Sparse(name="a"),), labels=(Label(name="click"),), splits=(split,))
    config = RunConfig(data=DataConfig(data="d"), train=TrainConfig(output="o"))
    found = sized(config, schema)
    assert found.data.batch_size == size
    assert dataclasses.replace(found, data=config.data) == config
    given = dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=7))
    assert sized(given, schema) is given
