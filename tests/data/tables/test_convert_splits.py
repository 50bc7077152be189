"""Splits of a conversion: by time, at random, by a column, by files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged_tables import staged, write

from fullrank import data
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.staged_rows import StagedRows
from fullrank.data.writing.splits import SPLIT_COLUMN, Splits, at_random, by_column, by_source, by_time

LOG = data.Schema(
    name="log", features=(data.Sparse(name="x"),), labels=(data.Label(name="click"),), time="time", time_unit="s"
)


def log(directory: Path, times: Sequence[object], **columns: Sequence[object]) -> None:
    """Two files with the number of the row as x."""
    rows: list[list[Any]] = [
        [number, number % 2, time, *(column[number] for column in columns.values())]
        for number, time in enumerate(times)
    ]
    header = ["x", "click", "time", *columns]
    half = len(rows) // 2
    for name, part in (("a.csv", rows[:half]), ("b.csv", rows[half:])):
        write(directory / name, "\n".join(",".join(map(str, row)) for row in [header, *part]) + "\n")


def numbers(rows: StagedRows, splits: Splits) -> dict[str, list[int]]:
    """Split -> its rows."""
    return {
        name: [x for batch in rows.batches(where, iter([7, 1, 100])) for x in batch.column(0).to_pylist()]
        for name, where in splits.items()
    }


@settings(max_examples=15)
@given(times=st.lists(st.integers(0, 6), min_size=10, max_size=60))
def test_a_split_by_time_is_that_of_a_stable_sort(tmp_path_factory: pytest.TempPathFactory, times: list[int]) -> None:
    directory = tmp_path_factory.mktemp("time")
    log(directory, times)
    with staged(directory, "*.csv", schema=LOG) as rows:
        found = numbers(rows, by_time(rows, fractions=(0.8, 0.1, 0.1)))
    order = np.argsort(times, kind="stable")
    first, second = round(0.8 * len(times)), round(0.9 * len(times))
    expected = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    # Rows keep the order of the files.
    assert found == {name: sorted(chosen.tolist()) for name, chosen in expected.items()}


def test_rows_without_a_time_cannot_be_split_by_time(tmp_path: Path) -> None:
    log(tmp_path, [5, 4, 3, 2, 1, "", 7, 8, 9, 10])
    with (
        staged(tmp_path, "*.csv", schema=LOG) as rows,
        pytest.raises(ValueError, match=r"b\.csv, row 1, column 'time': an empty cell is not a time, which the split"),
    ):
        by_time(rows, fractions=(0.5, 0.5))
    skip = BadRows(on_bad_record="skip", max_fraction=1.0)
    with staged(tmp_path, "*.csv", schema=LOG, bad_rows=skip) as rows:
        found = numbers(rows, by_time(rows, fractions=(0.5, 0.5)))
    assert found == {"train": [1, 2, 3, 4], "validation": [0, 6, 7, 8, 9]}
    assert skip.skipped == 1


def test_a_split_by_time_needs_a_time(tmp_path: Path) -> None:
    log(tmp_path, [1, 2])
    with (
        staged(tmp_path, "*.csv", schema=dataclasses.replace(LOG, time=None)) as rows,
        pytest.raises(ValueError, match='--split=time needs a time column in the schema: set its "time", or use'),
    ):
        by_time(rows, fractions=(0.5, 0.5))


def test_a_random_split_is_the_same_every_time_and_has_the_shares_asked_for(tmp_path: Path) -> None:
    log(tmp_path, range(10_000))

    def split(**given: Any) -> dict[str, list[int]]:
        with staged(tmp_path, "*.csv", schema=LOG) as rows:
            return numbers(rows, at_random(rows, fractions=(0.8, 0.15, 0.05), **given))

    splits = split()
    assert sorted(number for found in splits.values() for number in found) == list(range(10_000))
    # Within five standard deviations of the binomial distribution: 5 * sqrt(10,000 * .8 * .2) = 200.
    assert abs(len(splits["train"]) - 8000) < 200
    assert abs(len(splits["test"]) - 500) < 110
    assert split() == splits
    assert split(seed=1)["test"] != splits["test"]
    # Neighbouring rows are not more likely to be in the same split than others.
    inside = np.isin(np.arange(10_000), splits["train"])
    assert abs(np.corrcoef(inside[1:], inside[:-1])[0, 1]) < 0.05


def test_a_column_may_name_the_split(tmp_path: Path) -> None:
    log(tmp_path, range(6), fold=["test", "train", "train", "extra", "validation", "train"])
    with staged(tmp_path, "*.csv", schema=LOG, extras={SPLIT_COLUMN: "fold"}) as rows:
        splits = by_column(rows, column="fold")
        assert list(splits) == ["train", "validation", "test", "extra"]
        found = numbers(rows, splits)
    assert found == {"train": [1, 2, 5], "validation": [4], "test": [0], "extra": [3]}
    log(tmp_path, range(2), fold=["", "train"])
    with (
        staged(tmp_path, "*.csv", schema=LOG, extras={SPLIT_COLUMN: "fold"}) as rows,
        pytest.raises(ValueError, match=r"Column 'fold' must hold the name of a split on every row\. It holds '', 'tr"),
    ):
        by_column(rows, column="fold")


def test_files_may_be_splits(tmp_path: Path) -> None:
    log(tmp_path, range(7))
    with staged(tmp_path, "a.csv", "b.csv", schema=LOG) as rows:
        assert numbers(rows, by_source(rows)) == {"a.csv": [0, 1, 2], "b.csv": [3, 4, 5, 6]}
