"""How often each ad has been a positive: the probability that a batch holds it."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras


class PositiveCounts(keras.layers.Layer):
    """`q_j = (c_j + 1) / (C + N)`: c_j positives of ad j so far, C of all N ads; every ad begins with one.

    Departure from Yi et al. 2019 (Sampling-bias-corrected neural modeling), who estimate the distance in steps between
    two occurrences, with hashed ids and a forgetting rate: the ads are known here, so that each has a count of its own,
    and a run over stored records has no drift to follow. A step touches the rows of its batch alone.

    Call arguments:
      places: `[B]`, places of ads in the catalogue; N for an ad that is not in it.

    Returns:
      q, `[B]`, float32.

    Args:
      ads: N.
    """

    def __init__(self, ads: int, *, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)
        self.ads = ads
        self._counts = self.add_weight(name="counts", shape=(ads + 1,), initializer="ones", trainable=False)
        self._total = self.add_weight(
            name="total", shape=(), initializer=keras.initializers.Constant(ads + 1.0), trainable=False
        )

    def observe(self, places: tf.Tensor) -> None:
        """Counts the positives of a batch, `[B]`."""
        self._counts.scatter_add(tf.IndexedSlices(tf.ones_like(places, tf.float32), places))
        self._total.assign_add(tf.cast(tf.size(places), tf.float32))

    def call(self, places: tf.Tensor) -> tf.Tensor:
        """Returns the share of the positives so far."""
        return tf.gather(self._counts, places) / self._total

    @property
    def popularity(self) -> tf.Tensor:
        """Positives of each ad of the catalogue so far, `[N]`."""
        return self._counts[:-1] - 1.0
