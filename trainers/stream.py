"""The training data as `Model.fit` takes it, with an iterator that a checkpoint can hold."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras


class Stream(keras.utils.experimental.DatasetCreator):
    """Gives `Model.fit` one iterator for all epochs, and keeps hold of it.

    `fit` creates its own iterator of a dataset and keeps it to itself, so that nothing could save the position in the
    data. Of a `DatasetCreator` it asks for a dataset once, and iterates over it once; here both answers are this
    object's own iterator. `tf.train.Checkpoint(iterator=stream.iterator)` then saves and restores the very position
    from which `fit` takes its next batch, between any two steps.

    Args:
      dataset: Endless batches; `fit` has to be told `steps_per_epoch`.
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        super().__init__(lambda _: dataset)
        self.iterator = iter(dataset)

    def __call__(self, *args: Any, **kwargs: Any) -> Stream:
        """What `fit` calls to get a dataset."""
        del args, kwargs
        return self

    def __iter__(self) -> Any:
        """What `fit` calls to get an iterator."""
        return self.iterator
