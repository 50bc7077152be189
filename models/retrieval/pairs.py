"""Rows of queries with ads of a catalogue, as a ranker reads them."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf


def paired(queries: Mapping[str, tf.Tensor], ads: Mapping[str, tf.Tensor], places: tf.Tensor) -> dict[str, tf.Tensor]:
    """One row for each query and each of its ads, `[B * C, ...]`, the ads of a query one after another.

    Args:
      queries: Columns of the queries, `[B, ...]`; those of the ads are replaced.
      ads: Columns of all ads, `[N, ...]`.
      places: Which ads, `[B, C]`.
    """
    flat = tf.reshape(places, [-1])
    repeated = {
        name: tf.repeat(values, tf.shape(places)[1], axis=0) for name, values in queries.items() if name not in ads
    }
    return {**repeated, **{name: tf.gather(values, flat) for name, values in ads.items()}}
