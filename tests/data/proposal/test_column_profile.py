"""What a sample of a column shows: the kind of its values, its range, its lengths, dates in digits and padding."""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import Any

import pyarrow as pa
import pytest

from fullrank.data.proposal import decisions
from fullrank.data.proposal.column_profile import ColumnProfile, profile_column


def profile(cells: Any, kind: pa.DataType | None = None) -> ColumnProfile:
    return profile_column("x", pa.array(cells, kind), list_delimiter="|")


@pytest.mark.parametrize(
    ("cells", "kind", "listed", "missing", "values"),
    [
        ([1, 2, 2, None], "whole", False, 0.25, ("2", "1")),
        (["1", "2", "2", "", "NA"], "whole", False, 0.4, ("2", "1")),
        (["1.0", "2.0", ""], "whole", False, 1 / 3, ("1", "2")),  # as pandas writes whole numbers with gaps
        (["1.0", "2.0"], "real", False, 0.0, ("1.0", "2.0")),
        ([1.0, 2.0, math.nan], "whole", False, 1 / 3, ("1", "2")),
        ([1.5, 2.0, None], "real", False, 1 / 3, ("1.5", "2.0")),
        (["1.5", "inf"], "real", False, 0.0, ("1.5", "inf")),
        ([True, False, True], "whole", False, 0.0, ("true", "false")),
        (["007", "7"], "text", False, 0.0, ("007", "7")),  # a number would lose the zeros
        (["0.5", "-3"], "real", False, 0.0, ("0.5", "-3")),
        (["NA", "DE", ""], "text", False, 1 / 3, ("NA", "DE")),
        (["", None], "none", False, 1.0, ()),
        ([None, None], "none", False, 1.0, ()),
        (["01010101", "11110000"], "bits", False, 0.0, ("01010101", "11110000")),
        (["2024-01-01", "2024-01-02 03:04:05"], "time", False, 0.0, ("2024-01-01", "2024-01-02 03:04:05")),
        ([datetime.date(2024, 1, 1)], "time", False, 0.0, ("2024-01-01",)),
        (["a|b", "a", ""], "text", True, 1 / 3, ("a", "b")),
        (["[1, 2]", "[]"], "whole", True, 0.5, ("1", "2")),
        (["0.5|1.5", "2|3"], "real", True, 0.0, ("0.5", "1.5", "2", "3")),
        ([[1, 2], None, []], "whole", True, 2 / 3, ("1", "2")),
        ([{"a": 1}], "other", False, 0.0, ()),
        ([[[1]]], "other", True, 0.0, ()),
    ],
)
def test_the_kind_of_values(cells: list[Any], kind: str, listed: bool, missing: float, values: tuple[str, ...]) -> None:
    found = profile(cells)
    assert (found.kind, found.listed, found.values) == (kind, listed, values)
    assert found.missing == pytest.approx(missing)


def test_range_and_lengths() -> None:
    found = profile(["3|-5", "7|inf", ""])
    assert (found.minimum, found.maximum, found.infinite) == (-5.0, 7.0, True)
    assert (found.lengths.tolist(), found.fixed_length) == ([2, 2, 0], 2)
    assert profile(["1|2", "3"]).fixed_length is None


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("hour", ["14102100", "14103023"], "%y%m%d%H"),
        ("date", ["20220408", "20220421"], "%Y%m%d"),
        ("event time", ["202204082359"], "%Y%m%d%H%M"),
        ("hour", ["14102100", "14103024"], None),  # no day has an hour 24
        ("hour", ["14102100", "141030"], None),
        ("item", ["14102100"], None),
        ("hour", ["0", "23"], None),
    ],
)
def test_dates_in_digits(name: str, values: list[str], expected: str | None) -> None:
    found = dataclasses.replace(profile([int(value) for value in values]), name=name)
    assert decisions.written_out(found) == expected


def test_zeros_that_do_not_fill_up() -> None:
    assert not profile([[1, 0, 2], [3, 4, 0], [5, 0, 0]]).padded  # one stands between others
    assert not profile([[1, 0, 0], [1, 1, 0], [1, 1, 1]]).padded  # bits
    assert not profile([[3, 4], [5, 0], [0, 0]]).padded  # too short to tell
    assert not profile([[3, 4, 0], [5, 0, 0], [6]]).padded  # not of one length
    assert profile([[3, 4, 0], [5, 0, 0], [6, 7, 8]]).padded
