"""Rows of different length, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fullrank import data


@given(
    rows=st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=6),
    length=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
)
def test_ragged_rows(rows: list[list[int]], length: int, order: Any) -> None:
    column = data.Ragged.from_lists(rows, dtype=np.int64)
    assert column.rows == len(rows)
    assert column.to_lists() == rows
    assert column.last(length).to_lists() == [row[-length:] for row in rows]
    chosen = [order.randrange(len(rows)) for _ in range(4)]
    assert column.take(np.array(chosen)).to_lists() == [rows[i] for i in chosen]
