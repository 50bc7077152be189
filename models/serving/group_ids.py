"""The signature that tells which groups an example belongs to: semantic ids, coarse to fine ([Meta] §3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from fullrank.data.schema import Schema
from fullrank.models.serving.request_inputs import input_specs, to_batch


def has_groups(model: Any) -> bool:
    """Whether a model learns groups anywhere."""
    return bool(getattr(model, "learns_groups", False))


def group_answers(model: Any, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """`{place: codes [B, Q]}` int32, such as `user` and `representation`."""
    codes: Mapping[str, tf.Tensor] = model.group_codes(batch)
    return {place: tf.identity(each, name=place) for place, each in codes.items()}


def groups_signature(model: Any, schema: Schema) -> Any:
    """Raw columns by name to the codes of each place."""

    def score(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return group_answers(model, to_batch(inputs, schema=schema))

    return tf.function(score, input_signature=[input_specs(schema)], autograph=False)
