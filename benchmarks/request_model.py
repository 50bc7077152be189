"""Rankers with random weights whose features are half of the user and half of the ad, with a history or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from fullrank import models
from fullrank.data import (
    BehaviourColumn,
    Feature,
    IdMap,
    Label,
    Numeric,
    NumericStatistics,
    Schema,
    Sequence,
    Sparse,
    read_schema,
    write_schema,
    write_vocabulary,
)
from fullrank.models.options import EncoderName

IdKind = Literal["vocabulary", "identity"]


def with_history(*, length: int, ids: int, kind: IdKind = "vocabulary") -> tuple[Feature, ...]:
    """20 ids and a history of `length` ads."""
    singles = [_id(f"U{k}", ids, "user", kind) for k in range(10)] + [_id(f"A{k}", ids, "ad", kind) for k in range(8)]
    seen = (
        BehaviourColumn(name="seen", table="item", target="item"),
        BehaviourColumn(name="seen_kind", table="kind", target="kind"),
    )
    history = Sequence(name="history", behaviour=seen, times="seen_at", max_length=length)
    return (*singles, _id("item", ids, "ad", kind), _id("kind", ids // 10, "ad", kind), history)


def without_history(*, ids: int) -> tuple[Feature, ...]:
    """26 ids and 13 numbers, every other one of the user, who has 20."""
    numbers = NumericStatistics(
        mean=5.0, std=3.0, minimum=0.0, maximum=10.0, missing=0.05, quantiles=tuple(np.linspace(0, 10, 65).tolist())
    )
    singles = [_id(f"C{k}", ids, "ad" if k % 2 else "user") for k in range(26)]
    real = [Numeric(name=f"I{k}", statistics=numbers, side="ad" if k % 2 else "user") for k in range(13)]
    return (*singles, *real)


def _id(name: str, ids: int, side: Any, kind: IdKind = "vocabulary") -> Sparse:
    return Sparse(name=name, ids=IdMap(kind=kind, size=ids), side=side)


def random_ranker(directory: Path, features: tuple[Feature, ...], sequence: EncoderName) -> models.Ranker:
    """A ranker with random weights, whose schema and vocabularies are in the directory."""
    timed = any(isinstance(feature, Sequence) for feature in features)
    label = Label(name="click", mean=0.25, observed=1.0)
    write_schema(Schema(name="request", features=features, labels=(label,), time="now" if timed else None), directory)
    for feature in features:
        if isinstance(feature, Sparse) and feature.ids.kind == "vocabulary":
            known = np.arange(feature.ids.size) * 7 + 1
            write_vocabulary(known.tolist(), directory=directory, feature=feature.name)
    schema = read_schema(directory)
    options = models.RankerOptions(sequence=sequence, table_variables=1)
    model = models.Ranker(schema, models.single(), options)
    generator = np.random.default_rng(5)
    for variable in model.trainable_variables:
        # Rows of tables and kernels keep the size of what they are multiplied with.
        scale = 0.3 if len(variable.shape) < 2 or variable.shape[-1] == 16 else variable.shape[-2] ** -0.5
        variable.assign(generator.normal(scale=scale, size=variable.shape))
    return model
