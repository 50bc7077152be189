"""Permutation importance of a run's features."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data import read_schema
from fullrank.trainers.importance import run
from fullrank.trainers.insight.configs import ImportanceConfig
from fullrank.trainers.insight.importance_run import _examples, _increase, _measured
from fullrank.trainers.training.load_run import load_run


def test_what_clicks_depend_on_is_found(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clicks depend on user and item most, on age a little, and not on tags."""
    run(["importance", f"--run={toy_run}", f"--output={tmp_path / 'out'}", "--examples=300"])
    found = json.loads((tmp_path / "out" / "importance.json").read_text())
    assert found["examples"] == 300
    assert set(found["tasks"]) == {"click", "like"}
    click = {name: entry["increase"] for name, entry in found["tasks"]["click"].items()}
    assert min(click["user"], click["item"]) > max(click["age"], click["tags"])
    assert click["user"] > found["tasks"]["click"]["user"]["reach"] > 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"importance.json", "click.png", "like.png"}
    assert "increase of NE in percent" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(["importance", f"--run={toy_run}", f"--output={tmp_path / 'out'}"])
    assert "overwrite" in capsys.readouterr().err


def test_the_increase_is_weighted() -> None:
    """A mean loss of (1 + 3 * 3) / 4 = 2.5 increases by (2 + 3 * 0) / 4 = .5, that is 20 %.

    The changes are 1.5 and -.5 off it: the reach is 1.96 sqrt(1.5^2 + (3 * .5)^2) / 4 / 2.5 = 41.58 %. An example
    that does not count is left out.
    """
    before, after = np.array([1.0, 3.0, np.nan]), np.array([3.0, 3.0, 9.0])
    found = _increase(before, after, np.array([1.0, 3.0, 0.0]))
    assert found == pytest.approx({"increase": 20.0, "reach": 41.58}, abs=0.01)
    # Weights of one size are none: 1 / 2, and 1.96 / sqrt(2) / 2.
    assert _increase(before, after, np.full(3, 7.0)) == pytest.approx({"increase": 50.0, "reach": 69.3}, abs=0.01)


@pytest.mark.slow
def test_labels_of_weight_0_say_nothing(toy_run: Path, toy_records: Path, tmp_path: Path) -> None:
    loaded = load_run(toy_run)
    weighted = dataclasses.replace(loaded, schema=dataclasses.replace(loaded.schema, weight="w"))
    config = ImportanceConfig(run=str(toy_run), output=str(tmp_path), examples=100)
    batch = _examples(read_schema(toy_records), config)
    weight = tf.cast(tf.range(100) % 2, tf.float32)
    turned = {**batch, "click": tf.where(weight > 0.0, batch["click"], 1.0 - batch["click"])}
    found = [_measured(weighted, {**each, "w": weight}, seed=1)["tasks"]["click"] for each in (batch, turned)]
    assert found[0] == found[1]
