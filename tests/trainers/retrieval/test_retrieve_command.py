"""Retrieval from records to metrics, through its commands."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank.data import read_records, read_schema
from fullrank.data.schema.features import Bits, Label, Numeric, Sparse, Vector
from fullrank.data.schema.reading import Derived, Input, Reading
from fullrank.data.schema.schema import Schema
from fullrank.trainers import evaluate, recall, retrieve
from fullrank.trainers.retrieval.build import load_towers
from fullrank.trainers.retrieval.catalogue import load_catalogue, read_catalogue, write_catalogue
from fullrank.trainers.retrieval.evaluate import CatalogueRanking
from fullrank.trainers.retrieval.given_ads import read_ads

FLAGS = (
    "--batch_size=128", "--widths=4,8", "--hidden=16", "--vector_width=8", "--dropout=0", "--notensorboard",
    "--progress=none", "--table_learning_rate=0.2", "--learning_rate=0.01", "--at=3", "--mixed_negatives=8",
    "--deterministic",
)  # fmt: skip


def train(records: Path, output: Path, *more: str) -> None:
    retrieve.run(["retrieve", f"--data={records}", f"--output={output}", *FLAGS, *more])


def refused(capsys: pytest.CaptureFixture[str], command: Any, *arguments: str) -> str:
    with pytest.raises(SystemExit):
        command.run(["command", *arguments])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module")
def towers(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("towers") / "run"
    train(toy_records, output, "--epochs=4")
    return output


def test_it_learns_and_ranks_the_whole_catalogue(
    towers: Path, toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = json.loads((towers / "result.json").read_text())
    assert result["ads"] == 20
    recall.run(["recall", f"--run={towers}", "--at=1,3", f"--json={tmp_path}/found.json"])
    content = json.loads((tmp_path / "found.json").read_text())
    printed = capsys.readouterr().out
    assert "each ranked among 20 ads." in printed
    assert set(content["segments"]["region"]) == {"de", "fr", "jp"}
    # Clicks depend on user and item; of 20 ads a random one is among three with .15.
    assert content["recall@3"] > 0.2
    # By hand: vectors, products, ranks.
    loaded = load_towers(towers)
    ads, ranks = CatalogueRanking(loaded.model, at=(3,)).ad_vectors().numpy(), []
    for batch in read_records(toy_records, split="test", batch_size=300):
        queries = loaded.model.query_vectors(batch, training=False).numpy()
        for row in np.flatnonzero(batch["click"].numpy() > 0):
            place = int(np.flatnonzero(loaded.model.catalogue["item"].numpy() == batch["item"].numpy()[row])[0])
            scores = ads @ queries[row]
            ranks.append(1 + (scores > scores[place]).sum())
    assert content["queries"] == len(ranks)
    assert content["recall@3"] == pytest.approx(np.mean(np.array(ranks) <= 3), abs=0.01)
    assert content["mrr"] == pytest.approx(np.mean(1 / np.array(ranks)), abs=0.01)


def test_a_finished_run_stays_and_an_interrupted_one_goes_on(
    toy_records: Path, towers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (towers / "result.json").read_bytes()
    train(toy_records, towers, "--epochs=4")
    assert "is finished" in capsys.readouterr().out
    assert (towers / "result.json").read_bytes() == before

    class EndedError(Exception):
        pass

    from fullrank.trainers.retrieval import train_towers as module

    whole = module.CatalogueRanks.on_epoch_end

    def ends(self: Any, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise EndedError
        whole(self, epoch, logs)

    monkeypatch.setattr(module.CatalogueRanks, "on_epoch_end", ends)
    with pytest.raises(SystemExit):
        train(toy_records, tmp_path / "again", "--epochs=4")
    monkeypatch.setattr(module.CatalogueRanks, "on_epoch_end", whole)
    train(toy_records, tmp_path / "again", "--epochs=4")
    assert "resumes after" in capsys.readouterr().out
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    assert again["best"]["val_recall"] == json.loads(before)["best"]["val_recall"]
    assert again["best"]["loss"] == pytest.approx(json.loads(before)["best"]["loss"], rel=1e-4)


def test_a_catalogue_is_read_and_kept(toy_records: Path, tmp_path: Path) -> None:
    schema = read_schema(toy_records)
    found = read_catalogue(schema, item=None, splits=["train"])
    assert found["item"].tolist() == sorted({b"item%d" % number for number in range(20)})
    assert found["tags"].shape == (20, 3)
    last = {}
    for batch in read_records(schema, split="train", batch_size=100):
        for item, tags in zip(batch["item"].numpy(), batch["tags"].numpy(), strict=True):
            last[item] = tags.tolist()
    assert found["tags"].tolist() == [last[item] for item in found["item"]]
    write_catalogue(found, tmp_path / "ads.parquet", schema=schema)
    again = load_catalogue(tmp_path / "ads.parquet", schema=schema)
    assert all((again[name] == found[name]).all() and again[name].dtype == found[name].dtype for name in found)


def test_lists_of_ads_are_cut_as_in_records(toy_records: Path, tmp_path: Path) -> None:
    schema, file = read_schema(toy_records), tmp_path / "ads.parquet"
    write_catalogue(read_catalogue(schema, item=None, splits=["train"]), file, schema=schema)
    table = pq.read_table(file).slice(0, 4)
    lists = [[1, 2, 3, 4, 5], [None, 1], [], None]
    place = table.column_names.index("tags")
    pq.write_table(table.set_column(place, "tags", pa.array(lists)), file)
    assert read_ads(file, schema=schema)["tags"].tolist() == [[3, 4, 5], [-1, 1, -1], [-1] * 3, [-1] * 3]


def test_a_vector_of_another_length_is_refused(tmp_path: Path) -> None:
    schema = Schema(
        name="s",
        features=(
            Sparse(name="user", side="user"),
            Sparse(name="item", side="ad"),
            Vector(name="image", length=2, side="ad"),
        ),
        labels=(Label(name="click"),),
    )
    file, ids = tmp_path / "ads.parquet", pa.array([1, 2], pa.int64())
    pq.write_table(pa.table({"item": ids, "image": [[1.0, 2.0], None]}), file)
    np.testing.assert_array_equal(read_ads(file, schema=schema)["image"], [[1, 2], [np.nan] * 2])
    pq.write_table(pa.table({"item": ids, "image": [[1.0, 2.0], [1.0, 2.0, 3.0]]}), file)
    with pytest.raises(ValueError, match=r"ads\.parquet: row 2: column 'image': .*3"):
        read_ads(file, schema=schema)


def test_cells_of_ads_are_read_as_by_convert(tmp_path: Path) -> None:
    schema = Schema(
        name="s",
        features=(
            Sparse(name="user", side="user"),
            Sparse(name="item", dtype="bytes", side="ad"),
            Sparse(name="tags", side="ad", max_values=4),
            Numeric(name="price", side="ad"),
            Bits(name="bits", length=2, side="ad"),
        ),
        labels=(Label(name="click"),),
        reading=Reading(
            padded=("tags",),
            missing=("unknown",),
            columns=(Derived(name="price", expression="cents / 100", inputs=(Input(name="cents", kind="number"),)),),
        ),
    )
    file = tmp_path / "ads.parquet"
    table = {"item": [7.0, 8.0], "tags": [[5, 0, 0], [6, 7, 0]], "cents": ["150", "unknown"], "bits": [[1, 0], None]}
    pq.write_table(pa.table({**table, "user": ["no", "number"]}), file)
    found = read_ads(file, schema=schema)
    assert found["item"].tolist() == [b"7", b"8"]
    assert found["tags"].tolist() == [[5, -1, -1, -1], [6, 7, -1, -1]]
    np.testing.assert_array_equal(found["price"], [1.5, np.nan])
    assert found["bits"].tolist() == [[1, 0], [-1, -1]]
    # What a run keeps can be given back, without the inputs of what was computed.
    write_catalogue(found, file, schema=schema)
    for again in (read_ads(file, schema=schema), load_catalogue(file, schema=schema)):
        for name, values in found.items():
            np.testing.assert_array_equal(again[name], values)
    for wrong, message in (
        ({"cents": [1.0, math.inf]}, "row 2: column 'cents'"),
        ({"bits": [[2, 0], [0, 1]]}, "row 1: column 'bits': .* neither 0 nor 1"),
        ({"tags": [["a"], []]}, "row 1: column 'tags'"),
    ):
        pq.write_table(pa.table({**table, **wrong}), file)
        with pytest.raises(ValueError, match=rf"ads\.parquet: {message}"):
            read_ads(file, schema=schema)
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in table}), file)
    with pytest.raises(ValueError, match="holds no ad"):
        read_ads(file, schema=schema)


def test_bad_input(toy_records: Path, toy_run: Path, towers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"--data={toy_records}"
    assert "did you mean 'click'" in refused(capsys, retrieve, data, "--output=/tmp/none", "--positives=clik")
    assert "no feature of the ad side" in refused(capsys, retrieve, data, "--output=/tmp/none", "--item=user")
    assert "--monitor is recall" in refused(capsys, retrieve, data, "--output=/tmp/none", "--monitor=auc")
    assert "is a run of `fullrank train`, not of `fullrank retrieve`" in refused(capsys, recall, f"--run={toy_run}")
    assert "is a run of `fullrank retrieve`, not of `fullrank train`" in refused(capsys, evaluate, f"--run={towers}")
    assert "is a run of `fullrank train`, not of `fullrank retrieve`" in refused(
        capsys, retrieve, data, f"--output={toy_run}"
    )
    assert "another configuration: --batch_size" in refused(
        capsys, retrieve, data, f"--output={towers}", *FLAGS[1:], "--batch_size=64", "--epochs=4"
    )
    assert "--at takes increasing" in refused(capsys, recall, f"--run={towers}", "--at=10,3")
    assert "has no split" in refused(capsys, recall, f"--run={towers}", "--split=tst")
