"""Shares a step among the replicas of a `tf.distribute` strategy, so that together they take the step of one process.

Every function returns its argument unchanged, without an operation, where there is one replica or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import tensorflow as tf

REPLICATED: Final[dict[str, Any]] = {
    "initializer": "zeros",
    "synchronization": tf.VariableSynchronization.ON_WRITE,
    "aggregation": tf.VariableAggregation.NONE,
}
"""Arguments of `add_weight`: every replica holds the sums over all of them.

A metric adds what `summed` gives, the same on each. Reading, saving and restoring such a variable needs
no other process, where Keras's way, sums that are added up when they are read, needs all of them at the same time.
"""


def replicas() -> int:
    """How many replicas take the present step together; 1 outside of a step."""
    return 1 if _context() is None else tf.distribute.get_strategy().num_replicas_in_sync


def own_rows(batch: Mapping[str, tf.Tensor], *, of_worker: bool) -> Mapping[str, tf.Tensor]:
    """The rows of this replica: of N replicas, number r takes those from `r B // N` up to `(r + 1) B // N`.

    Args:
      batch: Columns `[B, ...]`.
      of_worker: Whether the batch is shared by the replicas of this process alone, because each process reads rows of
        its own; otherwise every process holds the same batch, and all replicas share it.
    """
    context = _context()
    if context is None:
        return batch
    strategy = tf.distribute.get_strategy()
    parts, place = strategy.num_replicas_in_sync, context.replica_id_in_sync_group
    if of_worker:
        parts = len(strategy.extended.worker_devices)
        place %= parts
    size = tf.shape(next(iter(batch.values())))[0]
    first, last = place * size // parts, (place + 1) * size // parts
    return {name: column[first:last] for name, column in batch.items()}


def whole_batch(structure: Any) -> Any:
    """Tensors `[B_r, ...]` of this replica -> `[B, ...]` of all, in the order of the batch; gradients flow back.

    The gradient is the sum of those of all replicas: a loss that each of N replicas computes on the whole batch counts
    N times, unless it is divided by N.

    Args:
      structure: Nested tensors of numbers; `None`, and a tensor without columns, which nothing can be read from, stay
        what they are.
    """
    context = _context()
    if context is None:
        return structure
    flat = tf.nest.flatten(structure)
    present = [place for place, tensor in enumerate(flat) if tensor is not None and 0 not in tensor.shape[1:]]
    # Whole numbers have no gradient, and the gradient of a gather is computed for all that it gathers.
    floats = [place for place in present if flat[place].dtype.is_floating]
    others = [place for place in present if not flat[place].dtype.is_floating]
    for places in (floats, others):
        if places:
            for place, gathered in zip(places, context.all_gather([flat[p] for p in places], axis=0), strict=True):
                flat[place] = tf.ensure_shape(gathered, tf.TensorShape([None]).concatenate(flat[place].shape[1:]))
    return tf.nest.pack_sequence_as(structure, flat)


def summed(tensor: tf.Tensor) -> tf.Tensor:
    """The sum over all replicas, without gradient."""
    context = _context()
    if context is None:
        return tensor
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(tensor))


def share_of_mean(mean: tf.Tensor, *, rows: tf.Tensor) -> tf.Tensor:
    """What a mean over the rows of this replica contributes to that over the rows of all.

    Args:
      mean: A scalar.
      rows: Number of rows of this replica; may be 0, which contributes 0.
    """
    if _context() is None:
        return mean
    own = tf.cast(rows, mean.dtype)
    return tf.where(rows > 0, mean * tf.math.divide_no_nan(own, summed(own)), 0.0)


def _context() -> Any:
    """The context of the present replica; `None` where there is only one."""
    if tf.distribute.in_cross_replica_context():
        return None
    context = tf.distribute.get_replica_context()
    return context if context.num_replicas_in_sync > 1 else None
