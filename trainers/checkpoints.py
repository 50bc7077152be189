"""Checkpoints from which an interrupted run goes on as if nothing had happened."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.trainers.stream import Stream
from fullrank.trainers.training_state import TrainingState

KEPT = 2


class Checkpoints:
    """Saves and restores model, optimiser, position in the data, counters, metrics and random generators.

    Args:
      model: Compiled, with all its weights.
      stream: What `fit` reads.
      state: The run's counters.
      directory: Where the checkpoints lie; the last two are kept.
      averages: Weights of a teacher that moves with the model.
    """

    def __init__(
        self,
        *,
        model: keras.Model,
        stream: Stream,
        state: TrainingState,
        directory: Path,
        averages: Sequence[tf.Variable] = (),
    ) -> None:
        # Slot variables have to exist, or restoring could not tell whether it found everything.
        model.optimizer.build(model.trainable_variables)
        self._checkpoint = tf.train.Checkpoint(
            model=model,
            optimizer=model.optimizer,
            iterator=stream.iterator,
            state=state,
            generators=random_generators(model),
            averages=list(averages),
        )
        self._directory = directory
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), max_to_keep=KEPT, checkpoint_name="state"
        )
        remove_debris(self._manager, directory)

    @property
    def latest(self) -> str | None:
        """Path of the last checkpoint; `None` if there is none."""
        path: str | None = self._manager.latest_checkpoint
        return path

    def save(self) -> str:
        """Writes a checkpoint; one that was not written to its end is never taken for one."""
        try:
            path: str = self._manager.save()
        except BaseException:
            remove_debris(self._manager, self._directory)
            raise
        return path

    def restore(self) -> bool:
        """Restores the last checkpoint.

        Returns:
          Whether there was one.

        Raises:
          ValueError: If it does not fit the model, or cannot be read.
        """
        if self.latest is None:
            return False
        try:
            self._checkpoint.restore(self.latest).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"The checkpoint {self.latest} cannot be restored: {_first_line(error)} If it was written by another "
                "version of fullrank, go on with that one; otherwise start anew with --overwrite."
            ) from error
        return True


def random_generators(model: keras.Model) -> list[tf.random.Generator]:
    """The generators of a model's random layers, such as dropout; Keras leaves them out of checkpoints.

    They exist if the layers were created while `keras.backend.experimental.enable_tf_random_generator` was in force;
    the random operations that Keras uses otherwise keep a state that nothing can save.
    """
    holders = (getattr(module, "_random_generator", None) for module in model.submodules)
    generators = (getattr(holder, "_generator", None) for holder in holders if holder is not None)
    return [generator for generator in generators if generator is not None]


def remove_debris(manager: tf.train.CheckpointManager, directory: Path) -> None:
    """Removes what a killed or failed save left behind: files that belong to no complete checkpoint."""
    if not directory.is_dir():
        return
    whole = {Path(path).name for path in manager.checkpoints}
    for entry in directory.iterdir():
        if entry.name == "checkpoint" or entry.name.split(".")[0] in whole:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _first_line(error: BaseException) -> str:
    text: Any = getattr(error, "message", None) or str(error)
    return " ".join(str(text).split())[:300]
