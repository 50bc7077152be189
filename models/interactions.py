"""The interactions an expert can be made of, by the name that flags and wirings use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tf_keras as keras

from fullrank.layers.cross_net import CrossNetV2
from fullrank.layers.factorization_machine import FactorizationMachine
from fullrank.layers.flat import FlatDNN
from fullrank.layers.inner_product import InnerProduct


@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionOptions:
    """What the interactions of a model have in common.

    Attributes:
      hidden: Hidden layers of the flat expert.
      cross_depth: Cross layers of CrossNet V2.
      cross_rank: Rank of its matrices; `None` for full ones.
      dropout: Share of hidden units dropped in training.
    """

    hidden: tuple[int, ...] = (128, 64)
    cross_depth: int = 3
    cross_rank: int | None = None
    dropout: float = 0.0


INTERACTIONS: dict[str, Callable[[InteractionOptions], keras.layers.Layer]] = {
    "flat": lambda o: FlatDNN(o.hidden, dropout=o.dropout, name="flat"),
    "crossnet": lambda o: CrossNetV2(o.cross_depth, projection_dim=o.cross_rank, name="crossnet"),
    "ipnn": lambda o: InnerProduct(name="ipnn"),
    "fm": lambda o: FactorizationMachine(name="fm"),
}


def build_interaction(kind: str, *, options: InteractionOptions) -> keras.layers.Layer:
    """The interaction layer of that name."""
    if kind not in INTERACTIONS:
        raise ValueError(f"Unknown expert {kind!r}. Known: {', '.join(INTERACTIONS)}.")
    return INTERACTIONS[kind](options)
