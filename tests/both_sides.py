"""A schema with every kind of feature on both sides, and rankers of it with weights at which all inputs count."""

from __future__ import annotations

from typing import Any

import numpy as np

from fullrank import models
from fullrank.data import (
    BehaviourColumn,
    Bits,
    Feature,
    IdMap,
    Label,
    Numeric,
    NumericStatistics,
    Schema,
    Sequence,
    Sparse,
    Vector,
)

NUMBER = NumericStatistics(
    mean=5.0, std=3.0, minimum=0.0, maximum=10.0, missing=0.1, quantiles=tuple(float(x) for x in range(11))
)
IDS = IdMap(kind="identity", size=40)
TASKS = ("click", "like")
FEATURES: tuple[Feature, ...] = (
    Sparse(name="user", side="user", ids=IDS),
    Sparse(name="item", side="ad", ids=IDS),
    Sparse(name="words", side="ad", ids=IdMap(kind="hash", size=9), max_values=3),
    Sparse(name="likes", ids=IdMap(kind="hash", size=9), max_values=3, weights="like_weights"),
    Sparse(name="hour", ids=IdMap(kind="identity", size=24)),
    Numeric(name="age", side="user", statistics=NUMBER),
    Numeric(name="price", side="ad", statistics=NUMBER),
    Sequence(
        name="history",
        behaviour=(
            BehaviourColumn(name="seen", table="item", target="item"),
            BehaviourColumn(name="seen_hour", table="hour", target="hour"),
        ),
        times="seen_at",
        max_length=5,
    ),
    Vector(name="taste", length=3, side="user", pair="content"),
    Vector(name="content", length=3, side="ad"),
    Vector(name="face", length=2, side="user"),
    Bits(name="code", length=4),
)
SCHEMA = Schema(
    name="sides",
    features=FEATURES,
    labels=tuple(Label(name=task, mean=0.2, observed=1.0) for task in TASKS),
    time="now",
)
SIZES: dict[str, Any] = {"widths": (4, 4), "expert_width": 8}


def with_random_weights(schema: Schema, wiring: models.Wiring, **options: Any) -> models.Ranker:
    """A ranker with weights of a size at which all inputs count."""
    sizes = models.InteractionOptions(hidden=(8,), cross_depth=2)
    model = models.Ranker(schema, wiring, models.RankerOptions(tower=(8,), **{"interactions": sizes, **options}))
    random = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(random.normal(scale=0.4, size=variable.shape))
    return model
