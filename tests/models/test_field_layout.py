"""Parts and groups of fields, as interactions get them from a schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from fullrank import models
from fullrank.data.schema.features import IdMap, Label, Numeric, NumericStatistics, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.layers import FieldPairProjection, GroupWeightedFM, InteractionStack, TwoStream
from fullrank.models.encoding.field_layout import field_layout
from fullrank.models.interactions import INTERACTIONS, build_interaction
from fullrank.models.options import InteractionOptions
from fullrank.models.serving import export_model
from fullrank.models.serving.sample_rows import drawn_rows

AGE = NumericStatistics(mean=40.0, std=10.0, minimum=18.0, maximum=90.0, missing=0.0, quantiles=(18.0, 40.0, 90.0))
IDS = IdMap(kind="identity", size=9)
SCHEMA = Schema(
    name="layout",
    features=(
        Sparse(name="user", side="user", ids=IDS),
        Sparse(name="job", side="user", group="work", ids=IDS),
        Sparse(name="pay", side="user", group="work", ids=IDS),
        Sparse(name="ad", side="ad", ids=IDS),
        Sparse(name="hour", side="context", ids=IDS),
        Numeric(name="age", side="user", statistics=AGE),
    ),
    labels=(Label(name="click"),),
)


def test_parts_are_the_ad_and_the_rest_and_groups_are_those_of_a_side() -> None:
    layout = field_layout(SCHEMA, ["user", "job", "ad", "pay", "hour", "age"])
    assert layout.parts == (0, 0, 1, 0, 0, 0)
    assert layout.groups == (0, 1, 2, 1, 3, 0)
    assert layout.of_part(1) == (2,)
    assert layout.of_part(2) == ()


def test_fields_of_one_side_are_one_part() -> None:
    layout = field_layout(SCHEMA, ["ad"])
    assert (layout.parts, layout.groups) == ((0,), (0,))


def test_a_ranker_gives_its_interactions_the_layout_of_its_fields() -> None:
    wiring = models.multi_embedding(widths=(6,), experts=(("gwpfm", 0), ("finalmlp", 0)))
    ranker = models.Ranker(SCHEMA, wiring)
    grouped, streams = (expert.interaction for expert in ranker.trunk.experts)
    names = ranker.trunk.inputs_of_sets["set0"].field_names
    assert isinstance(grouped, GroupWeightedFM)
    assert isinstance(streams, TwoStream)
    place = names.index("ad")
    assert [part == grouped.parts[place] for part in grouped.parts] == [name == "ad" for name in names]
    assert (place,) in streams.contexts
    assert len({grouped.groups[names.index(name)] for name in ("job", "pay")}) == 1


@pytest.fixture(scope="module")
def ranker() -> models.Ranker:
    """A model with every interaction."""
    options = models.RankerOptions(interactions=InteractionOptions(hidden=(4,), cross_depth=1, stack=("fm", "flat")))
    wiring = models.multi_embedding(widths=(6,), experts=[(kind, 0) for kind in INTERACTIONS])
    return models.Ranker(SCHEMA, wiring, options)


def test_every_interaction_trains_in_a_ranker(ranker: models.Ranker) -> None:
    ranker.compile(optimizer="sgd")
    numbers = tf.range(8, dtype=tf.int64)
    batch: dict[str, Any] = dict.fromkeys(("user", "job", "pay", "ad", "hour"), numbers)
    batch |= {"age": tf.range(20.0, 60.0, 5.0), "click": tf.constant([0.0, 1.0] * 4)}
    before = [[weight.numpy() for weight in expert.trainable_weights] for expert in ranker.trunk.experts]
    ranker.fit(tf.data.Dataset.from_tensors(batch), epochs=2, verbose=0)
    for spec, expert, old in zip(ranker.wiring.experts, ranker.trunk.experts, before, strict=True):
        changed = [(a != b.numpy()).any() for a, b in zip(old, expert.trainable_weights, strict=True)]
        assert any(changed), spec.kind


def test_every_interaction_is_exported(ranker: models.Ranker, tmp_path: Path) -> None:
    exported = export_model(ranker, output=tmp_path, rows=drawn_rows(SCHEMA, number=4))
    assert (exported.path / "saved_model.pb").is_file()


def test_options_reach_the_layers() -> None:
    layout = field_layout(SCHEMA, ["user", "ad"])
    options = InteractionOptions(projection_rank=3, stack=("fm",), stack_depth=3)
    low = build_interaction("fmfm", options=options, layout=layout)
    assert isinstance(low, FieldPairProjection)
    assert (low.form, low.rank) == ("low_rank", 3)
    stack = build_interaction("dhen", options=options, layout=layout)
    assert isinstance(stack, InteractionStack)
    assert len(stack.interactions) == 3


def test_what_is_no_interaction_is_refused() -> None:
    layout = field_layout(SCHEMA, ["user", "ad"])
    with pytest.raises(ValueError, match=r"Unknown expert 'fmm'. Known: flat, fm, "):
        build_interaction("fmm", options=InteractionOptions(), layout=layout)
    with pytest.raises(ValueError, match="cannot stack itself"):
        build_interaction("dhen", options=InteractionOptions(stack=("fm", "dhen")), layout=layout)
