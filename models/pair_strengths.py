"""How strongly each expert lets a pair of fields interact, as far as it has a weight for each pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullrank.layers.interactions.factorization_machines import FieldWeightedFM, pair_places
from fullrank.layers.interactions.field_pair_projection import FieldPairProjection
from fullrank.layers.interactions.group_weighted_fm import GroupWeightedFM
from fullrank.models.ranker import Ranker


def pair_strengths(model: Ranker) -> dict[str, npt.NDArray[np.float64]]:
    """Expert -> `[F, F]`, symmetric, NaN on the diagonal; F as `model.trunk.field_names`.

    GwPFM: `|r_{G(i),G(j)}|`, as `GroupWeightedFM` has it. FwFM: `|r_ij|`. FmFM and FvFM: the root mean square of the
    factors by which `W_{i->j}` scales a direction, `||W_{i->j}||_F / sqrt(d)`. All of them start at 1, so that an
    untrained pair differs from one that became strong in training. Experts without a weight per pair, and low-rank
    projections, whose factors many pairs share, are left out.
    """
    found = {}
    for expert in model.trunk.experts:
        strengths = _strengths(expert.interaction)
        if strengths is not None:
            np.fill_diagonal(strengths, np.nan)
            found[expert.name] = strengths
    return found


def _strengths(layer: Any) -> npt.NDArray[np.float64] | None:
    if isinstance(layer, GroupWeightedFM):
        groups = np.asarray(layer.groups)
        places = pair_places(int(groups.max()) + 1, diagonal=True)
        return _placed(np.abs(layer.group_weights.numpy()), places[groups[:, np.newaxis], groups])
    if isinstance(layer, FieldWeightedFM):
        weights = np.abs(layer.pair_weights.numpy())
    elif isinstance(layer, FieldPairProjection) and layer.form != "low_rank":
        projections = layer.projections.numpy().astype(np.float64)
        squares = np.square(projections).reshape(len(projections), -1).sum(axis=1)
        weights = np.sqrt(squares / projections.shape[1])
    else:
        return None
    fields = round((1 + np.sqrt(1 + 8 * len(weights))) / 2)
    return _placed(weights, pair_places(fields))


def _placed(weights: npt.NDArray[Any], places: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    padded: npt.NDArray[np.float64] = np.concatenate([[0.0], weights.astype(np.float64)])
    found: npt.NDArray[np.float64] = padded[places]
    return found
