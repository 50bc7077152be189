"""Updates of the same rows that overlap, as those of workers that do not wait for each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.models.optimizers import base
from fullrank.models.optimizers.lazy_adagrad import LazyAdagrad
from fullrank.models.optimizers.lazy_adam import LazyAdam
from fullrank.models.optimizers.lazy_ftrl import LazyFtrl
from fullrank.models.optimizers.rowwise_adagrad import RowwiseAdagrad

RATE = 0.5


def gradient(rows: list[int], value: float) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.fill([len(rows), 2], value), tf.constant(rows))


class Overlapping(RowwiseAdagrad):
    """After it has read the rows of its first update, another update comes in between."""

    pending: tf.IndexedSlices | None = gradient([1, 2], 4.0)
    table: Any = None

    def updated(self, gradient: Any, weights: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        pending, self.pending = self.pending, None
        if pending is not None:
            self.update_step(pending, self.table)
        return super().updated(gradient, weights, state)


@pytest.mark.parametrize("shared", [False, True])
def test_of_two_that_overlap_both_count_where_tables_are_shared(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_others_write", lambda: shared)
    optimizer, table = Overlapping(RATE), tf.Variable(np.ones((4, 2), np.float32))
    optimizer.table = table
    optimizer.build([table])
    optimizer.update_step(gradient([0, 1], 2.0), table)
    # From G = 0 each update moves its rows by RATE g / sqrt(g^2) = RATE; row 1 belongs to both.
    twice = 1 - 2 * RATE if shared else 1 - RATE
    np.testing.assert_allclose(table.numpy()[:, 0], [1 - RATE, twice, 1 - RATE, 1], atol=1e-6)
    (accumulator,) = optimizer._state[optimizer._var_key(table)]
    np.testing.assert_allclose(accumulator.numpy(), [4, 4 + 16 if shared else 4, 16, 0], atol=1e-6)


@pytest.mark.parametrize("rule", [RowwiseAdagrad, LazyAdagrad, LazyAdam, LazyFtrl])
def test_an_update_alone_is_the_same_and_other_rows_keep_their_bits(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    found = []
    for shared in (False, True):
        monkeypatch.setattr(base, "_others_write", lambda shared=shared: shared)
        optimizer, table = rule(RATE), tf.Variable(first)
        optimizer.build([table])
        for value in (0.3, -0.1):
            optimizer.update_step(gradient([3, 0], value), table)
        found.append([table.numpy(), *(slot.numpy() for slot in optimizer._state[optimizer._var_key(table)])])
        np.testing.assert_array_equal(table.numpy()[[1, 2, 4]], first[[1, 2, 4]])
    for written, added in zip(*found, strict=True):
        np.testing.assert_allclose(written, added, atol=1e-6)
