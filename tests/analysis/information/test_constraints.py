"""Constraints on examples, read and applied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fullrank.analysis.information.constraints import lengths, parse_constraint
from fullrank.data import Schema, SchemaError

NAN = float("nan")
BATCH: dict[str, Any] = {
    "user": np.array([5, 7, -1]),
    "shop": np.array([b"a", b"", b"b"], object),
    "price": np.array([1.5, NAN, 3.0], np.float32),
    "tags": np.array([[b"red", b"x", b""], [b"", b"", b""], [b"x", b"", b""]], object),
    "past_items": np.array([[1, 2, 3, -1, -1], [-1] * 5, [3, 4, 4, 4, 9]]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [True, True, True]),
        ("user=5", [True, False, False]),
        ("user != 5", [False, True, False]),
        ("user=-1", [False, False, True]),
        ("user>=6", [False, True, False]),
        ("shop=b", [False, False, True]),
        ("shop!=b", [True, False, False]),
        ("shop=", [False, True, False]),
        ("price<3", [True, False, False]),
        ("tags=x", [True, False, True]),
        ("past_items[1]=3", [True, False, False]),
        ("past_items[3]=1", [True, False, False]),
        ("past_items[4]=4", [False, False, True]),
        ("past_items=3", [True, False, True]),
        ("past_items[any]>8", [False, False, True]),
        ("user=5 & past_items[1]=3", [True, False, False]),
        ("user=5 & past_items[1]=4", [False, False, False]),
    ],
)
def test_conditions_hold_for(every_kind: tuple[Schema, Any], text: str, expected: list[bool]) -> None:
    """A missing value satisfies nothing but the question for it."""
    assert parse_constraint(text, schema=every_kind[0], flag="where").holds(BATCH).tolist() == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user", "'user' is not a condition"),
        ("usr=5", "no column 'usr'. Did you mean user?"),
        ("user[1]=5", "user has one value, so it takes no position"),
        ("user=five", "user holds whole numbers. Received: 'five'"),
        ("price=cheap", "price holds numbers. Received: 'cheap'"),
        ("shop>b", "compared with = or != only"),
        ("tags[1]=red", "the values of tags have no order"),
        ("past_items[9]=1", r"1 \(the most recent\) to 5. Received: 9"),
        ("picture=1", "picture is a vector"),
    ],
)
def test_invalid_requests_are_reported(every_kind: tuple[Schema, Any], text: str, said: str) -> None:
    with pytest.raises((ValueError, SchemaError), match=said) as caught:
        parse_constraint(text, schema=every_kind[0], flag="where")
    assert str(caught.value).startswith("--where: ")


def test_lengths_of_padded_rows() -> None:
    assert lengths(np.array([[1, 2, -1], [-1, -1, -1], [1, -1, 3]])).tolist() == [2, 0, 3]
    assert lengths(np.array([[b"a", b""], [b"", b""]], object)).tolist() == [1, 0]
