"""Signatures of a model that estimates its uncertainty, and of one that has learned groups.

`posterior` answers mean and variance, `thompson` a draw by Thompson sampling ([Tencent] §6.4), `groups` the semantic
ids of an example, coarse to fine ([Meta] §3.1).
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from fullrank.data.schema.schema import Schema
from fullrank.models.exploration.policies import thompson
from fullrank.models.serving.request_inputs import input_name, input_specs, to_batch
from fullrank.models.serving.sample_rows import Rows

SEED_INPUT: Final = "seed"
_SEED: Final = np.array([1, 2], np.int32)
"""Seed of the warm-up requests."""


@runtime_checkable
class Uncertain(Protocol):
    """A model with a distribution over each task's logit."""

    def logit_distributions(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """`{task: (mean [B], variance [B])}`."""


def posterior_answers(model: Uncertain, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """`{task_mean: [B], task_variance: [B]}` of the logits."""
    found = {}
    for task, (mean, variance) in model.logit_distributions(batch).items():
        found[f"{task}_mean"] = tf.identity(mean, name=f"{task}_mean")
        found[f"{task}_variance"] = tf.identity(variance, name=f"{task}_variance")
    return found


def thompson_answers(model: Uncertain, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """`{task: sigma(f) [B]}` with f drawn for each example and each task by itself.

    The same seed gives the same draw. A task's name is hashed into the seed, so that neither another task nor a seed
    that was counted up repeats its numbers, and leaving out other tasks does not change them.
    """
    found = {}
    for task, (mean, variance) in model.logit_distributions(batch).items():
        of_task = tf.random.fold_in(seed, tf.constant(zlib.crc32(task.encode()), tf.int64))
        draw = thompson(mean=mean, variance=variance, seed=of_task)
        found[task] = tf.identity(tf.sigmoid(draw), name=task)
    return found


def posterior_signature(model: Any, schema: Schema, once: Collection[str] = ()) -> Any:
    """Raw columns by name to mean and variance of each task's logit."""

    def score(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return posterior_answers(model, to_batch(inputs, schema=schema))

    return tf.function(score, input_signature=[input_specs(schema, once=once)], autograph=False)


def thompson_signature(model: Any, schema: Schema, once: Collection[str] = ()) -> Any:
    """Raw columns by name, and `seed`, two int32 numbers, to a sampled probability of each task.

    Raises:
      ValueError: If a column is called `seed`.
    """
    specs = input_specs(schema, once=once)
    if SEED_INPUT in specs:
        raise ValueError(f"The signature 'thompson' has an input {SEED_INPUT!r}: rename that column.")

    def score(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        columns = {name: value for name, value in inputs.items() if name != SEED_INPUT}
        return thompson_answers(model, to_batch(columns, schema=schema), inputs[SEED_INPUT])

    seed = tf.TensorSpec([2], tf.int32, name=SEED_INPUT)
    return tf.function(score, input_signature=[{**specs, SEED_INPUT: seed}], autograph=False)


def thompson_request(schema: Schema, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """The inputs of a warm-up request."""
    return {**{input_name(column.name): rows[column.name] for column in schema.input_columns}, SEED_INPUT: _SEED}


def thompson_expected(model: Any, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The expected answer to the warm-up request."""
    return thompson_answers(model, batch, tf.constant(_SEED))


def has_groups(model: Any) -> bool:
    """Whether a model learns groups anywhere."""
    return bool(getattr(model, "learns_groups", False))


def group_answers(model: Any, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """`{place: codes [B, Q]}` int32, such as `user` and `representation`."""
    codes: Mapping[str, tf.Tensor] = model.group_codes(batch)
    return {place: tf.identity(each, name=place) for place, each in codes.items()}


def groups_signature(model: Any, schema: Schema, once: Collection[str] = ()) -> Any:
    """Raw columns by name to the codes of each place."""

    def score(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return group_answers(model, to_batch(inputs, schema=schema))

    return tf.function(score, input_signature=[input_specs(schema, once=once)], autograph=False)
