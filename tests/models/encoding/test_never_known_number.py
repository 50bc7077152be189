"""A number that is missing throughout the training split is encoded, whatever is sent for it later."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fullrank import layers
from fullrank.data.schema.features import Label, NumberMap, Numeric, NumericStatistics
from fullrank.data.schema.schema import Schema
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.options import NumericEncoding


@pytest.mark.parametrize("numeric", ["buckets", "piecewise", "mns"])
@pytest.mark.parametrize("value_map", ["quantile", "linear", "log"])
def test_a_number_that_was_never_known_is_encoded(numeric: NumericEncoding, value_map: NumberMap) -> None:
    nothing = NumericStatistics(mean=0.0, std=0.0, minimum=0.0, maximum=0.0, missing=1.0)
    never = Numeric(name="x", map=value_map, statistics=nothing)
    schema = Schema(
        name="s",
        features=(
            never,
            Numeric(
                name="z", statistics=dataclasses.replace(nothing, missing=0.0, quantiles=(0.0, 1.0, 4.0), maximum=4.0)
            ),
        ),
        labels=(Label(name="y"),),
    )
    encoder = FeatureEncoder(schema, vocabularies={}, numeric=numeric, buckets=4)
    embeddings = layers.EmbeddingSet(encoder.plan, 3, table_variables=1)
    values = tf.constant([float("nan"), -7.0, 0.0, 1e30])
    found = embeddings(encoder({"x": values, "z": tf.zeros([4])})).numpy()
    assert np.isfinite(found).all()
