"""An interrupted `Model.fit` resumes at the same example, and ends with the same bits."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.layers.legacy_keras import keras, tfrs
from fullrank.trainers.run.checkpoints import KEPT, Checkpoints, Stream, TrainingState, random_generators
from fullrank.trainers.run.weights import remove_debris, restore_best, save_best
from fullrank.trainers.training.callbacks.early_stopping import EarlyStopping, Plateau
from fullrank.trainers.training.callbacks.saving import Counting, Resume, Saving

EXAMPLES, BATCH = 100, 8


STEPS = 12  # of an epoch; 96 of the 100 examples, so that epochs do not begin at the same example


EPOCHS = 3


class Killed(BaseException):
    """Stands in for kill -9: nothing after it runs."""


class StandIn(tfrs.Model):
    """A model as the trainer expects it, with dropout and a metric over the epoch."""

    def __init__(self) -> None:
        super().__init__()
        keras.backend.experimental.enable_tf_random_generator()
        try:
            self.drop = keras.layers.Dropout(0.3)
        finally:
            keras.backend.experimental.disable_tf_random_generator()
        self.dense = keras.layers.Dense(1)
        self.seen = keras.metrics.Sum(name="seen")
        self(self.example())

    def example(self) -> dict[str, tf.Tensor]:
        return {"x": tf.zeros([1, 4])}

    def call(self, batch: dict[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        return self.dense(self.drop(batch["x"], training=training))[:, 0]

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        self.seen.update_state(inputs["id"])
        return tf.reduce_mean(tf.square(self(inputs, training=training) - inputs["y"]))


class Wider(StandIn):
    """A model of another configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.more = keras.layers.Dense(3)
        self.more(tf.zeros([1, 2]))


def batches() -> tf.data.Dataset:
    x = np.random.default_rng(0).normal(size=(EXAMPLES, 4)).astype(np.float32)
    columns = {"x": x, "y": x.sum(1), "id": np.arange(EXAMPLES)}
    return tf.data.Dataset.from_tensor_slices(columns).shuffle(40, seed=3).repeat().batch(BATCH).prefetch(2)


