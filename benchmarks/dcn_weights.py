"""The weights of a Ranker that is a DCN V2, as arrays: what a graph of it in another runtime is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.models import Ranker

Array = npt.NDArray[Any]
Layer = tuple[Array, Array]
"""Kernel and bias of a dense layer."""


class DcnWeights(NamedTuple):
    """Arrays of a DCN V2 with n numbers and ids in all, of width d, and H hidden units in front of the output.

    Attributes:
      table: `[N, d]`, the tables of all fields below each other, in the order of the fields.
      starts: `[n]`, the first row of each field.
      crosses: Kernels `[n d, n d]` and biases of the crosses.
      hidden: Kernels and biases of the perceptron, which is parallel to the crosses.
      projections: Those of crosses and perceptron to H.
      head: Kernel `[H, 1]` and bias of the logit.
    """

    table: Array
    starts: Array
    crosses: list[Layer]
    hidden: list[Layer]
    projections: list[Layer]
    head: Layer


def dcn_weights(model: Ranker) -> DcnWeights:
    """Reads them.

    Args:
      model: With one set, the experts `crossnet` and `flat`, a mean gate, no tower, and one task.
    """
    (embeddings,) = model.trunk.sets.values()
    tables = [np.asarray(embeddings.table(field.table)) for field in embeddings.plan.fields]
    cross, flat = model.trunk.experts
    kernel, bias = (np.asarray(weight)[0] for weight in model.head.weights)
    return DcnWeights(
        table=np.concatenate(tables),
        starts=np.cumsum([0, *(len(table) for table in tables[:-1])]),
        crosses=_layers(cross.interaction.weights),
        hidden=_layers(flat.interaction.weights),
        projections=[_layers(expert.weights[-2:])[0] for expert in (cross, flat)],
        head=(kernel, bias),
    )


def _layers(weights: Any) -> list[Layer]:
    arrays = [np.asarray(weight) for weight in weights]
    return list(zip(arrays[::2], arrays[1::2], strict=True))
