"""The semantic-temporal map against a count by loops, and what is planted in it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fullrank.analysis.information.behaviour_map import TRUTH, CellMap, MapCounts, MapOptions, bucket_names
from fullrank.analysis.information.constraints import parse_constraint
from fullrank.analysis.information.decay import agreement, decay_of
from fullrank.analysis.information.mutual_information import mutual_information
from fullrank.data import BehaviourColumn, IdMap, Label, Schema, Sequence, Sparse
from fullrank.data.schema.table_rows import TableRows

SCHEMA = Schema(
    name="planted",
    features=(
        Sparse(name="category", ids=IdMap(kind="identity", size=6)),
        Sequence(
            name="history",
            behaviour=(BehaviourColumn(name="past", table="category", target="category"),),
            times="then",
            max_length=5,
        ),
    ),
    labels=(Label(name="click"),),
    time="now",
)
OPTIONS = MapOptions(
    target="category",
    behaviours="past",
    times="then",
    now="now",
    categories=(2, 3, 4),
    names=("0", "1", "2"),
    positions=4,
    edges=(10.0, 100.0),
)
Batch = dict[str, np.ndarray[Any, Any]]


def drawn(rows: int, seed: int) -> tuple[Batch, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(seed)
    length = draw.integers(0, 6, rows)
    there = np.arange(5) < length[:, np.newaxis]
    batch = {
        "category": draw.integers(-1, 6, rows),
        "past": np.where(there, draw.integers(0, 6, (rows, 5)), -1),
        "then": np.where(there, 1000 - np.sort(draw.geometric(0.01, (rows, 5)))[:, ::-1], -1),
        "now": np.full(rows, 1000),
    }
    return batch, (draw.random(rows) < 0.3).astype(np.float64)


def counted(options: MapOptions, batch: Batch, responses: dict[str, Any], *, parts: int = 1) -> dict[Any, CellMap]:
    counts = MapCounts(options, rows=TableRows(SCHEMA, "category"), sources=tuple(responses)[1:])
    for part in np.array_split(np.arange(len(batch["category"])), parts):
        counts.add(
            {name: values[part] for name, values in batch.items()}, responses={n: v[part] for n, v in responses.items()}
        )
    return counts.result()


def slow(batch: Batch, response: Any, *, target: int, behaviour: int, axis: str, column: int) -> np.ndarray[Any, Any]:
    """The table of one cell, example by example."""
    table = np.zeros((2, 2))
    for row in np.flatnonzero(batch["category"] == target):
        number = int((batch["past"][row] >= 0).sum())
        present = 0
        for place in range(number):
            seconds = batch["now"][row] - batch["then"][row, place]
            where = number - place - 1 if axis == "position" else int(seconds >= 10) + int(seconds >= 100)
            same = batch["past"][row, place] == behaviour if behaviour < 3 else batch["past"][row, place] >= 3
            present |= int(same and where == column)
        table[present] += (1 - response[row], response[row])
    return table


def test_every_cell_equals_a_count_by_loops() -> None:
    batch, label = drawn(400, 0)
    predicted = np.random.default_rng(1).random(400)
    maps = counted(OPTIONS, batch, {TRUTH: label, "run": predicted}, parts=3)
    assert set(maps) == {"position", "interval"}
    for axis, cells in maps.items():
        columns = 4 if axis == "position" else 3
        assert cells.information(TRUTH).shape == (3, 4, columns)
        for source, response in ((TRUTH, label), ("run", predicted)):
            tables, found = cells.tables(source), mutual_information(cells.tables(source))
            for target, behaviour, column in np.ndindex(3, 4, columns):
                place = {"target": target, "behaviour": behaviour, "axis": axis, "column": column}
                expected = slow(batch, response, **place)
                np.testing.assert_allclose(tables[target, behaviour, column], expected, atol=1e-9)
                assert found[target, behaviour, column] == pytest.approx(float(mutual_information(expected)), abs=1e-12)


def test_bias_of_a_predicted_probability_follows_its_spread() -> None:
    """A constant prediction has no information and no bias; a label has that of labels, 1 / 2 N in a full table."""
    batch, label = drawn(3000, 2)
    cells = counted(OPTIONS, batch, {TRUTH: label, "run": np.full(3000, 0.25)})["position"]
    np.testing.assert_allclose(cells.information("run"), 0.0, atol=1e-12)
    np.testing.assert_allclose(cells.noise["run"], 0.0, atol=1e-12)
    np.testing.assert_allclose(cells.noise[TRUTH], 1.0)
    bias = mutual_information(cells.tables(TRUTH)) - cells.information(TRUTH)
    np.testing.assert_allclose(bias[0, 0], 1 / (2 * cells.examples[0]))


def test_targets_of_several_values_and_behaviours_that_do_not_count() -> None:
    """Row 0 is of targets 0 and 1; behaviours of category 1 are left out, the others keep their positions."""
    batch = {
        "category": np.array([[0, 1], [2, -1]]),
        "past": np.array([[0, 1, 2, -1, -1], [1, -1, -1, -1, -1]]),
        "then": np.full((2, 5), 995),
        "now": np.array([1000, 1000]),
    }
    kept = parse_constraint("past!=1", schema=SCHEMA, flag="behaviour_where")
    cells = counted(dataclasses.replace(OPTIONS, kept=kept), batch, {TRUTH: np.array([1.0, 0.0])})["position"]
    assert cells.examples.tolist() == [1, 1, 1]
    expected = np.zeros((3, 4, 4))
    expected[:2, 0, 2] = expected[:2, 2, 0] = 1  # category 0 at position 3, 2 at position 1
    np.testing.assert_array_equal(cells.present, expected)


def planted(rows: int, *, seed: int, days: float, positions: float) -> tuple[Batch, np.ndarray[Any, Any]]:
    """Log odds = -1.5 + sum_j [c_j = c] (.5 exp(-interval / days) or .5 exp(-position / positions))."""
    draw = np.random.default_rng(seed)
    category, past = draw.integers(0, 3, rows), draw.integers(0, 3, (rows, 12))
    ages = np.sort(draw.random((rows, 12)) * 10 * 86400)[:, ::-1]
    decays = np.exp(-ages / 86400 / days) if days else np.exp(-np.arange(12, 0, -1) / positions)
    logit = -1.5 + 0.5 * ((past == category[:, np.newaxis]) * decays).sum(1)
    now = np.full(rows, 10**9)
    batch = {"category": category, "past": past, "then": 10**9 - ages.astype(np.int64), "now": now}
    return batch, (draw.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float64)


def test_the_planted_decay_over_intervals_is_found() -> None:
    """Two days, from 300,000 examples; the own category is first at every interval below it."""
    batch, label = planted(300_000, seed=3, days=2.0, positions=0.0)
    edges = tuple(86400.0 * k / 2 for k in range(1, 16))
    cells = counted(dataclasses.replace(OPTIONS, positions=12, edges=edges), batch, {TRUTH: label}, parts=20)[
        "interval"
    ]
    found = decay_of(cells, source=TRUTH)
    assert found.constant / 86400 == pytest.approx(2.0, rel=0.1)
    assert abs(found.constant / 86400 - 2.0) < 3 * found.error / 86400
    assert (cells.information(TRUTH)[:, :3, :4].argmax(axis=1) == np.arange(3)[:, np.newaxis]).all()
    assert np.isnan(decay_of(cells, source=TRUTH, same=False).constant)


def test_the_planted_decay_over_positions_is_found() -> None:
    batch, label = planted(300_000, seed=4, days=0.0, positions=3.0)
    cells = counted(dataclasses.replace(OPTIONS, positions=12, times=None), batch, {TRUTH: label}, parts=20)["position"]
    found = decay_of(cells, source=TRUTH)
    assert found.constant == pytest.approx(3.0, rel=0.1)
    assert found.to_json()["places"] == list(range(1, 13))


def test_what_a_model_did_not_learn_is_named() -> None:
    """One run knows the decay, one only that the category matters."""
    batch, label = planted(60_000, seed=5, days=0.0, positions=2.0)
    same = batch["past"] == batch["category"][:, np.newaxis]
    knows = 0.2 + 0.1 * (same * np.exp(-np.arange(12, 0, -1) / 2.0)).sum(1)
    flat = 0.2 + 0.02 * same.sum(1)
    options = dataclasses.replace(OPTIONS, positions=12, times=None)
    cells = counted(options, batch, {TRUTH: label, "knows": knows, "flat": flat})["position"]
    good, poor = (agreement(cells, source=run, least=100) for run in ("knows", "flat"))
    assert good["cells"] == poor["cells"] == 3 * 3 * 12
    assert good["correlation"] > poor["correlation"] + 0.05
    assert good["own_category"] > max(0.5, poor["own_category"] + 0.2)
    first = poor["missed"][0]
    assert first["information"] > first["learned"]
    assert agreement(cells, source="flat", least=10**9) == {
        "correlation": None,
        "own_category": None,
        "cells": 0,
        "missed": [],
    }


def test_names_of_buckets() -> None:
    assert bucket_names((90.0, 3600.0, 86400.0)) == ("< 90s", "90s - 1h", "1h - 1d", "≥ 1d")
    assert bucket_names(()) == ("any",)
