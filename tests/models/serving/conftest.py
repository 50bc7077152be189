"""A ranker of two tasks with every kind of feature, to be exported."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank import models
from fullrank.data import (
    BehaviourColumn,
    Bits,
    IdMap,
    Label,
    Numeric,
    NumericStatistics,
    Schema,
    Sequence,
    Sparse,
    Vector,
    read_schema,
    write_schema,
    write_vocabulary,
)

TASKS = ("click", "like")


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    directory = tmp_path_factory.mktemp("records")
    statistics = NumericStatistics(
        mean=5.0, std=3.0, minimum=0.0, maximum=10.0, missing=0.1, quantiles=tuple(float(x) for x in range(11))
    )
    write_schema(
        Schema(
            name="served",
            features=(
                Sparse(name="user-id", ids=IdMap(size=20)),
                Sparse(name="item", dtype="bytes", ids=IdMap(size=8)),
                Sparse(name="brand", dtype="bytes", ids=IdMap(kind="hash", size=10)),
                Sparse(name="tags", ids=IdMap(kind="identity", size=9), max_values=3, weights="tag_weights"),
                Numeric(name="age", statistics=statistics),
                Sequence(
                    name="history",
                    behaviour=(BehaviourColumn(name="seen", table="item", target="item"),),
                    times="seen_at",
                    max_length=4,
                ),
                Vector(name="vector", length=3),
                Bits(name="bits", length=5),
            ),
            labels=tuple(Label(name=task, mean=0.2, observed=1.0) for task in TASKS),
            time="now",
        ),
        directory,
    )
    write_vocabulary([7 * k for k in range(20)], directory=directory, feature="user-id")
    write_vocabulary([b"item %d" % k for k in range(8)], directory=directory, feature="item")
    return read_schema(directory)


@pytest.fixture(scope="module")
def model(schema: Schema) -> models.Ranker:
    wiring = models.multi_embedding(widths=(4, 4), tasks=TASKS, expert_width=8)
    ranker = models.Ranker(schema, wiring, models.RankerOptions(tower=(8,), table_variables=None))
    random = np.random.default_rng(3)
    for variable in ranker.trainable_variables:
        variable.assign(random.normal(scale=0.3, size=variable.shape))
    return ranker
