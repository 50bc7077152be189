"""Signatures for one user and many candidates: columns of user and context once, those of the ads for each candidate.

`serving_request` answers as `serving_default` does for rows in which the former are repeated; `posterior_request`,
`thompson_request` and `groups_request` answer as the signatures without that ending.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.schema.request_parts import request_parts
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.models.one_user import OneUser
from fullrank.models.ranker import Ranker
from fullrank.models.serving.sample_rows import Rows

REQUEST_ENDING: Final = "_request"

Function = Callable[[Any, Schema, Collection[str]], Any]
"""From model, schema and the columns that a request holds once to a signature."""


def request_name(signature: str) -> str:
    """The name of the signature that answers as this one does, for one user and many candidates."""
    return "serving" + REQUEST_ENDING if signature == "serving_default" else signature + REQUEST_ENDING


def of_one_user(function: Function) -> Callable[[Ranker, Schema], Any]:
    """The signature that `function` makes, for one user and many candidates."""

    def made(model: Ranker, schema: Schema) -> Any:
        one_user = OneUser(model)
        return function(one_user, schema, one_user.columns)

    return made


def first_user_request(
    of_rows: Callable[[Schema, Rows], dict[str, np.ndarray[Any, Any]]], schema: Schema, rows: Rows
) -> dict[str, np.ndarray[Any, Any]]:
    """The inputs of a request for the ads of all rows and the user and context of the first."""
    once = request_parts(schema).columns
    return of_rows(schema, {name: values[:1] if name in once else values for name, values in rows.items()})


def first_user_expected(
    of_batch: Callable[[Any, Mapping[str, tf.Tensor]], dict[str, tf.Tensor]],
    model: Any,
    batch: Mapping[str, tf.Tensor],
) -> dict[str, tf.Tensor]:
    """What the model itself answers for rows that all have the user and context of the first."""
    once = request_parts(model.schema).columns
    return of_batch(
        model, {name: tf.repeat(v[:1], tf.shape(v)[0], axis=0) if name in once else v for name, v in batch.items()}
    )


def why_no_request(model: Any) -> str | None:
    """Why a model has no signature for one user and many candidates; `None` if it has."""
    if not isinstance(model, Ranker):
        return "the model is no ranker"
    try:
        request_parts(model.schema)
    except SchemaError as error:
        return str(error)
    return None
