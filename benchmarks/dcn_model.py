"""The DCN V2 that is served in benchmarks: 39 embedded fields, three crosses parallel to a perceptron."""

from __future__ import annotations

from typing import Any

import numpy as np

from fullrank import models
from fullrank.data import IdMap, Label, Numeric, NumericStatistics, Schema, Sparse

IDS, NUMBERS, WIDTH = 26, 13, 16


def dcn_v2(*, table_rows: int, sided: bool = False) -> models.Ranker:
    """The model, with `table_rows` rows in all tables of ids together, and all weights random.

    Args:
      table_rows: How many.
      sided: Whether every other feature is one of the user, and the rest of the ad, so that there is `serving_request`.
    """
    statistics_ = NumericStatistics(
        mean=5.0, std=3.0, minimum=0.0, maximum=10.0, missing=0.05, quantiles=tuple(np.linspace(0, 10, 65).tolist())
    )
    size = table_rows // IDS
    sides: tuple[Any, Any] = ("user", "ad") if sided else ("context", "context")
    ids = [Sparse(name=f"C{k}", ids=IdMap(kind="identity", size=size), side=sides[k % 2]) for k in range(IDS)]
    numbers = [Numeric(name=f"I{k}", statistics=statistics_, side=sides[k % 2]) for k in range(NUMBERS)]
    schema = Schema(name="dcn_v2", features=(*ids, *numbers), labels=(Label(name="click", mean=0.25, observed=1.0),))
    options = models.RankerOptions(
        numeric="buckets",
        buckets=32,
        tower=(),
        interactions=models.InteractionOptions(hidden=(400, 400, 400), cross_depth=3),
        initial_scale=1.0,
        table_variables=None,
    )
    model = models.Ranker(schema, models.single(width=WIDTH, experts=("crossnet", "flat"), gate="mean"), options)
    generator = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if variable.shape.rank == 1:
            variable.assign(generator.normal(scale=0.1, size=variable.shape))
    return model
