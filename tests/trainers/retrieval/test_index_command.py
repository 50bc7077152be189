"""An index as a server uses it: exact answers, exclusions, other ads, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from fullrank.data import read_records, read_schema
from fullrank.trainers import index, retrieve
from fullrank.trainers.retrieval.catalogue import FILE, load_catalogue, write_catalogue


@pytest.fixture(scope="module")
def towers(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("indexed") / "run"
    retrieve.run([
        "retrieve", f"--data={toy_records}", f"--output={output}", "--epochs=1", "--batch_size=256", "--widths=4",
        "--hidden=8", "--vector_width=6", "--notensorboard", "--progress=none", "--validation_split=",
    ])  # fmt: skip
    return output


@pytest.fixture(scope="module")
def served(towers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("index")
    index.run(["index", f"--run={towers}", f"--output={output}", "--at=5", "--most_exclusions=4"])
    return output / "1"


def query(toy_records: Path, rows: int) -> dict[str, tf.Tensor]:
    batch = next(iter(read_records(toy_records, split="test", batch_size=rows)))
    return {"user": batch["user"], "age": batch["age"]}


def test_it_answers_with_the_highest_products(served: Path, toy_records: Path) -> None:
    loaded = tf.saved_model.load(str(served))
    given = query(toy_records, 7)
    answer = loaded.signatures["serving_default"](**given)
    vectors = loaded.signatures["vectors"](**given)["vector"].numpy()
    table = pq.read_table(served / "assets.extra" / "vectors.parquet")
    ads = np.array(table["vector"].to_pylist(), np.float32)
    scores = vectors @ ads.T
    best = np.argsort(-scores, axis=1)[:, :5]
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(scores, best, axis=1), atol=1e-5)
    ids = np.array(table["id"].to_pylist(), object)
    assert (answer["ids"].numpy() == ids[best]).all()
    assert answer["ids"].shape == (7, 5)


def test_exclusions(served: Path, toy_records: Path) -> None:
    loaded, given = tf.saved_model.load(str(served)), query(toy_records, 3)
    whole = loaded.signatures["serving_default"](**given)["ids"].numpy()
    # Two of each answer, one that is nowhere, and padding.
    exclusions = [[row[0], row[2], b"nowhere", b""] for row in whole.tolist()]
    answer = loaded.signatures["with_exclusions"](**given, exclusions=tf.constant(exclusions))
    for row, left_out, found in zip(whole.tolist(), exclusions, answer["ids"].numpy().tolist(), strict=True):
        assert found[:3] == [row[1], row[3], row[4]]
        assert not set(found) & {left_out[0], left_out[1]}
        assert len(set(found)) == 5
    assert (np.diff(answer["scores"], axis=1) <= 0).all()


def test_an_unknown_user_and_no_history_are_answered(served: Path) -> None:
    loaded = tf.saved_model.load(str(served))
    given = {"user": tf.constant([-1, 10**9], tf.int64), "age": tf.constant([np.nan, 1e30], tf.float32)}
    answer = loaded.signatures["serving_default"](**given)
    assert np.isfinite(answer["scores"]).all()


def test_other_ads_without_training(towers: Path, tmp_path: Path, toy_records: Path) -> None:
    """Two ads are gone, one is new: it has no row of its own, but tags."""
    schema = read_schema(toy_records)
    ads = load_catalogue(towers / FILE, schema=schema)
    kept = {name: values[2:].copy() for name, values in ads.items()}
    kept["item"][0] = b"brand new"
    write_catalogue(kept, tmp_path / "today.parquet", schema=schema)
    arguments = [f"--run={towers}", f"--ads={tmp_path / 'today.parquet'}", f"--output={tmp_path / 'out'}", "--at=18"]
    index.run(["index", *arguments, "--most_exclusions=20"])
    loaded = tf.saved_model.load(str(tmp_path / "out" / "1"))
    answer = loaded.signatures["serving_default"](**query(toy_records, 2))
    assert set(answer["ids"].numpy()[0]) == set(kept["item"])
    # All but one are excluded: one is left, the other places are empty.
    left = loaded.signatures["with_exclusions"](
        **query(toy_records, 1), exclusions=tf.constant([[i for i in kept["item"] if i != b"brand new"]])
    )
    assert left["ids"].numpy()[0].tolist() == [b"brand new"] + [b""] * 17
    assert np.isinf(left["scores"].numpy()[0, 1:]).all()


def test_what_cannot_be_indexed(
    towers: Path, toy_run: Path, tmp_path: Path, toy_records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = read_schema(toy_records)
    ads = load_catalogue(towers / FILE, schema=schema)

    def refused(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            index.run(["index", f"--output={tmp_path / 'none'}", *arguments])
        (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error: ")]
        assert not (tmp_path / "none" / "1").exists()
        return line

    def of(changed: dict[str, Any], name: str) -> str:
        write_catalogue(changed, tmp_path / name, schema=schema)
        return f"--ads={tmp_path / name}"

    run = f"--run={towers}"
    assert "--at=21 ads cannot be answered by an index of 20 ads" in refused(run, "--at=21")
    assert "is a run of `fullrank train`, not of `fullrank retrieve`" in refused(f"--run={toy_run}")
    twice = {name: np.concatenate([values, values[:1]]) for name, values in ads.items()}
    assert "names an ad twice: b'item0'" in refused(run, of(twice, "twice.parquet"), "--at=2")
    nameless = {**ads, "item": np.array([b"", *ads["item"][1:]], object)}
    assert "1 of 20 ads have no id in 'item'" in refused(run, of(nameless, "nameless.parquet"), "--at=2")
    pq.write_table(pq.read_table(towers / FILE).drop_columns(["tags"]), tmp_path / "less.parquet")
    assert "has no column 'tags'" in refused(run, f"--ads={tmp_path / 'less.parquet'}", "--at=2")
    pq.write_table(pa.table({"item": ["a", "b"], "tags": [["1"], ["one"]]}), tmp_path / "wrong.parquet")
    assert "wrong.parquet: row 2: column 'tags'" in refused(run, f"--ads={tmp_path / 'wrong.parquet'}", "--at=2")
    (tmp_path / "text.parquet").write_text("no")
    assert "cannot be read as Parquet" in refused(run, f"--ads={tmp_path / 'text.parquet'}", "--at=2")
