"""Moments of a stream of numbers that are counted in parts equal those that are counted in one go, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank.data.writing import statistics
from fullrank.data.writing.statistics import Moments, piece_of

CHUNK = 50


@pytest.mark.parametrize("limit", [100, 10_000])
def test_sums_of_chunks_and_joined_samples_are_those_of_one_stream(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The limit of the sample is below, and above, the number of values."""
    monkeypatch.setattr(statistics, "SAMPLE", limit)
    values = np.random.default_rng(0).lognormal(size=1_030).astype(np.float32)
    whole, merged = Moments(seed=3), Moments(seed=3)
    for begin in range(0, len(values), CHUNK):
        whole.add(values[begin : begin + CHUNK])
        merged.add_piece(piece_of(values[begin : begin + CHUNK]))
    for begin, end in ((700, 1_030), (0, 123), (123, 700)):
        part = Moments(seed=3, before=begin)
        part.add(values[begin:end])
        merged.keep(*part.sample())
    assert merged.statistics(1_100) == whole.statistics(1_100)
