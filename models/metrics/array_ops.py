"""The array functions that the metric formulas need, so that NumPy and TensorFlow run the same formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ArrayOps:
    """Functions of one array library; both libraries agree on the meaning of those listed here.

    Operators (`+`, `/`, `<`, `&`, `~`, slices) are those of the arrays themselves. `where` accepts a Python number on
    either side and gives it the dtype of the other one; `concat`, `cumsum`, `sum` and `take` have the argument `axis`.
    """

    cast_int: Callable[[Any], Any]
    clip: Callable[[Any, Any, Any], Any]
    concat: Callable[..., Any]
    cumsum: Callable[..., Any]
    exp: Callable[[Any], Any]
    floor: Callable[[Any], Any]
    isnan: Callable[[Any], Any]
    log: Callable[[Any], Any]
    log1p: Callable[[Any], Any]
    searchsorted: Callable[[Any, Any], Any]
    stack: Callable[[Any], Any]
    sum: Callable[..., Any]
    take: Callable[..., Any]
    unstack: Callable[[Any], Any]
    where: Callable[[Any, Any, Any], Any]


def _numpy_cast_int(values: Any) -> Any:
    return np.asarray(values).astype(np.int64)


NUMPY = ArrayOps(
    cast_int=_numpy_cast_int,
    clip=np.clip,
    concat=np.concatenate,
    cumsum=np.cumsum,
    exp=np.exp,
    floor=np.floor,
    isnan=np.isnan,
    log=np.log,
    log1p=np.log1p,
    searchsorted=np.searchsorted,
    stack=np.stack,
    sum=np.sum,
    take=np.take,
    unstack=tuple,
    where=np.where,
)
