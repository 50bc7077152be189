"""Wirings of the papers' models, and the one model class that builds them."""

from fullrank.models.interactions import InteractionOptions
from fullrank.models.paradigms import multi_embedding, single
from fullrank.models.ranker import Ranker
from fullrank.models.ranker_options import RankerOptions
from fullrank.models.wiring import ExpertSpec, Reader, SetSpec, Wiring

__all__ = [
    "ExpertSpec",
    "InteractionOptions",
    "Ranker",
    "RankerOptions",
    "Reader",
    "SetSpec",
    "Wiring",
    "multi_embedding",
    "single",
]
