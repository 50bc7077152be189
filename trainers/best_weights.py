"""The best weights of a run, without optimiser state: what is evaluated and exported."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from fullrank.trainers.checkpoints import remove_debris


def _manager(model: keras.Model, directory: Path) -> tf.train.CheckpointManager:
    # A checkpoint of the model itself would hold its optimiser, which can be larger than the weights. These are the
    # attributes by which such a checkpoint finds everything else, whatever Keras has named the layers in this process.
    attributes = {
        name: part
        for name, part in model._trackable_children().items()
        if part is not model.optimizer and name.isidentifier()
    }
    return tf.train.CheckpointManager(
        tf.train.Checkpoint(**attributes), str(directory), max_to_keep=1, checkpoint_name="weights"
    )


def save_best(model: keras.Model, directory: Path) -> None:
    """Replaces the best weights by the model's; the old ones stay until the new ones are whole."""
    manager = _manager(model, directory)
    # A new number each time: files of one name would be replaced one after the other, and a kill could come between.
    last = manager.latest_checkpoint
    number = int(last.rsplit("-", 1)[1]) + 1 if last else 1
    try:
        manager.save(checkpoint_number=number)
    finally:
        remove_debris(manager, directory)


def restore_best(model: keras.Model, directory: Path) -> None:
    """Loads the best weights into a model of the same configuration.

    Raises:
      ValueError: If there are none, or they are another model's.
    """
    manager = _manager(model, directory)
    if manager.latest_checkpoint is None:
        raise ValueError(f"{directory} holds no weights: the run has not finished an epoch yet.")
    try:
        manager.checkpoint.restore(manager.latest_checkpoint).assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        text = " ".join(str(getattr(error, "message", None) or error).split())[:300]
        raise ValueError(f"The weights {manager.latest_checkpoint} do not fit the model of this run: {text}") from error
