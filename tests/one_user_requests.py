"""Compares the signatures for one user and many candidates with those that repeat the user in every row."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from fullrank import models
from fullrank.data.schema.request_parts import request_parts
from fullrank.models.serving.one_user import request_name
from fullrank.models.serving.request_inputs import input_name
from fullrank.models.serving.sample_rows import Rows
from fullrank.models.serving.signatures import served


def check_requests(model: models.Ranker, rows: Rows, *, tolerance: float = 1e-6) -> set[str]:
    """Asserts that their answers are equal, for the user of the first row and the ads of all; returns their names.

    Nothing is traced, which would take longer than all else; exports are, in other tests.
    """
    ways, schema = served(model), model.schema
    once = {input_name(name) for name in request_parts(schema).columns}
    number = len(next(iter(rows.values())))
    found = {request_name(name): name for name in ways if request_name(name) in ways}
    for request, flat in found.items():
        given = {name: tf.constant(value) for name, value in ways[request].request(schema, rows).items()}
        assert {name for name, value in given.items() if value.shape[0] == 1} == once
        repeated = {name: tf.repeat(v, number, axis=0) if name in once else v for name, v in given.items()}
        tf.config.run_functions_eagerly(True)
        try:
            answers = ways[request].function(model, schema)(given)
            expected = ways[flat].function(model, schema)(repeated)
        finally:
            tf.config.run_functions_eagerly(False)
        assert set(answers) == set(expected)
        for name, values in expected.items():
            assert answers[name].shape == values.shape
            scale = np.maximum(1.0, np.abs(values.numpy()))
            np.testing.assert_allclose(answers[name] / scale, values / scale, rtol=0, atol=tolerance, err_msg=name)
    return set(found)
