"""The interactions an expert can be made of, by the name that flags and wirings use."""

from __future__ import annotations

from collections.abc import Callable

import tf_keras as keras

from fullrank.layers.interactions.compressed_interaction import CompressedInteraction
from fullrank.layers.interactions.cross_net import CrossNetV2
from fullrank.layers.interactions.factorization_machines import FactorizationMachine, FieldAwareFM, FieldWeightedFM
from fullrank.layers.interactions.field_attention import FieldAttention
from fullrank.layers.interactions.field_pair_projection import FieldPairProjection
from fullrank.layers.interactions.flat import FlatDNN
from fullrank.layers.interactions.group_weighted_fm import GroupWeightedFM
from fullrank.layers.interactions.interaction_stack import InteractionStack
from fullrank.layers.interactions.products import InnerProduct, OuterProduct
from fullrank.layers.interactions.two_stream import TwoStream
from fullrank.models.encoding.field_layout import FieldLayout
from fullrank.models.options import InteractionOptions


def _projection(options: InteractionOptions, _: FieldLayout) -> keras.layers.Layer:
    rank = options.projection_rank
    return FieldPairProjection("full" if rank is None else "low_rank", rank=rank, name="fmfm")


def _attention(options: InteractionOptions, _: FieldLayout) -> keras.layers.Layer:
    width = options.attention_width
    return FieldAttention(options.attention_depth, heads=options.heads, width=width, name="autoint")


def _two_stream(options: InteractionOptions, layout: FieldLayout) -> keras.layers.Layer:
    contexts = (layout.of_part(0), layout.of_part(1))
    return TwoStream(options.hidden, heads=options.heads, contexts=contexts, dropout=options.dropout, name="finalmlp")


def _stack(options: InteractionOptions, layout: FieldLayout) -> keras.layers.Layer:
    if "dhen" in options.stack:
        raise ValueError(f"A dhen expert cannot stack itself. Received: {','.join(options.stack)}.")
    rows = [
        [build_interaction(kind, options=options, layout=layout) for kind in options.stack]
        for _ in range(options.stack_depth)
    ]
    return InteractionStack(rows, name="dhen")


INTERACTIONS: dict[str, Callable[[InteractionOptions, FieldLayout], keras.layers.Layer]] = {
    "flat": lambda o, _: FlatDNN(o.hidden, dropout=o.dropout, name="flat"),
    "fm": lambda *_: FactorizationMachine(name="fm"),
    "fwfm": lambda *_: FieldWeightedFM(name="fwfm"),
    "ffm": lambda *_: FieldAwareFM(name="ffm"),
    "gwpfm": lambda _, layout: GroupWeightedFM(layout.parts, layout.groups, name="gwpfm"),
    "fmfm": _projection,
    "fvfm": lambda *_: FieldPairProjection("diagonal", name="fvfm"),
    "ipnn": lambda *_: InnerProduct(name="ipnn"),
    "opnn": lambda *_: OuterProduct(name="opnn"),
    "dlrm": lambda *_: InnerProduct(linear=False, name="dlrm"),
    "crossnet": lambda o, _: CrossNetV2(o.cross_depth, projection_dim=o.cross_rank, name="crossnet"),
    "cin": lambda o, _: CompressedInteraction(o.maps, name="cin"),
    "autoint": _attention,
    "finalmlp": _two_stream,
    "dhen": _stack,
}


def build_interaction(kind: str, *, options: InteractionOptions, layout: FieldLayout) -> keras.layers.Layer:
    """The interaction layer of that name.

    Args:
      kind: A key of `INTERACTIONS`.
      options: Sizes of the layers.
      layout: Parts and groups of the fields that it will read.

    Raises:
      ValueError: If there is no such interaction.
    """
    if kind not in INTERACTIONS:
        raise ValueError(f"Unknown expert {kind!r}. Known: {', '.join(INTERACTIONS)}.")
    return INTERACTIONS[kind](options, layout)
