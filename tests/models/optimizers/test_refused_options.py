"""Options that an optimiser of tables cannot keep its promise with are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.models import optimizers


def test_rowwise_state_is_one_number_a_row() -> None:
    optimizer, table = optimizers.RowwiseAdagrad(), tf.Variable(tf.zeros([7, 16]))
    optimizer.build([table])
    assert [variable.shape for variable in optimizer.variables[1:]] == [(7,)]


@pytest.mark.parametrize("option", [{"weight_decay": 0.1}, {"use_ema": True}])
@pytest.mark.parametrize("name", ["RowwiseAdagrad", "LazyAdagrad", "LazyAdam", "LazyFtrl"])
def test_options_that_rewrite_the_table_are_refused(name: str, option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"{name} updates looked-up rows only.*{next(iter(option))}"):
        getattr(optimizers, name)(0.1, **option)


def test_a_constraint_is_refused() -> None:
    table = tf.Variable([[1.0]], constraint=keras.constraints.NonNeg(), name="table")
    with pytest.raises(ValueError, match="cannot train table:0: its constraint"):
        optimizers.LazyAdam().build([table])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: optimizers.RowwiseAdagrad(epsilon=0.0), "RowwiseAdagrad needs epsilon > 0"),
        (lambda: optimizers.LazyAdagrad(initial_accumulator_value=-1.0), "initial_accumulator_value >= 0"),
        (lambda: optimizers.LazyAdam(beta_2=1.0), r"beta_2 in \[0, 1\)"),
        (lambda: optimizers.LazyFtrl(beta=0.0), "beta > 0"),
        (lambda: optimizers.LazyFtrl(l1=float("nan")), "l1 >= 0"),
    ],
)
def test_numbers_out_of_range_are_refused(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
