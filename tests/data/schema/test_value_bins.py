"""Bins of a number's values: by hand, against a search over all, and for amounts that are mostly zero."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullrank.data.schema.value_bins import bin_starts


def test_bins_by_hand() -> None:
    # t = 2: 6 is alone, 1 + 1 and 1 + 1 make a bin each. With 2 bins all the ones are together.
    assert bin_starts([6, 1, 1, 1, 1], bins=3).tolist() == [0, 1, 3]
    assert bin_starts([6, 1, 1, 1, 1], bins=2).tolist() == [0, 1]
    assert bin_starts([6, 1, 1, 1, 1], bins=1).tolist() == [0]
    assert bin_starts([1, 1, 6, 1, 1], bins=3).tolist() == [0, 2, 3]
    assert bin_starts([3, 1], bins=5).tolist() == [0, 1]


def test_a_value_that_is_nearly_always_there_leaves_the_other_bins_to_the_rest() -> None:
    starts = bin_starts([9500, *[1] * 500], bins=32)
    assert starts[:2].tolist() == [0, 1]
    assert len(starts) in (31, 32)
    widths = np.diff([*starts[1:], 501])
    assert set(widths[:-1]) == {17}  # 500 values in 31 bins


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 12))
def test_no_lower_threshold_leads_to_as_few_bins(weights: list[int], bins: int) -> None:
    def joined(least: int) -> list[int]:
        starts, mass = [0], weights[0]
        for place, weight in list(enumerate(weights))[1:]:
            if mass >= least or weight >= least:
                starts.append(place)
                mass = 0
            mass += weight
        return starts

    candidates = (joined(least) for least in itertools.count(1))
    assert bin_starts(weights, bins=bins).tolist() == next(found for found in candidates if len(found) <= bins)


@pytest.mark.parametrize(("weights", "bins"), [([], 3), ([1, 0], 3), ([1], 0)])
def test_what_cannot_be_binned(weights: list[int], bins: int) -> None:
    with pytest.raises(ValueError, match="weights above 0"):
        bin_starts(weights, bins=bins)
