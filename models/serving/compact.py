"""A model for serving with weights in fewer bytes: tables as int8, or tables and products in bfloat16."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras.src.mixed_precision.autocast_variable import AutoCastVariable

from fullrank.layers.embedding.compact_rows import CompactRows
from fullrank.layers.remote_rows import full_name
from fullrank.models.ranker import Ranker

Weights = Literal["float32", "bfloat16", "int8"]


def for_serving(model: Ranker, *, weights: Weights) -> Ranker:
    """A copy of a model with one table variable per embedding set, and what depends on weights alone computed.

    * float32: tables and weights are float32.
    * int8: tables are int8 with a scale for each row, everything else is float32.
    * bfloat16: tables, and the weights of the layers that compute in bfloat16 under Keras's policy `mixed_bfloat16`,
      are bfloat16, as are the products of these layers. No weight is rounded when it is read; layers that sum in
      float32 (GwPFM, numeral systems) widen a few small ones. Heads compute in float32.

    Args:
      model: A trained model, of any policy.
      weights: What its weights are stored as.

    Raises:
      ValueError: If a weight is not finite, where it is stored in fewer bytes; or if the model learns groups and is to
        compute in bfloat16.
    """
    if weights == "bfloat16" and model.learns_groups:
        raise ValueError(
            "--weights=bfloat16: the model learns groups (--group_places), and an example between two groups would "
            "fall into either by the rounding of bfloat16, which differs between signatures. Take --weights=int8."
        )
    with _policy("mixed_bfloat16") if weights == "bfloat16" else contextlib.nullcontext():
        served = model.merged(table_variables=1)
    served.precompute()
    if weights != "float32":
        for tables in served.sets.values():
            tables.compact(weights)
    if weights == "bfloat16":
        _store_as_read(served)
    return served


def table_size(model: Ranker) -> int:
    """Bytes of all tables, as they are looked up."""
    return sum(_size(table) for layer in model.sets.values() for table in layer.variables_of_tables)


def _size(table: Any) -> int:
    return table.size if isinstance(table, CompactRows) else int(np.prod(table.shape)) * table.dtype.size


def _store_as_read(model: keras.Model) -> None:
    """Stores the weights that Keras casts at each reading in the dtype in which their layers read them.

    Keras wraps such a weight, and casts it unless the variable inside has the dtype already.
    """
    for weight in model.weights:
        if isinstance(weight, AutoCastVariable):
            rounded = tf.cast(weight.read_value(), tf.bfloat16)
            if not np.isfinite(tf.cast(rounded, tf.float32).numpy()).all():
                raise ValueError(
                    f"{full_name(weight)} holds a number that is not finite in bfloat16: the model has diverged. Train "
                    "again with a smaller learning rate."
                )
            weight._variable = tf.Variable(rounded, trainable=False, name=full_name(weight))


@contextlib.contextmanager
def _policy(name: str) -> Iterator[None]:
    former = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(former)
