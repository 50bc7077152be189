"""Lists that tell how long ago behaviours were are not taken for ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from fullrank import data
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
        '--gaps=past gap if it is in ms, or, in seconds, --column=\'past gap_times=list_transform("past gap", lambda '
        "age: time - to_seconds(age))'; --sparse=past gap if these are ids"
    }
    assert {"level", "tags"} <= {feature.name for feature in found.schema.features}
    assert "past gap" in {f.name for f in proposed(columns, sparse=frozenset({"past gap"})).schema.features}
    gaps = proposed(columns, gaps=frozenset({"past gap"})).schema
    assert [f.times for f in gaps.features if isinstance(f, data.Sequence)] == ["past gap"]
    del columns["time"]
    assert "past gap" in {f.name for f in proposed(columns).schema.features}
