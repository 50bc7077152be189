"""What is saved is finite, and what cannot be read again says which file it is and what to do."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data import read_schema
from fullrank.layers.legacy_keras import keras
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.objective import ObjectiveConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.run.checkpoints import Checkpoints, Stream, TrainingState
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.weights import describe_not_finite, not_finite, restore_best, save_best
from fullrank.trainers.training.callbacks.stop_on_nan import StopOnNaN, TrainingDivergedError
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.teachers import give_teacher
from fullrank.trainers.training.train_model import train_model

NAN, INF = float("nan"), float("inf")


def variable(*values: float, name: str = "v") -> tf.Variable:
    return tf.Variable(np.array(values, np.float32), name=name)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_number_that_is_not_finite_is_found(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullrank.trainers.run.weights._BLOCK", 2)
    # The sum of two large numbers is infinite in float32, though both are finite.
    good = [variable(1.0, 2.0), variable(3e38, 3e38, 1.0), tf.Variable([1, 2]), tf.Variable(["x"])]
    assert not_finite(good) == []
    assert not_finite([*good, variable(1.0, 2.0, 3.0, 4.0, bad, name="table")]) == ["table"]


def test_infinite_numbers_that_cancel_are_found() -> None:
    assert not_finite([variable(INF, -INF, name="a"), variable(NAN, name="b")]) == ["a", "b"]
    assert describe_not_finite(["a", "b"]) == "a, b"
    assert describe_not_finite(list("abcde")) == "a, b, c and 2 more"


def test_weights_are_looked_at_where_they_are_saved() -> None:
    weights = [variable(1.0, name="kernel")]
    state = TrainingState()
    state.progress.global_step = 7
    watch = StopOnNaN(state, every=10, variables=lambda: weights)
    watch.on_epoch_end(0, {"loss": 0.5})
    weights[0].assign([INF])
    with pytest.raises(TrainingDivergedError, match="after step 7, there are NaN or infinite numbers in kernel: tr"):
        watch.on_epoch_end(0, {"loss": 0.5})


def test_a_prediction_of_validation_that_is_no_number_is_divergence() -> None:
    watch = StopOnNaN(TrainingState(), every=10)
    # Without a label the log loss is undefined, too, but then so is the base rate.
    watch.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.0, "val_click_log_loss": NAN, "val_click_base_rate": NAN})
    for logs in ({"val_loss": NAN}, {"val_click_log_loss": NAN, "val_click_base_rate": 0.5}):
        with pytest.raises(TrainingDivergedError, match="predictions of the validation split are NaN or infinite"):
            watch.on_epoch_end(0, logs)


def config(records: Path, output: Path, *, rate: float = 1e38, table_rate: float = 0.1) -> RunConfig:
    return RunConfig(
        data=DataConfig(data=str(records), batch_size=64),
        model=ModelConfig(model="single", experts=("flat",), widths=(4,), hidden=(8,), tower=()),
        optimizer=OptimizerConfig(dense_optimizer="sgd", learning_rate=rate, table_learning_rate=table_rate),
        train=TrainConfig(output=str(output), epochs=3, steps_per_epoch=1, progress="none", tensorboard=False),
    )


def test_a_step_into_nan_saves_nothing_and_is_not_repeated(toy_records: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(
        TrainingDivergedError, match=r"training has diverged\. Lower --learning_rate .* Nothing had been"
    ):
        train_model(config(toy_records, run))
    assert not list(run.glob("best/*"))
    assert not list(run.glob("checkpoints/*"))
    with pytest.raises(ValueError, match=r"run: this run has diverged, and the same command would do so again: after"):
        train_model(config(toy_records, run))
    # As the message says: other flags, the same --output.
    assert train_model(config(toy_records, run, rate=0.01))["epochs"] == 3
    assert not (run / "diverged.json").exists()


def test_the_last_finite_state_is_kept(toy_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    real = keras.callbacks.CallbackList.on_epoch_end

    def broken(self: keras.callbacks.CallbackList, epoch: int, logs: object = None) -> None:
        if epoch == 1:
            self.model.trainable_weights[0].assign(tf.fill(self.model.trainable_weights[0].shape, NAN))
        real(self, epoch, logs)

    monkeypatch.setattr(keras.callbacks.CallbackList, "on_epoch_end", broken)
    with pytest.raises(ValueError, match=r"What was saved before, in .*best and .*checkpoints, is finite and was kept"):
        train_model(config(toy_records, run, rate=0.01))
    assert [file.stem for file in run.glob("checkpoints/*.index")] == ["state-1"]
    assert not not_finite(load_run(run).model.weights)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has diverged, and the same command would do so again"):
        train_model(config(toy_records, run, rate=0.01))
    with pytest.raises(ValueError, match=r"--learning_rate was 0\.01, is now 0\.001"):
        train_model(config(toy_records, run, rate=0.001))


def cut(directory: Path) -> None:
    for file in directory.glob("*.data*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(directory: Path) -> None:
    for file in directory.glob("*.data*"):
        content = bytearray(file.read_bytes())
        content[:: len(content) // 50] = bytes(255 - value for value in content[:: len(content) // 50])
        file.write_bytes(bytes(content))


def cut_index(directory: Path) -> None:
    for file in directory.glob("*.index"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def remove(directory: Path) -> None:
    for file in directory.glob("*.data*"):
        file.unlink()


@pytest.mark.parametrize("damage", [cut, flip, cut_index, remove])
def test_damaged_weights_are_one_line_with_file_and_repair(
    damage: Callable[[Path], None], toy_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    damage(run / "best")
    with pytest.raises(
        ValueError, match=r"The weights \S*best/weights-\d cannot be read: .*\. Copy the run dir"
    ) as caught:
        load_run(run)
    assert "\n" not in str(caught.value)


def test_best_weights_are_found_without_their_list(tmp_path: Path, toy_run: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    (run / "best" / "checkpoint").write_text("}")
    expected, found = load_run(toy_run).model.weights, load_run(run).model.weights
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


class StandIn(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.dense.build((None, 2))
        self.compile("sgd")


def checkpoints(directory: Path) -> tuple[StandIn, TrainingState, Checkpoints]:
    model, state = StandIn(), TrainingState()
    stream = Stream(tf.data.Dataset.range(9))
    return model, state, Checkpoints(model=model, stream=stream, state=state, directory=directory)


def three_saved(directory: Path, *, last: float = 3.0) -> None:
    model, state, saved = checkpoints(directory)
    for step, value in enumerate((1.0, 2.0, last), start=1):
        model.dense.bias.assign([value])
        state.progress.global_step = step
        saved.save()


@pytest.mark.parametrize("damage", ["cut", "nan"])
def test_a_checkpoint_that_cannot_be_used_leaves_the_one_before_it(damage: str, tmp_path: Path) -> None:
    three_saved(tmp_path, last=NAN if damage == "nan" else 3.0)
    if damage == "cut":
        (file,) = tmp_path.glob("state-3.data*")
        file.write_bytes(b"")
    model, state, again = checkpoints(tmp_path)
    said: list[str] = []
    assert again.restore(say=said.append)
    assert (state.progress.global_step, model.dense.bias.numpy().tolist()) == (2, [2.0])
    (sentence,) = said
    assert sentence.startswith(f"The checkpoint {tmp_path}/state-3 ")
    assert sentence.endswith(f" Training resumes from {tmp_path}/state-2.")
    model.dense.bias.assign([4.0])
    again.save()
    model, _, again = checkpoints(tmp_path)
    assert again.restore()
    assert model.dense.bias.numpy().tolist() == [4.0]


def test_checkpoints_none_of_which_can_be_read_are_named(tmp_path: Path) -> None:
    three_saved(tmp_path)
    for file in tmp_path.glob("*.data*"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"state-3 cannot be read: .*/state-2 cannot be read: .* Start over with --ov"):
        checkpoints(tmp_path)[2].restore()


def test_checkpoints_survive_the_loss_of_their_list(tmp_path: Path) -> None:
    three_saved(tmp_path)
    (tmp_path / "checkpoint").write_text("}")
    model, _, again = checkpoints(tmp_path)
    assert again.restore()
    assert model.dense.bias.numpy().tolist() == [3.0]


def test_best_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = StandIn()
    model.dense.bias.assign([NAN])
    save_best(model, tmp_path)
    with pytest.raises(ValueError, match="hold NaN or infinite numbers in bias: training had"):
        restore_best(StandIn(), tmp_path)


def test_a_divergence_is_written_down_as_it_was_said(toy_records: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingDivergedError) as caught:
        train_model(config(toy_records, tmp_path / "run"))
    message = json.loads((tmp_path / "run" / "diverged.json").read_text())["message"]
    assert message in str(caught.value)


def test_an_export_that_is_cut_off_is_no_teacher(toy_records: Path, toy_run: Path, tmp_path: Path) -> None:
    student = load_run(toy_run).model
    export = tmp_path / "export" / "1"
    module = tf.Module()
    module.table = variable(1.0)
    tf.saved_model.save(module, str(export))
    cut(export / "variables")
    with pytest.raises(
        ValueError, match=r"--teacher=\S*export: the export \S*export/1 cannot be read: .*Copy it again"
    ):
        give_teacher(
            student, ObjectiveConfig(teacher=str(tmp_path / "export")), read_schema(toy_records), twin=lambda: student
        )


@pytest.mark.parametrize("name", ["result.json", "diverged.json"])
def test_a_damaged_result_is_written_again_after_it_was_removed(name: str, toy_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    (run / name).write_text('{"epochs": 3')
    directory = RunDirectory(run)
    with pytest.raises(ValueError, match=rf"{name} is damaged: expected a JSON object\. Remove it: the same command"):
        directory.result() if name == "result.json" else directory.divergence()
    (run / name).unlink()
    if name == "result.json":
        before = json.loads((toy_run / name).read_text())
        train = dataclasses.replace(directory.config().train, output=str(run))
        assert train_model(dataclasses.replace(directory.config(), train=train)) == before


def test_a_stopped_run_says_from_where_it_resumes(
    toy_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    real = keras.callbacks.CallbackList.on_train_batch_end

    def stop_at(step: int) -> None:
        def stopping(self: keras.callbacks.CallbackList, batch: int, logs: object = None) -> None:
            real(self, batch, logs)
            if int(self.model.optimizer.iterations) == step:
                raise KeyboardInterrupt

        monkeypatch.setattr(keras.callbacks.CallbackList, "on_train_batch_end", stopping)

    for step, kept in (
        (1, "Nothing had been saved: the same command starts over."),
        (2, "The checkpoint of step 1 is"),
    ):
        stop_at(step)
        with pytest.raises(KeyboardInterrupt):
            train_model(config(toy_records, run, rate=0.01))
        assert f"{run}: stopped after step {step}. {kept}" in capsys.readouterr().err
    stop_at(3)
    with pytest.raises(KeyboardInterrupt):
        train_model(config(toy_records, run, rate=0.01))
    captured = capsys.readouterr()
    assert "resumes after 1 steps" in captured.out
    assert "The checkpoint of step 2 is kept: the same command resumes from there." in captured.err
