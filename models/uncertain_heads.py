"""Heads that know how sure they are, by the name of the option."""

from __future__ import annotations

from collections.abc import Sequence

from fullrank.models.dropout_heads import DropoutHeads
from fullrank.models.heads.uncertain import GaussianHeads
from fullrank.models.laplace_heads import LaplaceHeads
from fullrank.models.options import RankerOptions

UncertainHeads = GaussianHeads | LaplaceHeads | DropoutHeads
"""All give `GaussianLogits` of `[B, T]` and a `divergence` of `[T]`; in training they `observe` which labels a batch
has, and for serving they `precompute` what depends on weights alone."""


def uncertain_heads(
    tower_of: Sequence[int], *, options: RankerOptions, base_rates: Sequence[float], labels: Sequence[float]
) -> UncertainHeads:
    """Builds what `options.head` names.

    Args:
      tower_of: The tower of each task.
      options: With a head other than `logit`.
      base_rates: Share of positives of each task.
      labels: N of each task, its observed labels in the training split.

    Raises:
      ValueError: If dropout is asked for and there is none.
    """
    if options.head == "gp":
        return GaussianHeads(
            tower_of,
            base_rates=base_rates,
            inducing_points=options.inducing_points,
            kernel=options.kernel,
            labels=labels,
            name="logits",
            dtype="float32",
        )
    if options.head == "dropout":
        if not options.dropout or not options.tower:
            raise ValueError(
                "head='dropout' reads its uncertainty off a tower that drops units: give dropout > 0 and a tower. "
                f"Received: dropout={options.dropout:g}, tower={options.tower}."
            )
        return DropoutHeads(tower_of, base_rates=base_rates, rate=options.dropout, name="logits", dtype="float32")
    return LaplaceHeads(
        tower_of,
        base_rates=base_rates,
        random_features=options.inducing_points if options.head == "rff_gp" else None,
        labels=labels,
        name="logits",
        dtype="float32",
    )
