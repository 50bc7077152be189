"""Sections of a report about what other commands wrote, and what each says while a file is missing."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullrank.analysis.comparisons.runs import RunComparison, RunMetrics, Scored
from fullrank.analysis.pages.file_sections import (
    entanglement_section,
    features_section,
    groups_section,
    training_section,
)
from fullrank.analysis.pages.pictures import Pictures
from fullrank.analysis.pages.run_files import RunFiles
from fullrank.analysis.pages.scored_sections import calibration_section, metrics_section

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABc3UBGAAAAABJRU5ErkJggg==")


def run(path: Path, *, parts: dict[str, Any], places: tuple[str, ...] = ()) -> RunFiles:
    """A run of that many files, with a figure next to each."""
    for part in parts:
        (path / part).mkdir()
        (path / part / "a_figure.png").write_bytes(PNG)
    config = {"config": {"model": {"group_places": places}, "data": {"data": "records"}}}
    return RunFiles(path=path, config=config, schema={}, result=None, lines=(), parts=parts)


def test_rates_and_groups_are_weighted(tmp_path: Path) -> None:
    """30 positives of weight 1 and 10 negatives of weight 9: a rate of 30 / 120 = .25, which all predictions are."""
    labels = np.repeat([1.0, 0.0], [30, 10])
    weights, predicted = np.where(labels == 1.0, 1.0, 9.0), np.full(40, 0.25)
    scored = Scored(
        labels={"click": labels}, scores={"click": {"run": predicted}}, segments={}, keys=None, weights=weights
    )
    metrics = {"click": {"run": RunMetrics(examples=40, auc=0.5, ne=1.0, bias=1.0)}}
    found = RunComparison(
        baseline="run", names=("run",), title="", key=None, metrics=metrics, gains={}, left_out={}, scored=scored
    )
    (of_tasks,) = metrics_section(found, run="run").tables
    assert of_tasks.rows[0][1:3] == (40, 0.25)
    # Against the rate itself, NE is 1 in every draw of the bootstrap.
    assert of_tasks.rows[0][4:7] == pytest.approx((1.0, 1.0, 1.0))
    section = calibration_section(found, run="run", pictures=Pictures(tmp_path))
    assert "15 groups of equal weight" in section.lead
    # Equal predictions keep their order, so each group has one class: 30 / 120 are .75 off, and 90 / 120 .25.
    assert section.tables[0].rows[0][4] == pytest.approx(0.375)


def test_tasks_and_gates(tmp_path: Path) -> None:
    gates = {"click": {"flat": 0.75, "fm": 0.25}, "like": {"flat": 0.5, "fm": 0.5}}
    cosines = {"set0": {"click": {"click": 1.0, "like": None}, "like": {"click": None, "like": 1.0}}}
    found = run(tmp_path, parts={"conflicts": {"gates": gates, "cosines": cosines}, "entanglement": {}})
    section = entanglement_section(found, tasks=("click", "like"), pictures=Pictures(tmp_path))
    assert [picture.caption.split(".")[0] for picture in section.pictures] == [
        "Light cells are experts that a task relies on",
        "Cosine of two tasks' gradients: below zero they work against each other",
        "Pairs that are near in one task and far in the other, by their distance",
    ]
    for kind, picture in zip(("<svg", "<svg", "<img"), section.pictures, strict=True):
        assert kind in picture.content
    assert "Mean gate weights" in section.pictures[0].content
    assert "Cosines of gradients on set0" in section.pictures[1].content
    assert not section.missing


def test_tasks_of_which_nothing_was_measured(tmp_path: Path) -> None:
    empty = run(tmp_path, parts={})
    section = entanglement_section(empty, tasks=("click", "like"), pictures=Pictures(tmp_path))
    assert not section.pictures
    commands = [command for _, command in section.missing]
    assert commands[0] == f"fullrank conflicts --run={tmp_path} --output={tmp_path}/conflicts"
    assert commands[1].startswith("fullrank entanglement --first=TASK:RUN --second=TASK:RUN ")
    alone = entanglement_section(empty, tasks=("click",), pictures=Pictures(tmp_path))
    assert (alone.lead, alone.missing) == ("The run predicts one task, which shares nothing.", ())


def test_agreement_of_learned_and_observed_maps(tmp_path: Path) -> None:
    agreements = {"me": {"position": {"correlation": 0.912}, "interval": {"correlation": None}}}
    parts = {"correlation": {"label": "click", "title": "the test split", "agreements": agreements}}
    section = features_section(run(tmp_path, parts=parts), pictures=Pictures(tmp_path))
    assert "Rank correlation of learned and observed maps: me by position 0.91." in section.lead
    assert [picture.caption for picture in section.pictures] == ["Correlation of features with click: the test split."]
    assert [command.split()[1] for _, command in section.missing] == ["importance"]


def test_learned_groups(tmp_path: Path) -> None:
    assert groups_section(run(tmp_path, parts={})) is None
    unknown = groups_section(run(tmp_path, parts={}, places=("user",)))
    assert unknown is not None
    assert unknown.missing == [
        ("How codes are used, and what they mean.", f"fullrank groups --run={tmp_path} --output={tmp_path}/groups")
    ]
    levels = [{"usage": 0.75, "perplexity": 2.8, "left_over": 0.4}, {"usage": 1.0, "perplexity": 3.9, "left_over": 0.1}]
    section = groups_section(run(tmp_path, parts={"groups": {"user": {"levels": levels}}}, places=("user",)))
    assert section is not None
    (table,) = section.tables
    assert table.columns == ("place", "level", "codes in use", "perplexity", "left over")
    assert table.rows == (("user", 1, 0.75, 2.8, 0.4), ("user", 2, 1.0, 3.9, 0.1))
    (picture,) = section.pictures
    assert base64.b64encode(PNG).decode() in picture.content


def test_features_without_files_name_their_commands(tmp_path: Path) -> None:
    section = features_section(run(tmp_path, parts={}), pictures=Pictures(tmp_path))
    assert [command.split()[1] for _, command in section.missing] == ["importance", "correlation"]


def test_what_was_calibrated_is_in_the_section_of_the_training(tmp_path: Path) -> None:
    lines = tuple({"kind": "epoch", "step": step, "click_ne": 0.9, "val_click_ne": 0.95} for step in (10, 20))
    entry = {"scale": 0.5, "shift": -0.25, "ne_before": 0.95, "ne": 0.875}
    calibration = {"best": {"click": entry}, "best-like": {"like": {**entry, "scale": 2.0}}}
    result = {"steps": 20, "best": {"step": 10}, "calibration": calibration}
    trained = dataclasses.replace(run(tmp_path, parts={}), lines=lines, result=result)
    (table,) = training_section(trained, tasks=("click", "like"), pictures=Pictures(tmp_path)).tables
    assert table.rows == (("click", 0.5, -0.25, 0.95, 0.875),)
    for uncalibrated in (None, {"steps": 20}, {**result, "calibration": {}}):
        before = dataclasses.replace(trained, result=uncalibrated)
        assert not training_section(before, tasks=("click",), pictures=Pictures(tmp_path)).tables
