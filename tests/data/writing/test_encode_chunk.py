"""Chunks in several threads come out in their order, and an error in a thread is raised where they are taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fullrank.data.writing.encode_chunk import in_order


def test_threads_keep_the_order_and_draw_no_further_than_needed() -> None:
    drawn: list[int] = []

    def items() -> Iterator[str]:
        for number in range(50):
            drawn.append(number)
            yield str(number)

    results = in_order(int, items(), threads=2)
    assert next(results) == 0
    assert len(drawn) < 15
    assert list(results) == list(range(1, 50))


def test_an_error_in_another_thread_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal for int"):
        list(in_order(int, ["1", "x", "3"], threads=2))
