"""Checks that the labels of a conversion chain are in order, and those of all examples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

from fullrank.data.schema.schema import Schema

_SAME: Final = 0.01
"""Relative difference up to which two shares of the examples are taken for that of the same ones."""


def check_chain_labels(schema: Schema, *, chain: Sequence[str]) -> None:
    """Rejects a chain in the wrong order, or with a label observed only where the one before it is 1.

    A chain predicts `p(click) p(purchase | click)` for every example, and learns both factors from the labels of the
    product. A missing label is not learned from: with clicked examples alone, the product would become the rate among
    clicks, and with it the probability of a click too high. As a product, a later task is never more probable than an
    earlier one, so its label cannot be positive more often on the same examples.

    Args:
      schema: Schema with the statistics of the training split.
      chain: Tasks in order; empty for no chain.

    Raises:
      ValueError: If the share of examples with a label is that of positives of the label before, or if both labels are
        binary and observed on all examples, and the later one has the higher mean.
    """
    for before, task in itertools.pairwise(chain):
        earlier, label = schema.label(before), schema.label(task)
        if earlier.mean is None or label.mean is None or earlier.observed is None or label.observed is None:
            continue
        binary = earlier.type == label.type == "binary"
        if binary and earlier.observed == label.observed == 1.0 and label.mean > earlier.mean:
            raise ValueError(
                f"--chain={','.join(chain)}: the mean of {task}, {label.mean:.4g}, is above that of {before}, "
                f"{earlier.mean:.4g}. Name the rarer task after the one that it depends on, as in "
                "--chain=click,conversion."
            )
        if label.observed == 1.0:
            continue
        if math.isclose(label.observed, earlier.mean * earlier.observed, rel_tol=_SAME):
            raise ValueError(
                f"--chain={','.join(chain)}: {task} is observed on {label.observed:.1%} of the examples, as many as "
                f"have {before} = 1. A chain takes a missing label for an unknown one, and would learn {task} from "
                f"these alone. Convert the tables with 0 where {before} is 0: fullrank infer --column='{task}_of_all="
                f"if({before} = 0, 0, {task})' --label={before},{task}_of_all --ignore={task}."
            )
