"""A made-up log as rows, as CSV files, and as the columns that a conversion must write of it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 3000


COLUMNS = ["user_id", "item_id", "category", "price", "tags", "past_items", "past_times", "content"]


def made_rows() -> list[list[Any]]:
    """A log in random order of time; every kind of column, missing cells included."""
    draw = np.random.default_rng(0)
    rows: list[list[Any]] = []
    for _ in range(ROWS):
        length = int(draw.integers(0, 5))
        rows.append(
            [
                int(draw.integers(0, 200)),
                int(draw.zipf(1.4) % 300),
                str(draw.choice(["toys", "books", ""])),
                "" if draw.random() < 0.1 else round(float(draw.normal(20, 5)), 3),
                "|".join(sorted(draw.choice(["new", "hot", "sale"], draw.integers(0, 3), replace=False))),
                "|".join(str(item) for item in draw.integers(0, 300, length)),
                "|".join(str(time) for time in sorted(draw.integers(1_699_500_000, 1_700_000_000, length))),
                "|".join(f"{part:.3f}" for part in draw.normal(size=3)),
                int(draw.integers(0, 2)),
                "" if draw.random() < 0.5 else round(float(draw.exponential()), 2),
                int(draw.integers(1_700_000_000, 1_700_500_000)),
            ]
        )
    return rows


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def expected_of(rows: list[list[Any]]) -> dict[str, list[Any]]:
    """What the reader should give, straight from the rows."""
    table = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))

    def padded(name: str, length: int, missing: Any, kind: Any) -> list[Any]:
        lists = [[kind(word) for word in cell.split("|") if word] for cell in table[name]]
        return [row + [missing] * (length - len(row)) for row in lists]

    return {
        "user_id": list(table["user_id"]),
        "category": [cell.encode() for cell in table["category"]],
        "price": [np.float32("nan" if cell == "" else cell) for cell in table["price"]],
        "tags": padded("tags", 2, b"", str.encode),
        "past_items": padded("past_items", 4, -1, int),
        "past_times": padded("past_times", 4, -1, int),
        "content": padded("content", 3, 0.0, np.float32),
        "watch": [np.float32("nan" if cell == "" else cell) for cell in table["watch"]],
        "timestamp": list(table["timestamp"]),
    }
