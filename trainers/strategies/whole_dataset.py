"""A data set that every process reads in full."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf


class WholeDataset(tf.distribute.DistributedDataset):
    """Keeps Keras from dividing batches, which `Ranker.test_step` does: every replica takes its rows of each batch.

    So metrics are over every example once, whatever the number of files, and all processes take equally many steps.

    Args:
      dataset: Batches.
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        self._dataset = dataset

    def __iter__(self) -> Iterator[object]:
        """A new pass."""
        return iter(self._dataset)
