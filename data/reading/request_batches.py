"""Batches of a fixed number of rows from windows of whole requests, whose columns of requests are not repeated.

`tf.data` batches and rebatches tensors along one axis, but here there are two: rows and requests. So what is left of
one window is joined to the next, and batches are cut out of the two axes together. A request at the end of a batch may
have some rows in that batch and the others in the next one; each of them then holds its columns.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from fullrank.data.records.block_layout import OWNER, Packed
from fullrank.data.records.packing import Packing


def permuted_requests(packed: Packed, order: tf.Tensor, *, packing: Packing) -> Packed:
    """The requests in another order, each with its rows in theirs.

    Args:
      packed: Rows and requests.
      order: A permutation of the requests, `[R]`.
      packing: Which columns are those of requests.
    """
    sizes = tf.math.bincount(packed[OWNER], minlength=tf.size(order))
    starts = tf.cumsum(sizes, exclusive=True)
    chosen = tf.gather(sizes, order)
    owner = tf.repeat(tf.range(tf.size(order)), chosen)
    rows = tf.range(tf.size(owner)) + tf.gather(tf.gather(starts, order) - tf.cumsum(chosen, exclusive=True), owner)
    of_part = _by_part(packed, packing)
    return {name: tf.gather(v, order if of_part[name] else rows) for name, v in packed.items()} | {OWNER: owner}


def request_batches(
    windows: tf.data.Dataset, *, packing: Packing, batch_size: int, drop_remainder: bool, ends: bool
) -> tf.data.Dataset:
    """Cuts windows into batches.

    Args:
      windows: Packed rows and requests.
      packing: Which columns are those of requests.
      batch_size: Rows of a batch.
      drop_remainder: Whether a last batch that is not full is dropped.
      ends: Whether the windows come to an end.

    Returns:
      Packed rows, `batch_size` of them in each element, with their requests in the same order.
    """
    nothing = _nothing(windows.element_spec)
    marked = windows.map(lambda packed: (packed, False))
    if ends and not drop_remainder:
        marked = marked.concatenate(tf.data.Dataset.from_tensors((nothing, True)))

    def with_rest(rest: Packed, element: tuple[Packed, tf.Tensor]) -> tuple[Packed, tuple[Packed, tf.Tensor]]:
        window, last = element
        held = _joined(rest, window, packing)
        rows = tf.size(held[OWNER])
        batches = (rows + tf.where(last, batch_size - 1, 0)) // batch_size
        return _cut(held, batches * batch_size, rows, packing), (held, batches)

    def cut(held: Packed, batches: tf.Tensor) -> tf.data.Dataset:
        def batch(number: tf.Tensor) -> Packed:
            start = number * batch_size
            return _cut(held, start, tf.minimum(start + batch_size, tf.size(held[OWNER])), packing)

        return tf.data.Dataset.range(tf.cast(batches, tf.int64), output_type=tf.int32).map(_as_is(batch))

    return marked.scan(nothing, _as_is(with_rest)).flat_map(_as_is(cut))


def _nothing(spec: dict[str, tf.TensorSpec]) -> Packed:
    """No rows and no requests."""
    return {name: tf.zeros([0, *each.shape[1:]], each.dtype) for name, each in spec.items()}


def _joined(first: Packed, second: Packed, packing: Packing) -> Packed:
    """The rows and requests of two windows."""
    any_request = next(name for name, of_request in _by_part(first, packing).items() if of_request)
    joined = {name: tf.concat([value, second[name]], axis=0) for name, value in first.items()}
    return joined | {OWNER: tf.concat([first[OWNER], second[OWNER] + tf.shape(first[any_request])[0]], axis=0)}


def _cut(packed: Packed, start: tf.Tensor, end: tf.Tensor, packing: Packing) -> Packed:
    """The rows from `start` to `end`, and their requests; none if `start` is not below `end`."""
    owner = packed[OWNER][start:end]
    some = tf.size(owner) > 0
    first = tf.cond(some, lambda: owner[0], lambda: tf.zeros([], tf.int32))
    last = tf.cond(some, lambda: owner[-1] + 1, lambda: tf.zeros([], tf.int32))
    of_part = _by_part(packed, packing)
    cut = {name: v[first:last] if of_part[name] else v[start:end] for name, v in packed.items()}
    return cut | {OWNER: owner - first}


def _by_part(packed: Packed, packing: Packing) -> dict[str, bool]:
    """Whether each tensor has a row per request; the others have one per row."""
    assert packing.requests is not None  # noqa: S101
    return {name: name.startswith(packing.requests.prefix) for name in packed}


def _as_is(function: Callable[..., object]) -> Callable[..., object]:
    """Keeps AutoGraph from spending time on functions that need no conversion."""
    converted: Callable[..., object] = tf.autograph.experimental.do_not_convert(function)
    return converted
