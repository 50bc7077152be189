"""Lists that tell how long ago behaviours were are not taken for ids."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import infer
from fullrank.data.proposal.decisions import Wishes
from fullrank.data.proposal.propose import Proposal, propose
from fullrank.data.proposal.sample import profile_table

ROWS = 2000
DRAW = np.random.default_rng(0)


def proposed(columns: dict[str, Any], **wishes: Any) -> Proposal:
    table = pa.table({**columns, "click": DRAW.integers(0, 2, ROWS)})
    return propose(profile_table(table), name="log", wishes=Wishes(labels=("click",), **wishes))


def test_how_long_ago_behaviours_were_is_not_taken_for_ids() -> None:
    lengths = DRAW.integers(0, 6, ROWS)
    columns = {
        "time": DRAW.integers(1_700_000_000_000, 1_700_000_099_000, ROWS),
        "item_id": DRAW.integers(0, 300, ROWS),
        "past_item": [DRAW.integers(0, 300, n).tolist() for n in lengths],
        "past gap": [np.sort(DRAW.integers(0, 10**6, n))[::-1].tolist() for n in lengths],
        "level": [np.sort(DRAW.integers(0, 10**6, n)).tolist() for n in lengths],  # rises
        "tags": [np.sort(DRAW.integers(0, 9, 6 - n))[::-1].tolist() for n in lengths],  # of other lengths
    }
    found = proposed(columns)
    assert found.decisions.left_out == {
        "past gap": "falls along each list beside 'past_item', as the time that has passed since a behaviour does: "
        "--gaps='past gap' if it is in ms, or, in seconds, --column='past_item_times=list_transform(\"past gap\", "
        "lambda age: time - to_seconds(age))'; --sparse='past gap' if these are ids"
    }
    assert {"level", "tags"} <= {feature.name for feature in found.schema.features}
    assert "past gap" in {f.name for f in proposed(columns, sparse=frozenset({"past gap"})).schema.features}
    gaps = proposed(columns, gaps=frozenset({"past gap"})).schema
    assert [f.times for f in gaps.features if isinstance(f, data.Sequence)] == ["past gap"]
    del columns["time"]
    assert "past gap" in {f.name for f in proposed(columns).schema.features}


def test_the_column_that_is_proposed_holds_the_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lengths = DRAW.integers(0, 6, ROWS)
    columns = {
        "click": DRAW.integers(0, 2, ROWS),
        "time_ms": DRAW.integers(1_700_000_000_000, 1_700_000_099_000, ROWS),
        "item_id": DRAW.integers(0, 300, ROWS),
        "hist_item": [DRAW.integers(0, 300, n).tolist() for n in lengths],
        "hist_gap": [np.sort(DRAW.integers(0, 10**6, n))[::-1].tolist() for n in lengths],
    }
    pq.write_table(pa.table(columns), "log.parquet")
    command = ["infer", "--input=log.parquet", "--label=click", "--output=schema.json"]
    infer.run(command)
    (proposed_flag,) = re.findall(r"--column='[^']*'", capsys.readouterr().out)
    infer.run([*command, *shlex.split(proposed_flag), "--overwrite"])
    assert "falls along each list beside 'hist_item', whose times are 'hist_item_times'" in capsys.readouterr().out
    features = data.read_schema(tmp_path / "schema.json").features
    assert [f.times for f in features if isinstance(f, data.Sequence)] == ["hist_item_times"]
    assert "hist_gap" not in {f.name for f in features}
