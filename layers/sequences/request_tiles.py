"""Rows of requests of different sizes as tiles of one size, so that one product serves all rows of a request."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class Tiles(NamedTuple):
    """Where the B rows of R requests lie in K tiles of P places each.

    Attributes:
      request: The request of each tile, `[K]`.
      places: Tile and place of each row, `[B, 2]`.
      width: P, a scalar.
    """

    request: Any
    places: Any
    width: Any

    def put(self, rows: tf.Tensor) -> tf.Tensor:
        """`[B, d]` -> `[K, P, d]`, zero where there is no row."""
        shape = tf.stack([tf.size(self.request), self.width, tf.shape(rows)[1]])
        tiles = tf.scatter_nd(self.places, rows, shape)
        return tf.ensure_shape(tiles, [None, None, rows.shape[1]])

    def take(self, tiles: tf.Tensor) -> tf.Tensor:
        """`[K, P, d]` -> `[B, d]`."""
        return tf.gather_nd(tiles, self.places)


def request_tiles(owner: tf.Tensor) -> Tiles:
    """Divides the rows of each request into tiles.

    P is the largest size of a request, but at most twice the mean size, rounded up: a larger request has several tiles.
    So there are at most R + B / P tiles, with at most R P + B, about 3 B places, whatever the sizes are.

    Args:
      owner: The request of each row, int32 `[B]`: ascending, from 0 to R - 1.
    """
    sizes = tf.math.bincount(owner)
    rows, requests = tf.size(owner), tf.size(sizes)
    width = tf.maximum(1, tf.minimum(tf.reduce_max(sizes), -(-2 * rows // tf.maximum(1, requests))))
    tiles = -(-sizes // width)
    number = tf.range(rows) - tf.gather(tf.cumsum(sizes, exclusive=True), owner)
    tile = tf.gather(tf.cumsum(tiles, exclusive=True), owner) + number // width
    return Tiles(tf.repeat(tf.range(requests), tiles), tf.stack([tile, number % width], axis=1), width)
