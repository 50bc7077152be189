"""The checkpoints of a process that trains with others, but is not their chief."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import tensorflow as tf
import tf_keras as keras

from fullrank.trainers.run.checkpoints import KEPT, Checkpoints, Stream, TrainingState, random_generators
from fullrank.trainers.run.weights import READING_ERRORS, create_counter, reason

_NAME: Final = "own"


class FollowerCheckpoints:
    """Reads the chief's checkpoints, and keeps what only this process knows: its place in its files, its generators.

    This part of a checkpoint has the number of its step, and is written before the chief writes its own, so that every
    checkpoint of the chief has all its parts.

    Args:
      model: A compiled model with all its weights.
      stream: The stream that `fit` reads.
      state: The run's counters.
      directory: Directory of the chief's checkpoints.
      own: Directory of this process's parts.
      averages: Weights of a teacher that moves with the model.
    """

    def __init__(
        self,
        *,
        model: keras.Model,
        stream: Stream,
        state: TrainingState,
        directory: Path,
        own: Path,
        averages: Sequence[tf.Variable] = (),
    ) -> None:
        self._of_chief = Checkpoints(
            model=model, stream=None, state=state, directory=directory, averages=averages, writes=False
        )
        self._state, self._own = state, own
        part = tf.train.Checkpoint(iterator=stream.iterator, generators=random_generators(model))
        create_counter(part)
        # One more than the chief keeps, which may be killed after this process has written its part.
        self._manager = tf.train.CheckpointManager(part, str(own), max_to_keep=KEPT + 1, checkpoint_name=_NAME)

    @property
    def step(self) -> int | None:
        """Step of the chief's checkpoint that was restored; `None` without one."""
        return self._of_chief.step

    def save(self) -> str:
        """Writes the part of this process."""
        path: str = self._manager.save(checkpoint_number=self._state.progress.global_step)
        return path

    def restore(self, *, say: Callable[[str], None] = print) -> bool:
        """Restores the checkpoint that the chief restores, with this process's part of it.

        Raises:
          ValueError: If the checkpoint cannot be restored, or this process has no part of it.
        """
        if not self._of_chief.restore(say=say):
            return False
        path = self._own / f"{_NAME}-{self._state.progress.global_step}"
        try:
            self._manager.checkpoint.restore(str(path)).assert_existing_objects_matched()
        except READING_ERRORS as error:
            raise ValueError(
                f"The part {path} of the checkpoint cannot be read: {reason(error)}. All processes need to see one "
                "run directory. Start over with --overwrite."
            ) from error
        return True

    def variables(self) -> list[tf.Variable]:
        """The variables of a checkpoint except the metrics."""
        return self._of_chief.variables()
