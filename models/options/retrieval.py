"""Settings of a two-tower retrieval model."""

from __future__ import annotations

import dataclasses

from fullrank.models.options.model import EncoderName, InteractionOptions, ModelOptions, NumericEncoding
from fullrank.models.options.setting import same_as, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class TowerOptions:
    """The two towers: what they read, and how."""

    item: str | None = setting(
        None, "Feature of the ad side whose id names the ad; that of the largest table if not given."
    )
    widths: tuple[int, ...] = setting(
        (32,), "Width of each embedding set; each tower reads all of them, each through layers of its own.", minimum=1
    )
    hidden: tuple[int, ...] = setting((64,), "Hidden layers of each tower, for each embedding set.", minimum=1)
    vector_width: int = setting(32, "Width D of the vectors of queries and ads.", minimum=1)
    normalise: bool = setting(True, "Scale vectors to length 1, so that their product is a cosine.")
    sequence: EncoderName = setting(
        "mean",
        "Encoder of behaviour sequences in the query tower: their mean, or an attention (tim, din, self_attention) "
        "whose target is a learned vector, since a query has no ad.",
    )
    numeric: NumericEncoding = same_as(ModelOptions, "numeric")
    buckets: int = same_as(ModelOptions, "buckets")
    bases: tuple[int, ...] = same_as(ModelOptions, "bases")
    bits: int = same_as(ModelOptions, "bits")
    sequence_scale: float = same_as(ModelOptions, "sequence_scale")
    initial_scale: float = same_as(ModelOptions, "initial_scale")
    dropout: float = same_as(InteractionOptions, "dropout")
    table_variables: int | None = same_as(ModelOptions, "table_variables")
    without_features: tuple[str, ...] = setting(
        (),
        "Features that neither tower reads. Leave out those of the context side that depend on the ad, such as a "
        "user's past rate of the ad's category: a query does not know the ad.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrievalOptions(TowerOptions):
    """The two towers, and what they learn from."""

    positives: tuple[str, ...] = setting(
        (),
        "Binary labels that make an example a positive, as label:weight, weight 1 where not given; weights of several "
        "add up. The schema's first binary label if none is given.",
    )
    interests: int = setting(
        1,
        "Vectors of each query, one for each of as many learned targets of the attention over its history; an ad has "
        "the score of the one that fits it best. More than 1 needs --sequence=tim, din or self_attention.",
        minimum=1,
    )
    temperature: float = setting(0.1, "The softmax is taken of scores divided by this.", above=0)
    log_q: bool = setting(
        True, "Subtract the logarithm of the probability that an ad is in the batch, by counts of the positives so far."
    )
    mixed_negatives: int = setting(
        0, "Ads drawn uniformly from the catalogue in each step, as further negatives of all queries.", minimum=0
    )
    hard_negatives: int | None = setting(
        None, "Use only this many negatives of each query, those of the highest scores; all if not given.", minimum=1
    )
