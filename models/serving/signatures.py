"""The signatures of a served model: one function per name, all on the same model and variables.

Every input of a TensorFlow signature is required. A client that cannot fill a column sends the column's missing value
(-1, NaN, the empty string), or uses `serving_examples`, where absent columns are missing.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.data.records.encode_examples import encode_examples
from fullrank.data.records.example_layout import example_parser
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_rules import aligned_columns
from fullrank.models.one_user import OneUser
from fullrank.models.serving.one_user import (
    first_user_expected,
    first_user_request,
    of_one_user,
    request_name,
    why_no_request,
)
from fullrank.models.serving.packed_inputs import pack, packed_specs, unpack
from fullrank.models.serving.request_inputs import input_name, input_specs, to_batch, without_zeros
from fullrank.models.serving.sample_rows import Rows, to_columns
from fullrank.models.serving.uncertain import (
    Uncertain,
    group_answers,
    groups_signature,
    has_groups,
    posterior_answers,
    posterior_signature,
    thompson_expected,
    thompson_request,
    thompson_signature,
)

Signature = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
"""A `tf.function` with an input signature, from named tensors to named tensors."""

EXAMPLES_INPUT: Final = "examples"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """How one signature is made.

    Attributes:
      function: From model and schema to the signature.
      request: From schema and rows to the inputs of a request for these rows; warm-up and replay send them.
      expected: From model and batch to what such a request should be answered.
    """

    function: Callable[..., Signature]
    request: Callable[[Schema, Rows], dict[str, np.ndarray[Any, Any]]]
    expected: Callable[[Any, Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]


def named_tensors(model: keras.Model | OneUser, schema: Schema, once: Collection[str] = ()) -> Signature:
    """Raw columns by name, as `request_inputs.input_specs` lists them, to `{task: probability [B]}`."""

    def score(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return _probabilities(model(to_batch(inputs, schema=schema), training=False))

    signature: Signature = tf.function(score, input_signature=[input_specs(schema, once=once)], autograph=False)
    return signature


def packed_tensors(model: keras.Model, schema: Schema) -> Signature:
    """Raw columns side by side, one tensor per dtype, as `packed_inputs.packed_layout` lays them out; the fastest."""

    def score(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return _probabilities(model(without_zeros(unpack(inputs, schema=schema), schema=schema), training=False))

    signature: Signature = tf.function(score, input_signature=[packed_specs(schema)], autograph=False)
    return signature


def serialized_examples(model: keras.Model, schema: Schema) -> Signature:
    """Serialized `tf.train.Example` protos, `examples` `[B]`, to `{task: probability [B]}`.

    The parser is the one that reads records of the `example` layout; labels and other columns that the model does not
    read may be left out. As there, bytes that are not an example, an example without any of the inputs, and columns of
    one sequence with different numbers of values are refused.
    """
    parse = example_parser(schema.input_columns, aligned=aligned_columns(schema))

    def score(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = without_zeros(parse(inputs[EXAMPLES_INPUT]), schema=schema)
        return _probabilities(model(batch, training=False))

    spec = {EXAMPLES_INPUT: tf.TensorSpec([None], tf.string, name=EXAMPLES_INPUT)}
    signature: Signature = tf.function(score, input_signature=[spec], autograph=False)
    return signature


def _named_request(schema: Schema, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    return {input_name(column.name): rows[column.name] for column in schema.input_columns}


def _packed_request(schema: Schema, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    return pack(rows, schema=schema)


def _examples_request(schema: Schema, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    columns = to_columns(rows, columns=schema.input_columns)
    return {EXAMPLES_INPUT: np.array(encode_examples(columns, schema_columns=schema.input_columns), dtype=object)}


def _scores(model: Any, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    scores: dict[str, tf.Tensor] = model(batch, training=False)
    return scores


SIGNATURES: Final[dict[str, Served]] = {
    "serving_default": Served(function=named_tensors, request=_named_request, expected=_scores),
    "serving_packed": Served(function=packed_tensors, request=_packed_request, expected=_scores),
    "serving_examples": Served(function=serialized_examples, request=_examples_request, expected=_scores),
}


UNCERTAIN: Final[dict[str, Served]] = {
    "posterior": Served(function=posterior_signature, request=_named_request, expected=posterior_answers),
    "thompson": Served(function=thompson_signature, request=thompson_request, expected=thompson_expected),
}
"""Further signatures of a model that estimates its uncertainty."""


GROUPS: Final[dict[str, Served]] = {
    "groups": Served(function=groups_signature, request=_named_request, expected=group_answers),
}
"""Further signatures of a model that learns groups."""


def served(model: Any) -> dict[str, Served]:
    """The signatures of a model by name."""
    uncertain = isinstance(model, Uncertain) and getattr(model, "is_uncertain", True)
    more = {**(UNCERTAIN if uncertain else {}), **(GROUPS if has_groups(model) else {})}
    found = {**SIGNATURES, **more}
    if why_no_request(model) is None:
        by_name = {"serving_default": SIGNATURES["serving_default"], **more}
        found |= {request_name(name): _for_one_user(each) for name, each in by_name.items()}
    return found


def _for_one_user(each: Served) -> Served:
    return Served(
        function=of_one_user(each.function),
        request=functools.partial(first_user_request, each.request),
        expected=functools.partial(first_user_expected, each.expected),
    )


def serving_signatures(model: keras.Model, schema: Schema) -> dict[str, Signature]:
    """Every signature that a model is exported with, by name.

    Args:
      model: Maps a batch of columns to `{task: probability [B]}`.
      schema: What it was trained on.
    """
    return {name: each.function(model, schema) for name, each in served(model).items()}


def _probabilities(outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {task: tf.identity(tf.cast(value, tf.float32), name=task) for task, value in outputs.items()}
