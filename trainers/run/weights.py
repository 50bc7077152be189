"""The best weights of a run, without optimiser state: what is evaluated and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import tensorflow as tf
import tf_keras as keras

from fullrank.trainers.finite_weights import describe_not_finite, not_finite
from fullrank.trainers.run.checkpoints import remove_debris
from fullrank.trainers.saved_weights import READING_ERRORS, is_misfit, newest_first, reason

BEST_KEPT: Final = 1
_REPAIR: Final = "copy the run directory again from where it was trained, or train it anew with --overwrite."


def _manager(model: keras.Model, directory: Path) -> tf.train.CheckpointManager:
    # A checkpoint of the model itself would hold its optimiser, which can be larger than the weights. These are the
    # attributes by which such a checkpoint finds everything else, whatever Keras has named the layers in this process.
    attributes = {
        name: part
        for name, part in model._trackable_children().items()
        if part is not model.optimizer and name.isidentifier()
    }
    return tf.train.CheckpointManager(
        tf.train.Checkpoint(**attributes), str(directory), max_to_keep=BEST_KEPT, checkpoint_name="weights"
    )


def save_best(model: keras.Model, directory: Path) -> None:
    """Replaces the best weights by the model's; the old ones stay until the new ones are whole."""
    manager = _manager(model, directory)
    # A new number each time: files of one name would be replaced one after the other, and a kill could come between.
    last = next(iter(newest_first(manager, directory)), None)
    number = int(last.rsplit("-", 1)[1]) + 1 if last else 1
    try:
        manager.save(checkpoint_number=number)
    finally:
        remove_debris(directory, keep=BEST_KEPT)


def restore_best(model: keras.Model, directory: Path) -> None:
    """Loads the best weights into a model of the same configuration.

    Raises:
      ValueError: If there are none, they cannot be read, they are another model's, or they are not finite.
    """
    manager = _manager(model, directory)
    file = next(iter(newest_first(manager, directory)), None)
    if file is None:
        raise ValueError(f"{directory} holds no weights: the run has not finished an epoch yet.")
    try:
        manager.checkpoint.restore(file).assert_existing_objects_matched().expect_partial()
    except READING_ERRORS as error:
        if is_misfit(error):
            raise ValueError(f"The weights {file} do not fit the model of this run: {reason(error)}.") from error
        raise ValueError(f"The weights {file} cannot be read: {reason(error)}. {_REPAIR.capitalize()}") from error
    broken = not_finite(model.weights)
    if broken:
        raise ValueError(
            f"The weights {file} hold NaN or infinite numbers in {describe_not_finite(broken)}: training had diverged. "
            "Train anew with a lower --learning_rate and --overwrite."
        )
