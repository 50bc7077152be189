"""A cascade through its command: one signature against its parts in a row, evaluation, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from fullrank.data import read_records, read_schema
from fullrank.trainers import cascade, request
from fullrank.trainers.retrieval.catalogue import FILE
from fullrank.trainers.training.load_run import load_run

K1, K2, K3 = 12, 7, 4


@pytest.fixture(scope="module")
def whole(
    shop_towers: Path, shop_light: Path, shop_ranker: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("cascade")
    cascade.run([
        "cascade", f"--retrieval={shop_towers}", f"--prerank={shop_light}", f"--rank={shop_ranker}",
        f"--output={output}", f"--retrieve={K1}", f"--keep={K2}", f"--answer={K3}", "--queries=50",
        f"--json={output}/found.json", "--try_retrieve=6,30", "--try_keep=7,30",
    ])  # fmt: skip
    return output / "1", json.loads((output / "found.json").read_text())


def requests(number: int) -> dict[str, tf.Tensor]:
    """Random queries, of users that are unknown and of short and empty histories among them."""
    draw = np.random.default_rng(7)
    past = 100 + draw.integers(-2, 32, (number, 4))
    past[np.arange(4) >= draw.integers(0, 5, (number, 1))] = -1
    return {"user": tf.constant(draw.integers(-1, 50, number)), "past": tf.constant(past)}


def test_the_one_signature_gives_what_its_parts_in_a_row_give(whole: tuple[Path, dict[str, Any]]) -> None:
    path, _ = whole
    one = tf.saved_model.load(str(path)).signatures["serving_default"]
    parts = {
        name: tf.saved_model.load(str(path / "parts" / name / "1")).signatures["serving_default"]
        for name in ("retrieve", "prerank", "rank")
    }
    given = requests(100)
    for row in range(100):
        query = {name: values[row : row + 1] for name, values in given.items()}
        answer = one(**query)
        retrieved = parts["retrieve"](**query)
        kept = parts["prerank"](**query, ads=retrieved["ids"])
        ranked = parts["rank"](**query, ads=kept["ids"])
        assert (retrieved["ids"].shape[1], kept["ids"].shape[1], answer["ids"].shape[1]) == (K1, K2, K3)
        assert set(answer) == {"ids", "click", "buy"}
        np.testing.assert_array_equal(answer["ids"], ranked["ids"])
        for task in ("click", "buy"):
            np.testing.assert_allclose(answer[task], ranked[task], rtol=0, atol=1e-6)
        assert (np.diff(answer["click"]) <= 0).all()


def test_the_predictions_are_those_of_the_ranker_alone(whole: tuple[Path, dict[str, Any]], shop_ranker: Path) -> None:
    path, _ = whole
    given = requests(20)
    answer = tf.saved_model.load(str(path)).signatures["serving_default"](**given)
    ids = answer["ids"].numpy()
    model = load_run(shop_ranker).model
    for place in range(K3):
        topics = np.array([b"a", b"b", b"c"], object)[(ids[:, place] - 100) % 3]
        batch = {**given, "ad": tf.constant(ids[:, place]), "topic": tf.constant(topics.tolist())}
        alone = model(batch, training=False)
        for task in ("click", "buy"):
            np.testing.assert_allclose(answer[task][:, place], alone[task], atol=1e-5)


def test_exclusions_unknown_ads_and_draws(whole: tuple[Path, dict[str, Any]]) -> None:
    signatures = tf.saved_model.load(str(whole[0])).signatures
    given = requests(3)
    first = signatures["serving_default"](**given)["ids"]
    without = signatures["with_exclusions"](**given, exclusions=first[:, :2])
    for left_out, ids in zip(first.numpy(), without["ids"].numpy(), strict=True):
        assert not set(left_out[:2]) & set(ids)
    # All ads but one are excluded: it is answered, and then come missing ids with a prediction of 0.
    most = tf.constant(np.tile(np.arange(101, 130), (3, 1)))
    alone = signatures["with_exclusions"](**given, exclusions=most)
    np.testing.assert_array_equal(alone["ids"], [[100, -1, -1, -1]] * 3)
    np.testing.assert_array_equal(alone["click"][:, 1:], np.zeros((3, 3)))
    # The same for ids that no catalogue holds.
    ranked = signatures["rank"](**given, ads=tf.constant([[5, -1, 103]] * 3, tf.int64))
    np.testing.assert_array_equal(ranked["ids"], [[103, -1, -1]] * 3)
    one, same, other = (signatures["thompson"](**given, seed=tf.constant(seed)) for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(one["click"], same["click"])
    assert (one["click"].numpy() != other["click"].numpy()).any()
    assert (np.diff(one["click"]) <= 0).all()


def test_a_request_in_json(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the command prints it: a query is the user and the history."""
    request.run(["request", f"--export={whole[0].parent}", "--example=2"])
    example = capsys.readouterr().out
    rows = json.loads(example)["instances"]
    assert [sorted(row) for row in rows] == [["past", "user"]] * 2
    (tmp_path / "request.json").write_text(example)
    request.run(["request", f"--export={whole[0].parent}", f"--json={tmp_path / 'request.json'}"])
    answers = json.loads(capsys.readouterr().out)["predictions"]
    assert [(sorted(answer), len(answer["ids"])) for answer in answers] == [(["buy", "click", "ids"], K3)] * 2


