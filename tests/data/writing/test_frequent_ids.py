"""Which ids are frequent enough for a vocabulary."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from fullrank import data


def test_histories_do_not_decide_which_ids_are_frequent(tmp_path: Path) -> None:
    """Items 1 and 2 have an example each, and are rare although a click repeats item 1; item 9 has histories alone."""
    columns = {"item": [1, 2, 3, 3], "past": [[], [1], [1, 9], [1, 9]], "past_time": [[], [0], [0, 0], [0, 0]]}
    item = data.Sparse(name="item", ids=data.IdMap(min_count=2))
    past = data.BehaviourColumn(name="past", table="item", target="item")
    history = data.Sequence(name="history", behaviour=(past,), times="past_time", max_length=4)
    schema = data.build_records(
        splits={"train": lambda: iter([pa.RecordBatch.from_pydict({**columns, "click": [1.0, 0.0, 1.0, 0.0]})])},
        schema=data.Schema(name="log", features=(item, history), labels=(data.Label(name="click"),)),
        output=tmp_path / "records",
        progress=False,
    )
    assert data.read_vocabulary(schema=schema, feature="item").tolist() == [3, 9]
