"""Records in which positives are rarer than in the data set they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fullrank.data import prepare, read_schema
from fullrank.data.schema.features import Label, Sparse
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.sources.source import InMemory, Source, rare_positives

ROWS = 40_000


def source() -> Source:
    labels = pa.array([None if n % 10 == 9 else float(n % 2) for n in range(ROWS)], pa.float32())
    table = pa.table({"id": pa.array(range(ROWS)), "click": labels, "spend": labels})
    schema = Schema(
        name="s", features=(Sparse(name="id"),), labels=(Label(name="click"), Label(name="spend", type="value"))
    )
    return Source(schema=schema, splits={"train": InMemory(table), "test": InMemory(table)})


def ids(thinned: Source, split: str = "train") -> set[int]:
    return set(thinned.table(split)["id"].to_pylist())


def test_keeps_that_share_of_the_positives_and_everything_else() -> None:
    kept = ids(rare_positives(source(), label="click", share=0.2))
    positives = {n for n in range(ROWS) if n % 2 == 1 and n % 10 != 9}
    assert set(range(ROWS)) - positives <= kept
    # 16,000 positives, each kept with .2: 3,200 with a deviation of 50.6.
    assert abs(len(kept & positives) - 3200) < 4 * 50.6


def test_same_rows_each_pass_nested_shares_and_splits_apart() -> None:
    fifth = rare_positives(source(), label="click", share=0.2)
    assert ids(fifth) == ids(fifth)
    assert ids(fifth) < ids(rare_positives(source(), label="click", share=0.5))
    assert ids(rare_positives(source(), label="click", share=1.0)) == set(range(ROWS))
    assert ids(fifth) != ids(fifth, "test")
    assert ids(fifth) != ids(rare_positives(source(), label="click", share=0.2, seed=1))


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 1\. Received: 0"):
        rare_positives(source(), label="click", share=0.0)
    with pytest.raises(SchemaError, match="'spend' is a real value"):
        rare_positives(source(), label="spend", share=0.5)
    with pytest.raises(SchemaError, match="sale"):
        rare_positives(source(), label="sale", share=0.5)


def test_by_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small = ["prepare", "--dataset=synthetic", "--rows=4000", "--users=100", "--ads=50", "--progress=false"]
    prepare.run([*small, f"--output={tmp_path}/all"])
    prepare.run([*small, "--keep_positives=0.1", f"--output={tmp_path}/few"])
    everything, few = (read_schema(tmp_path / name) for name in ("all", "few"))
    rate = everything.labels[0].mean
    assert rate is not None
    assert few.labels[0].mean == pytest.approx(0.1 * rate / (1 - 0.9 * rate), rel=0.35)
    lost = everything.split("train").examples - few.split("train").examples
    assert lost == pytest.approx(0.9 * rate * everything.split("train").examples, rel=0.15)
    assert np.isfinite(lost)
    with pytest.raises(SystemExit):
        prepare.run([*small, "--positives_of=click", f"--output={tmp_path}/none"])
    assert "--positives_of has no effect without --keep_positives" in capfd.readouterr().err
