"""How long ago each past behaviour was."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from fullrank.data.features import Sequence
from fullrank.data.schema import Schema


def timed_sequences(schema: Schema) -> dict[str, str]:
    """Sequence -> the column of its times, for the sequences whose intervals to the event are known."""
    if schema.time is None:
        return {}
    return {f.name: f.times for f in schema.features if isinstance(f, Sequence) and f.times is not None}


def elapsed_seconds(batch: Mapping[str, tf.Tensor], *, schema: Schema) -> dict[str, tf.Tensor]:
    """Sequence -> seconds from each behaviour to the event, `[B, L]` float32.

    Integers are subtracted before the cast: a float32 of milliseconds since 1970 is exact to 131 seconds only.
    """
    scale = 1000.0 if schema.time_unit == "ms" else 1.0
    return {
        name: tf.cast(batch[str(schema.time)][:, tf.newaxis] - batch[times], tf.float32) / scale
        for name, times in timed_sequences(schema).items()
    }
