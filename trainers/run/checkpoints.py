"""Checkpoints from which an interrupted run resumes exactly.

The training data is passed to `Model.fit` with an iterator that a checkpoint can hold. A run's progress is a part of
its checkpoints.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.remote_rows import with_shards
from fullrank.trainers.run.weights import (
    READING_ERRORS,
    create_counter,
    describe_not_finite,
    is_misfit,
    newest_first,
    not_finite,
    reason,
    remove_debris,
)

KEPT: Final = 2
_POSITION: Final = "iterator/"


@dataclasses.dataclass
class Progress:
    """The counters of a run.

    Attributes:
      epoch: Epochs finished, each with its validation.
      step: Steps taken of the epoch after those.
      global_step: Total number of steps taken.
      best: Best value of the monitored metric, `None` before the first defined one.
      best_epoch: The epoch whose weights are kept, from 1: that of `best`, or the last one while there is none.
      stale: Epochs since then whose metric was defined.
      undefined: Epochs whose metric was not defined.
      plateau: Epochs since the last best one, or since the learning rates were lowered, whose metric was defined.
      best_of: Task -> best value of its own metric, where the weights of each task's best epoch are kept.
      best_epoch_of: Task -> the epoch of that value.
      stopped: Why training ended before the last epoch; empty if it did not.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    undefined: int = 0
    plateau: int = 0
    best_of: dict[str, float] = dataclasses.field(default_factory=dict)
    best_epoch_of: dict[str, int] = dataclasses.field(default_factory=dict)
    stopped: str = ""


class TrainingState(tf.train.experimental.PythonState):
    """Saves `progress` in a checkpoint, as JSON."""

    def __init__(self) -> None:
        self.progress = Progress()

    def serialize(self) -> str:
        """The counters as text."""
        return json.dumps(dataclasses.asdict(self.progress))

    def deserialize(self, string_value: str | bytes) -> None:
        """Restores the counters from text."""
        self.progress = Progress(**json.loads(string_value))


class Stream(tf.distribute.DistributedDataset):
    """Gives `Model.fit` one iterator for all epochs, and keeps a reference to it.

    `fit` creates its own iterator of a dataset and keeps it to itself, so that nothing could save the position in the
    data. It iterates over a `DistributedDataset` once; here it gets this object's own iterator, of plain batches, which
    the replicas of a strategy divide among themselves. `tf.train.Checkpoint(iterator=stream.iterator)` then saves and
    restores the very position from which `fit` takes its next batch, between any two steps.

    Args:
      dataset: Endless batches; `fit` has to be told `steps_per_epoch`.
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        self.iterator = iter(dataset)

    def __iter__(self) -> Any:
        """Called by `fit` to get an iterator."""
        return self.iterator


class Checkpoints:
    """Saves and restores model, optimiser, position in the data, counters, metrics and random generators.

    Args:
      model: A compiled model with all its weights.
      stream: The stream that `fit` reads; `None` where the position in the data is among `parts`.
      state: The run's counters.
      directory: Directory of the checkpoints; the last two are kept.
      averages: Weights of a teacher that moves with the model.
      parts: Further parts of a checkpoint by name, such as a second model and its optimiser.
      writes: Whether this process writes them; one that only reads keeps the state of its random generators.

    Attributes:
      step: Step of the last checkpoint that was saved or restored; `None` before.
    """

    def __init__(
        self,
        *,
        model: keras.Model,
        stream: Stream | None,
        state: TrainingState,
        directory: Path,
        averages: Sequence[tf.Variable] = (),
        parts: Mapping[str, Any] | None = None,
        writes: bool = True,
    ) -> None:
        # Slot variables must exist; otherwise restoring could not check that it found everything.
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
        self._checkpoint = tf.train.Checkpoint(
            model=model,
            optimizer=model.optimizer,
            **({} if stream is None else {"iterator": stream.iterator}),
            **(parts or {}),
            state=state,
            **({"generators": random_generators(model)} if writes else {}),
            averages=list(averages),
        )
        create_counter(self._checkpoint)
        self._averages, self._state = averages, state
        self.step: int | None = None
        self._directory = directory
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), max_to_keep=KEPT, checkpoint_name="state"
        )
        if writes:
            remove_debris(directory, keep=KEPT)

    def save(self) -> str:
        """Writes a checkpoint; an incomplete one is never used."""
        try:
            path: str = self._manager.save()
        except BaseException:
            remove_debris(self._directory, keep=KEPT)
            raise
        self.step = self._state.progress.global_step
        return path

    def restore(self, *, say: Callable[[str], None] = print) -> bool:
        """Restores the last checkpoint, or the one before it where the last one is damaged or not finite.

        Args:
          say: Called with a message about a checkpoint that cannot be used.

        Returns:
          Whether there was one.

        Raises:
          ValueError: If it does not fit the model, or none can be used.
        """
        problems: list[str] = []
        for path in newest_first(self._manager, self._directory):
            problem = self._restored(path)
            if problem is None:
                self.step = self._state.progress.global_step
                for found in problems:
                    say(f"{found} Training resumes from {path}.")
                return True
            problems.append(problem)
        if problems:
            raise ValueError(f"{' '.join(problems)} Start over with --overwrite.")
        return False

    def variables(self) -> list[tf.Variable]:
        """The variables of a checkpoint except the metrics: weights, optimiser slots, a teacher's averages."""
        model = self._checkpoint.model
        of_metrics = {variable.ref() for metric in model.metrics for variable in metric.variables}
        found = with_shards([*model.weights, *model.optimizer.variables, *self._averages])
        return [variable for variable in found if variable.ref() not in of_metrics]

    def _restored(self, path: str) -> str | None:
        """Restores a checkpoint; returns what is wrong with it, `None` if it was restored."""
        try:
            self._check_position(path)
            # What is in the file alone, as the position in the data for a warm start, is not to be warned of.
            self._checkpoint.restore(path).assert_existing_objects_matched().expect_partial()
        except READING_ERRORS as error:
            if is_misfit(error):
                raise ValueError(
                    f"The checkpoint {path} cannot be restored: {reason(error)}. If it was written by another version "
                    "of fullrank, continue with that one; otherwise start over with --overwrite."
                ) from error
            return f"The checkpoint {path} cannot be read: {reason(error)}."
        broken = not_finite(self.variables())
        if broken:
            return f"The checkpoint {path} holds NaN or infinite numbers in {describe_not_finite(broken)}."
        return None

    def _check_position(self, path: str) -> None:
        saved = tf.train.load_checkpoint(path).get_variable_to_shape_map()
        if hasattr(self._checkpoint, "iterator") and not any(name.startswith(_POSITION) for name in saved):
            raise ValueError(
                "it was written with --strategy=parameter_server, whose workers keep no position in the data; resume "
                "with that, too"
            )


def random_generators(model: keras.Model) -> list[tf.random.Generator]:
    """The generators of a model's random layers, such as dropout; Keras leaves them out of checkpoints.

    They exist if the layers were created while `keras.backend.experimental.enable_tf_random_generator` was in force;
    the random operations that Keras uses otherwise keep a state that nothing can save.
    """
    holders = (getattr(module, "_random_generator", None) for module in model.submodules)
    generators = (getattr(holder, "_generator", None) for holder in holders if holder is not None)
    return [generator for generator in generators if generator is not None]
