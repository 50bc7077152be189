"""A served graph has no operation of ours that converters do not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
)
from fullrank.models.options import NumericEncoding
from fullrank.models.serving import serving_signatures

UNKNOWN_TO_CONVERTERS = {"UpperBound", "LowerBound"}
NUMBER = NumericStatistics(
    mean=5.0, std=3.0, minimum=0.0, maximum=10.0, missing=0.1, quantiles=tuple(float(x) for x in range(11))
)
SCHEMA = Schema(
    name="served",
    features=(
        Sparse(name="item", ids=IdMap(kind="identity", size=9)),
        Numeric(name="age", statistics=NUMBER),
        Sequence(
            name="history",
            behaviour=(BehaviourColumn(name="seen", table="item", target="item"),),
            times="seen_at",
            max_length=4,
        ),
        Vector(name="user", length=3, pair="ad"),
        Vector(name="ad", length=3),
        Bits(name="bits", length=5),
    ),
    labels=(Label(name="click", mean=0.2, observed=1.0),),
    time="now",
)


def operations(signature: Any) -> Iterator[str]:
    definition = signature.get_concrete_function().graph.as_graph_def()
    yield from (node.op for node in definition.node)
    for inner in definition.library.function:
        yield from (node.op for node in inner.node_def)


@pytest.mark.parametrize("numeric", ["buckets", "piecewise", "mns", "scaled", "autodis", "periodic"])
def test_no_signature_searches_sorted_numbers(numeric: NumericEncoding) -> None:
    options = models.RankerOptions(tower=(4,), numeric=numeric, interactions=models.InteractionOptions(hidden=(4,)))
    model = models.Ranker(SCHEMA, models.single(width=4, experts=("flat",)), options)
    signatures = serving_signatures(model, SCHEMA)
    for name, signature in signatures.items():
        found = set(operations(signature))
        assert len(found) > 10
        assert not found & UNKNOWN_TO_CONVERTERS, name
