"""Whether variables hold finite numbers only: what is saved has to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import tensorflow as tf

_BLOCK: Final = 1 << 24
_NAMED: Final = 3


def not_finite(variables: Iterable[tf.Variable]) -> list[str]:
    """Names of the variables that hold a NaN or an infinite number, in their order.

    One sum over each variable finds out: a NaN or an infinite summand leaves no finite sum, and a sum needs no memory
    of its own, as a mask over a large table would. A sum may also overflow over finite numbers, so a variable whose sum
    is not finite is looked at again, block by block.
    """
    return [
        str(variable.name).removesuffix(":0")
        for variable in variables
        if variable.dtype.is_floating and not _is_finite(variable)
    ]


def describe_not_finite(names: Sequence[str]) -> str:
    """A few of the names, and how many there are in all."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _is_finite(variable: tf.Variable) -> bool:
    if math.isfinite(float(tf.reduce_sum(variable))):
        return True
    flat = tf.reshape(variable, [-1])
    blocks = (flat[start : start + _BLOCK] for start in range(0, int(tf.size(flat)), _BLOCK))
    return all(bool(tf.reduce_all(tf.math.is_finite(block))) for block in blocks)
