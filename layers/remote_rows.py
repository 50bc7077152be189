"""Tables that parameter servers hold, perhaps in shards: lookups in which each row travels once, names, shards."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import tensorflow as tf

_SERVER: Final = "/job:ps/"


def gather_rows(table: Any, rows: tf.Tensor) -> tf.Tensor:
    """`tf.gather(table, rows)`, which it is for a table of this process.

    A table of a parameter server may be sharded by rows, where `tf.gather` takes vectors of rows only; and a batch
    names few rows many times. Both cases look the distinct rows up, each once, at the server that holds it, and spread
    them over their places here. The gradient of the table has one slice for each distinct row.

    Args:
      table: `[N, d]`: a variable, a variable in shards, or a tensor.
      rows: `[...]` integers.

    Returns:
      `[..., d]`.
    """
    shards = with_shards([table])
    if shards[0] is table and _SERVER not in str(getattr(table, "device", "")):
        return tf.gather(table, rows)
    distinct, places = tf.unique(tf.reshape(rows, [-1]))
    found = tf.nn.embedding_lookup(shards, distinct)
    return tf.gather(found, tf.reshape(places, tf.shape(rows)))


def full_name(variable: Any) -> str:
    """The name of a variable without `:0`; of one in shards, the name that it would have in one piece."""
    first = with_shards([variable])[0]
    return re.sub(r"(/part_\d+)?(:\d+)?$", "", str(first.name))


def with_shards(variables: Iterable[Any]) -> list[Any]:
    """The variables, with its shards in place of each one that parameter servers hold in parts."""
    return [shard for variable in variables for shard in getattr(variable, "variables", (variable,))]