class Recorder(keras.callbacks.Callback):
    """What a run went through: the steps it took and the logs of its epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, int]] = []
        self.epochs: dict[int, dict[str, float]] = {}
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps.append((self._epoch, batch))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs[epoch] = dict(logs)


def fit(
    directory: Path, *, kill_after: int | None = None, steps: int | None = 5, steps_per_execution: int = 1
) -> tuple[StandIn, Recorder, TrainingState]:
    """One life of a process: builds everything anew, restores what there is, and fits until done or killed."""
    keras.utils.set_random_seed(1)
    model = StandIn()
    model.compile(optimizer=keras.optimizers.Adam(0.01), steps_per_execution=steps_per_execution)
    stream, state = Stream(batches()), TrainingState()
    checkpoints = Checkpoints(model=model, stream=stream, state=state, directory=directory)
    checkpoints.restore()
    recorder = Recorder()

    def save() -> None:
        if kill_after is not None and state.progress.global_step >= kill_after:
            raise Killed
        checkpoints.save()

    saving = Saving(state, save=save, check=lambda logs: None, steps_per_epoch=STEPS, minutes=60, steps=steps)
    with contextlib.suppress(Killed):
        model.fit(
            stream,
            steps_per_epoch=STEPS,
            initial_epoch=state.progress.epoch,
            epochs=EPOCHS,
            callbacks=[Resume(state), Counting(state), recorder, saving],
            verbose=0,
        )
    return model, recorder, state


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[StandIn, Recorder, TrainingState]:
    return fit(tmp_path_factory.mktemp("whole"))


# Checkpoints are written after steps 5 and 10 of an epoch and at its end (12). Killed at the save that would be the
# first, the run starts anew; at step 12, it resumes at 10; at 17 (5 of the second epoch), at 12; at 22, at 17.
@pytest.mark.parametrize(("kill_after", "resumed_at"), [(5, (0, 0)), (12, (0, 10)), (17, (1, 0)), (22, (1, 5))])
def test_a_killed_run_takes_the_same_steps_to_the_same_bits(
    kill_after: int, resumed_at: tuple[int, int], tmp_path: Path, uninterrupted: tuple[StandIn, Recorder, TrainingState]
) -> None:
    fit(tmp_path, kill_after=kill_after)
    model, recorder, state = fit(tmp_path)
    expected_model, expected, expected_state = uninterrupted
    assert recorder.steps[0] == resumed_at
    assert recorder.steps == expected.steps[expected.steps.index(resumed_at) :]
    for ours, theirs in zip(model.weights, expected_model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    # `seen` sums the ids of an epoch: equal only if its first half came back with the metrics, and the rest of the ids
    # are the same examples.
    for epoch, logs in recorder.epochs.items():
        assert logs["seen"] == expected.epochs[epoch]["seen"]
        assert logs["loss"] == expected.epochs[epoch]["loss"]
    assert state.progress == expected_state.progress


def test_a_run_killed_twice_is_still_the_same(
    tmp_path: Path, uninterrupted: tuple[StandIn, Recorder, TrainingState]
) -> None:
    fit(tmp_path, kill_after=10)
    fit(tmp_path, kill_after=29)
    model, _, _ = fit(tmp_path)
    np.testing.assert_array_equal(model.dense.kernel.numpy(), uninterrupted[0].dense.kernel.numpy())


def test_several_steps_a_call_resume_as_well(tmp_path: Path) -> None:
    whole, _, _ = fit(tmp_path / "whole", steps_per_execution=4)
    fit(tmp_path / "killed", kill_after=16, steps_per_execution=4)  # saved after 8 and 12 (the epoch)
    model, recorder, state = fit(tmp_path / "killed", steps_per_execution=4)
    assert recorder.steps[0] == (1, 3)
    assert state.progress.global_step == STEPS * EPOCHS
    np.testing.assert_array_equal(model.dense.kernel.numpy(), whole.dense.kernel.numpy())


def test_without_its_dropout_state_a_resumed_run_would_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: tuple[StandIn, Recorder, TrainingState]
) -> None:
    monkeypatch.setattr("fullrank.trainers.run.checkpoints.random_generators", lambda model: [])
    fit(tmp_path, kill_after=17)
    model, _, _ = fit(tmp_path)
    assert not np.array_equal(model.dense.kernel.numpy(), uninterrupted[0].dense.kernel.numpy())


def test_random_layers_bring_generators_whose_state_can_be_saved() -> None:
    assert len(random_generators(StandIn())) == 1


def test_a_finished_run_takes_no_step(tmp_path: Path, uninterrupted: tuple[StandIn, Recorder, TrainingState]) -> None:
    fit(tmp_path)
    model, recorder, _ = fit(tmp_path)
    assert recorder.steps == []
    np.testing.assert_array_equal(model.dense.kernel.numpy(), uninterrupted[0].dense.kernel.numpy())


def test_debris_of_a_killed_save_is_removed_and_only_the_last_checkpoints_stay(tmp_path: Path) -> None:
    fit(tmp_path)
    (tmp_path / "state-99.data-00000-of-00001.tempstate123").write_text("half")
    (tmp_path / "state-99_temp").mkdir()
    fit(tmp_path)
    names = {path.name.split(".")[0] for path in tmp_path.iterdir()}
    assert len(names) == KEPT + 1
    assert not any("99" in name for name in names)


@pytest.mark.parametrize("deleted", [[], ["state-1.index"]])
def test_what_a_save_had_not_deleted_when_it_was_killed_is_removed(tmp_path: Path, deleted: list[str]) -> None:
    """TensorFlow lists the new checkpoint, and then deletes the index and the data of the oldest one."""
    names = [f"state-{number}" for number in (1, 2, 3)]
    for name in names:
        for part in ("index", "data-00000-of-00001"):
            (tmp_path / f"{name}.{part}").touch()
    tf.compat.v1.train.update_checkpoint_state(str(tmp_path), names[-1], all_model_checkpoint_paths=names)
    for name in deleted:
        (tmp_path / name).unlink()
    remove_debris(tmp_path, keep=2)
    left = {path.name.split(".")[0] for path in tmp_path.iterdir()}
    assert left == {"checkpoint", "state-2", "state-3"}


def test_a_failed_save_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, state = fit(tmp_path)
    checkpoints = Checkpoints(model=model, stream=Stream(batches()), state=state, directory=tmp_path)
    before = sorted(tmp_path.iterdir())

    def full(*args: Any, **kwargs: Any) -> None:
        (tmp_path / "state-9.data-00000-of-00001").write_text("half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", full)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        checkpoints.save()
    assert sorted(tmp_path.iterdir()) == before


def test_a_checkpoint_of_another_model_is_one_clear_error(tmp_path: Path) -> None:
    fit(tmp_path)

    model = Wider()
    model.compile(optimizer=keras.optimizers.Adam())
    checkpoints = Checkpoints(model=model, stream=Stream(batches()), state=TrainingState(), directory=tmp_path)
    with pytest.raises(ValueError, match=r"state-\d+ cannot be restored: .* --overwrite") as caught:
        checkpoints.restore()
    assert "\n" not in str(caught.value)


def test_best_weights_hold_the_model_without_its_optimiser(tmp_path: Path) -> None:
    model, _, _ = fit(tmp_path / "checkpoints")
    save_best(model, tmp_path / "best")
    kept = [name for name, _ in tf.train.list_variables(str(tmp_path / "best"))]
    assert not any("optimizer" in name or "velocities" in name for name in kept)
    other = StandIn()
    assert not np.array_equal(other.dense.kernel.numpy(), model.dense.kernel.numpy())
    restore_best(other, tmp_path / "best")
    np.testing.assert_array_equal(other.dense.kernel.numpy(), model.dense.kernel.numpy())


def test_best_weights_are_replaced_by_files_of_a_new_name(tmp_path: Path) -> None:
    model = StandIn()
    names = []
    for _ in range(3):
        save_best(model, tmp_path)
        names.append({path.name for path in tmp_path.iterdir()} - {"checkpoint"})
    assert all(len(files) == 2 for files in names)
    assert not names[0] & names[1]
    assert not names[1] & names[2]


def test_missing_or_foreign_best_weights_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no weights: the run has not finished an epoch yet"):
        restore_best(StandIn(), tmp_path / "none")
    save_best(StandIn(), tmp_path)
    with pytest.raises(ValueError, match="do not fit the model of this run"):
        restore_best(Wider(), tmp_path)


def stop_rule(values: list[float], *, patience: int | None, monitor: str) -> tuple[TrainingState, list[int]]:
    """Feeds one value an epoch to early stopping; returns its state and the epochs whose weights it saved."""
    state, saved = TrainingState(), []
    callback = EarlyStopping(state, monitor=monitor, patience=patience, save_best=lambda: saved.append(epoch))
    model = StandIn()
    callback.set_model(model)
    for epoch, value in enumerate(values, start=1):
        callback.on_epoch_end(epoch - 1, {monitor: value})
        if model.stop_training:
            break
    return state, saved


def test_early_stopping_keeps_the_best_and_stops_after_its_patience() -> None:
    state, saved = stop_rule([0.6, 0.7, 0.7, 0.69, 0.9], patience=2, monitor="val_click_auc")
    assert saved == [1, 2]
    assert (state.progress.best, state.progress.best_epoch) == (0.7, 2)
    assert state.progress.stopped == "no better val_click_auc in 2 epoch(s)"


def test_smaller_is_better_for_losses_and_none_never_stops() -> None:
    state, saved = stop_rule([0.9, 0.8, 0.85, 0.85, 0.85, 0.7], patience=None, monitor="val_click_ne")
    assert saved == [1, 2, 6]
    assert not state.progress.stopped


def test_an_undefined_metric_is_never_the_best_but_for_want_of_another() -> None:
    nan = float("nan")
    state, saved = stop_rule([nan, 0.5, nan, 0.6], patience=5, monitor="val_click_auc")
    assert saved == [1, 2, 4]
    assert state.progress.best_epoch == 4


def test_the_memory_of_early_stopping_survives_in_the_state() -> None:
    state, _ = stop_rule([0.7, 0.6], patience=3, monitor="val_click_auc")
    restored = TrainingState()
    restored.deserialize(state.serialize())
    assert restored.progress == state.progress
    assert restored.progress.stale == 1


def test_the_learning_rate_drops_on_a_plateau_and_the_count_survives() -> None:
    """Patience 2: two epochs without a best lower the rate; the count starts over at the drop and at each best."""
    state, said = TrainingState(), list[str]()
    model = StandIn()
    model.compile(optimizer=keras.optimizers.SGD(0.8))
    rates = []
    for epoch, value in enumerate([0.9, 0.95, math.nan, 0.95, 0.95, 0.8, 0.85, 0.85]):
        restored = TrainingState()
        restored.deserialize(state.serialize())  # as if each epoch were a run of its own
        state = restored
        stopping = EarlyStopping(state, monitor="val_click_ne", patience=None, save_best=lambda: None)
        plateau = Plateau(state, monitor="val_click_ne", patience=2, factor=0.5, say=said.append)
        for callback in (stopping, plateau):
            callback.set_model(model)
            callback.on_epoch_end(epoch, {"val_click_ne": value})
        rates.append(round(float(model.optimizer.learning_rate), 6))
    assert rates == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2]
    assert said[0] == "epoch 4: no better val_click_ne in 2 epoch(s): learning rates times 0.5."
