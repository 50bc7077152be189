"""Initial biases of the heads: each task starts at the mean of its label, which then need not be learned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

from fullrank.data.schema.features import Label
from fullrank.models.objectives.zero_inflated_lognormal import LEAST_SCALE
from fullrank.models.options import ValueLoss

LEAST_RATE: Final = 1e-6
"""Rates start from here to 1 minus it: a label that was always the same has no finite logit."""
_NEARLY_SURE: Final = 0.99


def first_biases(labels: Sequence[Label], *, chain: Sequence[str], value_loss: ValueLoss) -> dict[str, float]:
    """The initial bias of every column.

    * The logit of the base rate; along a chain, of the rate given the previous task, at most 0.99, because a label that
    always follows the previous one would start where gradients vanish.
    * A value task with `squared`: the mean in units of its size, so 1 or -1.
    * A value task with `ziln`: the share of positive values as above, deviation 1, and mu such that the mean agrees.

    Args:
      labels: One per task; without statistics, a rate of 0.5 and a mean positive value of 1 are assumed.
      chain: Tasks of the chain, in order.
      value_loss: As in `RankerOptions`.

    Returns:
      Column without scenario, such as `click` or `spend/location` -> bias.
    """
    rates = {label.name: _rate(label) for label in labels}
    given = {task: 0.5 if rate is None else min(max(rate, LEAST_RATE), 1 - LEAST_RATE) for task, rate in rates.items()}
    joint = dict(given)
    for before, task in itertools.pairwise(chain):
        rate = rates[task]
        given[task] = 0.5 if rate is None else min(max(rate / joint[before], LEAST_RATE), _NEARLY_SURE)
        joint[task] = joint[before] * given[task]
    biases = {task: math.log(rate / (1 - rate)) for task, rate in given.items()}
    for label in labels:
        if label.type == "value" and value_loss == "squared":
            biases[label.name] = float((label.mean or 0.0) > 0) - float((label.mean or 0.0) < 0)
        elif label.type == "value":
            mean = max(label.mean / joint[label.name], LEAST_RATE) if label.mean is not None else 1.0
            biases[f"{label.name}/location"] = math.log(mean) - 0.5
            # softplus(log(e^x - 1)) = x.
            biases[f"{label.name}/scale"] = math.log(math.expm1(1 - LEAST_SCALE))
    return biases


def _rate(label: Label) -> float | None:
    """The share of examples whose label is 1, or above 0."""
    if label.type == "value":
        return label.positive
    return label.mean or None
