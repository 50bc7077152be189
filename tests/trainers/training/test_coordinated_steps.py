"""The loop that hands steps to workers takes those of `Model.fit`, if one worker takes them in turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_runs import small

from fullrank.data.reading.read import read_records
from fullrank.data.schema.json import read_schema
from fullrank.models import Ranker
from fullrank.trainers.run.checkpoints import Stream, TrainingState
from fullrank.trainers.training.build_model import build_model, compile_model
from fullrank.trainers.training.callbacks.saving import Counting, Resume
from fullrank.trainers.training.coordinated_steps import CoordinatedSteps


class Seen(keras.callbacks.Callback):
    """Remembers the logs."""

    def __init__(self) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self.steps: list[int] = []
        self.epochs: list[dict[str, float]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps.append(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append({name: float(value) for name, value in logs.items()})


class OneWorker:
    """Stands in for a cluster: a coordinator that takes each step itself, at once.

    Attributes:
      calls: `s` for each step that was scheduled, `j` for each time that all of them were waited for.
    """

    strategy = tf.distribute.get_strategy()
    workers = 1

    def __init__(self) -> None:
        self.calls = ""

    @property
    def coordinator(self) -> Any:
        def schedule(step: Callable[..., Any], *, args: tuple[Any, ...]) -> None:
            assert step(*args) is None  # results would travel
            self.calls += "s"

        def join() -> None:
            self.calls += "j"

        return SimpleNamespace(create_per_worker_dataset=lambda batches: batches(), schedule=schedule, join=join)


def built(records: Path, output: Path) -> Ranker:
    keras.utils.set_random_seed(1)
    config = small(records, output, dropout=0.0, unknown_share=0.0)
    model = build_model(config.model, read_schema(records), seed=1)
    compile_model(model, config.optimizer, total_steps=12)
    model.optimizer.build(model.trainable_variables)
    return model


def read(records: Path) -> tf.data.Dataset:
    return read_records(records, split="train", batch_size=64, seed=2, epochs=None, deterministic=True)


def coordinated(
    model: Ranker,
    batches: tf.data.Dataset,
    *,
    meet_every: int,
    overlap_after: int = 0,
    worker: OneWorker | None = None,
) -> CoordinatedSteps:
    servers: Any = worker or OneWorker()
    return CoordinatedSteps(
        model, servers=servers, read=lambda number: batches, meet_every=meet_every, overlap_after=overlap_after
    )


def validation(records: Path) -> tf.data.Dataset:
    return read_records(records, split="validation", batch_size=128)


def test_the_steps_are_those_of_fit(toy_records: Path, tmp_path: Path) -> None:
    ours, theirs = built(toy_records, tmp_path), built(toy_records, tmp_path)
    first, second, batches = Seen(), Seen(), read(toy_records)
    steps = coordinated(ours, batches, meet_every=4)
    steps.fit(
        steps_per_epoch=6,
        initial_epoch=0,
        epochs=2,
        validation_data=validation(toy_records),
        validation_steps=None,
        callbacks=[Resume(TrainingState()), first],
        verbose=0,
    )
    theirs.fit(
        Stream(read(toy_records)),
        steps_per_epoch=6,
        epochs=2,
        validation_data=validation(toy_records),
        callbacks=[second],
        verbose=0,
    )
    assert first.steps == [3, 5, 3, 5]
    for ours_at, theirs_at in zip(first.epochs, second.epochs, strict=True):
        assert ours_at.keys() == theirs_at.keys()
        assert ours_at == pytest.approx(theirs_at, rel=1e-5, nan_ok=True)
    for ours_of, theirs_of in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(ours_of, theirs_of, rtol=1e-5, atol=1e-6, err_msg=ours_of.name)
    assert int(ours.optimizer.iterations) == 12


def test_an_epoch_goes_on_at_its_step(toy_records: Path, tmp_path: Path) -> None:
    model, seen, state, batches = built(toy_records, tmp_path), Seen(), TrainingState(), read(toy_records)
    state.progress.epoch, state.progress.step, state.progress.global_step = 1, 5, 11
    steps = coordinated(model, batches, meet_every=2)
    steps.fit(
        steps_per_epoch=6,
        initial_epoch=1,
        epochs=3,
        validation_data=None,
        validation_steps=None,
        callbacks=[Resume(state), Counting(state), seen],
        verbose=0,
    )
    assert seen.steps == [5, 1, 3, 5]
    assert (state.progress.epoch, state.progress.global_step) == (3, 18)
    assert int(model.optimizer.iterations) == 7
    # How many iterators there have been, which a checkpoint holds.
    assert {name: int(part) for name, part in steps.parts.items()} == {"iterators": 1}


@pytest.mark.parametrize(
    ("done", "calls"),
    [
        (0, "sjsjsjsjj" + "sjsjj" + "sjsssj" + "ssj"),  # the six of the first epoch and one of the second
        (7, "ssssj" + "sj"),
    ],
)
def test_the_first_steps_are_taken_one_at_a_time(toy_records: Path, tmp_path: Path, done: int, calls: str) -> None:
    model, worker, state = built(toy_records, tmp_path), OneWorker(), TrainingState()
    state.progress.epoch, state.progress.step, state.progress.global_step = done // 6, done % 6, done
    steps = coordinated(model, read(toy_records), meet_every=4, overlap_after=7, worker=worker)
    steps.fit(
        steps_per_epoch=6,
        initial_epoch=done // 6,
        epochs=2,
        validation_data=None,
        validation_steps=None,
        callbacks=[Resume(state), Counting(state)],
        verbose=0,
    )
    assert worker.calls == calls
