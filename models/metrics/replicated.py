"""How the state of a training metric is kept on several replicas."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

REPLICATED: Final[dict[str, Any]] = {
    "initializer": "zeros",
    "synchronization": tf.VariableSynchronization.ON_WRITE,
    "aggregation": tf.VariableAggregation.NONE,
}
"""Arguments of `add_weight`: every replica holds the sums over all of them.

A metric adds what `layers.replicas.summed` gives, the same on each. Reading, saving and restoring such a variable needs
no other process, where Keras's way, sums that are added up when they are read, needs all of them at the same time.
"""
