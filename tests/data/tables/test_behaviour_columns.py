"""Columns of behaviours from tables to records: compared ones, those that describe the behaviour alone, and HashIDs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import convert, infer
from fullrank.data.content.sign_bits import bit_codes

ROWS, BITS = 60, 10


def log() -> dict[str, Any]:
    """A log of three people; every seventh item has no content."""
    draw = np.random.default_rng(3)
    item = draw.integers(1, 20, ROWS)
    bits = draw.integers(0, 2, (20, BITS))
    return {
        "user_id": [f"u{k}" for k in draw.integers(0, 3, ROWS)],
        "item_id": item,
        "stars": draw.integers(1, 6, ROWS),
        "content": [None if k % 7 == 0 else bits[k].tolist() for k in item],
        "time": 1_700_000_000 + draw.permutation(ROWS),
    }


def test_a_history_of_ids_hash_ids_and_stars(tmp_path: Path) -> None:
    table = log()
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    source = f"--input={tmp_path}/log.parquet"
    asked = ["--label=click=stars>=3", "--history=user_id:item_id,content+stars", "--history_where=click"]
    infer.run(["infer", source, *asked, f"--output={tmp_path}/s.json"])
    schema = data.read_schema(tmp_path / "s.json")
    history = schema.features[-1]
    assert isinstance(history, data.Sequence)
    assert history.behaviour == (
        data.BehaviourColumn(name="history_item_id", table="item_id", target="item_id"),
        data.BehaviourColumn(name="history_content", table="content", target="content"),
        data.BehaviourColumn(name="history_stars"),
    )
    assert schema.extras == ("stars",)
    assert "stars" not in {column.name for column in schema.input_columns}
    given = [source, f"--schema={tmp_path}/s.json", f"--output={tmp_path}/r", "--split_fractions=1", "--noprogress"]
    convert.run(["convert", *given])
    written = data.read_schema(tmp_path / "r")
    assert {owner.name: owner.ids.size for owner in written.tables}["history_stars"] == 3
    assert sorted(data.read_vocabulary(schema=written, feature="history_stars")) == [3, 4, 5]
    batch = {k: v.numpy() for k, v in next(iter(data.read_records(written, batch_size=ROWS))).items()}
    codes = [-1 if bits is None else int(bit_codes(bits)) for bits in table["content"]]
    for row in range(ROWS):
        earlier = [
            other
            for other in np.argsort(table["time"])
            if table["user_id"][other] == table["user_id"][row]
            and table["time"][other] < table["time"][row]
            and table["stars"][other] >= 3
        ]
        length = len(earlier)
        assert batch["history_item_id"][row, :length].tolist() == [table["item_id"][k] for k in earlier]
        assert batch["history_content"][row, :length].tolist() == [codes[k] for k in earlier]
        assert batch["history_stars"][row, :length].tolist() == [table["stars"][k] for k in earlier]
        assert (batch["history_content"][row, length:] == -1).all()


def test_infer_compares_what_describes_the_ad_and_keeps_the_rest_alone(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 6, 200)
    times = 1_700_000_000 + 1000 * draw.permutation(200)
    table = {
        "item_id": draw.integers(1, 30, 200),
        "history_item_id": [draw.integers(1, 30, n).tolist() for n in lengths],
        "history_emotion": [[f"e{k}" for k in draw.integers(0, 4, n)] for n in lengths],
        "history_time": [(time - np.arange(n, 0, -1)).tolist() for n, time in zip(lengths, times, strict=True)],
        "time": times,
        "click": draw.integers(0, 2, 200),
    }
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    infer.run(["infer", f"--input={tmp_path}/log.parquet", "--label=click", f"--output={tmp_path}/s.json"])
    (history,) = (f for f in data.read_schema(tmp_path / "s.json").features if isinstance(f, data.Sequence))
    assert history.behaviour == (
        data.BehaviourColumn(name="history_item_id", table="item_id", target="item_id"),
        data.BehaviourColumn(name="history_emotion", dtype="bytes"),
    )


def test_codes_of_bits_by_hand() -> None:
    # Bit k counts 2^k: 1 + 4 = 5; a missing HashID is -1.
    assert bit_codes([[1, 0, 1], [0, 0, 0], [-1, -1, -1]]).tolist() == [5, 0, -1]
    assert int(bit_codes(np.ones(62, np.int64))) == 2**62 - 1
    with pytest.raises(ValueError, match=r"at most 62 bits of a HashID\. Received: 63"):
        bit_codes(np.ones(63, np.int64))
