"""Strengths of pairs of fields, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank.data import IdMap, Label, Schema, Sparse
from fullrank.models import Ranker, RankerOptions, single
from fullrank.models.pair_strengths import pair_strengths


@pytest.fixture(scope="module")
def model() -> Ranker:
    """Fields a and b of the user, c of the ad: groups 0, 0, 1."""
    identity = IdMap(kind="identity", size=5)
    schema = Schema(
        name="three",
        features=(
            Sparse(name="a", side="user", ids=identity),
            Sparse(name="b", side="user", ids=identity),
            Sparse(name="c", side="ad", ids=identity),
        ),
        labels=(Label(name="click"),),
    )
    wiring = single(width=4, experts=("gwpfm", "fwfm", "fmfm", "fvfm", "flat"), tasks=("click",))
    return Ranker(schema, wiring, RankerOptions(), vocabularies={})


def test_all_start_at_one_and_the_diagonal_is_undefined(model: Ranker) -> None:
    found = pair_strengths(model)
    assert sorted(found) == ["fmfm_2", "fvfm_3", "fwfm_1", "gwpfm_0"]
    for strengths in found.values():
        assert np.isnan(np.diag(strengths)).all()
        np.testing.assert_allclose(strengths[~np.eye(3, dtype=bool)], 1.0, atol=1e-6)


def test_weights_are_found_at_their_pairs(model: Ranker) -> None:
    layers = {expert.name: expert.interaction for expert in model.trunk.experts}
    # Pairs of groups (0, 0), (0, 1), (1, 1); pairs of fields (a, b), (a, c), (b, c).
    layers["gwpfm_0"].group_weights.assign([2.0, -3.0, 5.0])
    layers["fwfm_1"].pair_weights.assign([0.5, -0.25, 4.0])
    # ||W||_F / sqrt(d): twice the identity of width 4 has norm sqrt(4 * 4) = 4, so 2.
    layers["fmfm_2"].projections.assign(np.stack([2 * np.eye(4), np.eye(4), np.zeros((4, 4))]))
    # sqrt((9 + 16) / 4) = 2.5.
    layers["fvfm_3"].projections.assign([[3.0, 4.0, 0.0, 0.0], [1.0] * 4, [0.0] * 4])
    upper = np.triu_indices(3, 1)
    found = {name: strengths[upper] for name, strengths in pair_strengths(model).items()}
    np.testing.assert_allclose(found["gwpfm_0"], [2.0, 3.0, 3.0])
    np.testing.assert_allclose(found["fwfm_1"], [0.5, 0.25, 4.0])
    np.testing.assert_allclose(found["fmfm_2"], [2.0, 1.0, 0.0])
    np.testing.assert_allclose(found["fvfm_3"], [2.5, 1.0, 0.0])