def test_it_is_evaluated_as_one_system(whole: tuple[Path, dict[str, Any]], shop_records: Path) -> None:
    path, found = whole
    assert [(row["retrieved"], row["kept"]) for row in found["grid"]] == [(30, 7), (30, 30)]
    part, all_ads = found["grid"]
    assert all_ads["recall"] == 1.0
    assert all_ads["top"] == 1.0
    assert all_ads["rows"] == found["queries"] == 50
    assert {each["signature"] for each in found["latency"]} >= {"serving_default", "retrieve", "prerank", "rank"}
    # By hand: the pre-ranker's first 7 of all ads, by its part.
    light = tf.saved_model.load(str(path)).signatures["prerank"]
    batch = next(iter(read_records(read_schema(shop_records), split="test", batch_size=50)))
    ads = tf.constant(np.tile(np.arange(100, 130), (50, 1)))
    kept = light(user=batch["user"], past=batch["past"], ads=ads)["ids"].numpy()
    reached = (kept == batch["ad"].numpy()[:, np.newaxis]).any(axis=1)
    clicked = batch["click"].numpy() > 0
    assert part["recall"] == pytest.approx(reached[clicked].mean())
    assert part["rows"] == reached.sum()


def test_without_a_pre_ranker(
    shop_towers: Path, shop_ranker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of what is retrieved is ranked; ads come from a file, and the ranker does not know two of them."""
    cascade.run([
        "cascade", f"--retrieval={shop_towers}", f"--rank={shop_ranker}", f"--output={tmp_path}", "--retrieve=30",
        f"--ads={shop_towers / FILE}", "--answer=2", "--task=buy", "--noparts", "--queries=5",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert "2 of 30 ads are not in the ranker's vocabulary of 'ad'" in printed
    assert "5 queries of the test split" in printed
    assert not (tmp_path / "1" / "parts").exists()
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert "prerank" not in signatures
    answer = signatures["serving_default"](**requests(4))
    ranked = signatures["rank"](**requests(4), ads=tf.constant(np.tile(np.arange(100, 130), (4, 1))))
    np.testing.assert_array_equal(answer["ids"], ranked["ids"])
    assert (np.diff(answer["buy"]) <= 0).all()


def test_bad_input(
    shop_towers: Path,
    shop_light: Path,
    shop_ranker: Path,
    toy_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stages = (f"--retrieval={shop_towers}", f"--prerank={shop_light}", f"--rank={shop_ranker}")

    def refused(*arguments: str, stages: tuple[str, ...] = stages) -> str:
        with pytest.raises(SystemExit):
            cascade.run(["cascade", *stages, f"--output={tmp_path / 'none'}", *arguments])
        (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error: ")]
        assert not (tmp_path / "none" / "1").exists()
        return line

    assert "--retrieve=31 ads cannot be answered by an index of 30 ads" in refused("--retrieve=31")
    assert "--keep=20 is more than --retrieve=12" in refused("--retrieve=12", "--keep=20")
    assert "has no output 'clik'" in refused("--retrieve=12", "--task=clik")
    assert "--try_keep names no number" in refused("--try_retrieve=5", "--try_keep=9")
    assert "--try_retrieve=31 is more than the 30 ads" in refused("--retrieve=12", "--try_retrieve=31")
    assert "--json writes the evaluation" in refused("--queries=0", "--json=found.json")
    assert "--keep and --try_keep have no effect without --prerank" in refused(
        "--keep=3", stages=(stages[0], stages[2])
    )
    assert "is a run of `fullrank prerank`, not of `fullrank retrieve`" in refused(f"--retrieval={shop_light}")
    other = refused("--retrieve=12", f"--rank={toy_run}")
    assert "item" in other
    assert "catalogue.parquet" in other
    assert "has no split 'tst'" in refused("--retrieve=12", "--split=tst")
    table = pq.read_table(shop_towers / FILE)
    pq.write_table(table.drop_columns(["topic"]), tmp_path / "less.parquet")
    assert "has no column 'topic'" in refused(f"--ads={tmp_path / 'less.parquet'}", "--retrieve=12")
    pq.write_table(pa.concat_tables([table, table]), tmp_path / "twice.parquet")
    assert "names an ad twice" in refused(f"--ads={tmp_path / 'twice.parquet'}", "--retrieve=12")
