"""The reader: order, shuffling, epochs, workers, resuming, and what a Keras model is given."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import data

ROWS = 300
SCHEMA = data.Schema(
    name="small",
    features=(
        data.Sparse(name="item", ids=data.IdMap(kind="identity", size=ROWS)),
        data.Sequence(
            name="history",
            behaviour=(data.BehaviourColumn(name="past_item", table="item", target="item"),),
            max_length=5,
        ),
        data.Numeric(name="price"),
    ),
    labels=(data.Label(name="click"), data.Label(name="buy")),
    weight="importance",
    keys=(data.Key(name="user", dtype="bytes"),),
)


def columns_of(rows: int) -> dict[str, Any]:
    """Row i has item i, and everything else follows from i."""
    index = np.arange(rows)
    lengths = (index % 4).astype(np.int32)
    return {
        "item": index,
        "past_item": data.Ragged(np.repeat(index, lengths), lengths),
        "price": np.where(index % 5 == 0, np.nan, index / 2).astype(np.float32),
        "click": (index % 2).astype(np.float32),
        "buy": np.where(index % 3 == 0, np.nan, index % 2).astype(np.float32),
        "importance": np.where(index % 7 == 0, np.nan, index).astype(np.float32),
        "user": np.array([b"u%d" % i for i in index], dtype=object),
    }


@pytest.fixture(scope="module", params=["example", "block"])
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("records") / "set"
    data.write_records(
        directory,
        schema=dataclasses.replace(SCHEMA, layout=request.param),
        splits={"train": columns_of(ROWS)},
        shards=5,
        block_rows=7,
    )
    return directory


def items(dataset: Any) -> list[int]:
    return [item for batch in dataset.as_numpy_iterator() for item in batch["item"].tolist()]


def test_without_a_seed_rows_come_in_the_order_of_the_files(directory: Path) -> None:
    dataset = data.read_records(directory, batch_size=64, epochs=2)
    assert items(dataset) == [*range(ROWS)] * 2
    assert [len(batch["item"]) for batch in dataset] == [64] * 9 + [24], "600 rows: a batch may span two passes"


def test_a_seed_shuffles_every_pass_in_another_way(directory: Path) -> None:
    def read(seed: int, epochs: int = 1) -> list[int]:
        return items(data.read_records(directory, batch_size=50, seed=seed, epochs=epochs, deterministic=True))

    twice = read(1, epochs=2)
    first, second = twice[:ROWS], twice[ROWS:]
    assert sorted(first) == sorted(second) == [*range(ROWS)], "every row once a pass, and passes do not mix"
    assert first != second
    assert read(1) == first, "the same in every run"
    assert read(2) != first
    # A shuffled order has about n / 2 = 150 rises; a file read from start to end has 59 of 60.
    rises = sum(b > a for a, b in itertools.pairwise(first))
    assert 120 < rises < 180
    # The first batch draws from every file (60 rows each).
    assert {item // 60 for item in first[:50]} == {0, 1, 2, 3, 4}


def test_the_order_has_nothing_to_do_with_the_global_seed(directory: Path) -> None:
    def read() -> list[int]:
        return items(data.read_records(directory, batch_size=50, seed=3, deterministic=True))

    before = read()
    tf.random.set_seed(99)
    expected = tf.random.uniform([]).numpy()
    tf.random.set_seed(99)
    assert read() == before
    assert tf.random.uniform([]).numpy() == expected, "and reading leaves the global seed alone"


def test_rows_stay_whole_when_shuffled(directory: Path) -> None:
    columns = columns_of(ROWS)
    past = columns["past_item"].to_lists()
    for batch in data.read_records(directory, batch_size=64, seed=4).as_numpy_iterator():
        for row, item in enumerate(batch["item"]):
            assert batch["past_item"][row].tolist() == past[item] + [-1] * (5 - len(past[item]))
            assert batch["user"][row] == columns["user"][item]
            for name in ("price", "click", "buy", "importance"):
                np.testing.assert_equal(batch[name][row], columns[name][item])


def test_a_small_buffer_still_shuffles_and_loses_nothing(directory: Path) -> None:
    found = items(data.read_records(directory, batch_size=50, seed=1, shuffle_examples=1))
    assert sorted(found) == [*range(ROWS)]


def test_workers_share_the_files(directory: Path) -> None:
    read = [items(data.read_records(directory, batch_size=16, worker=worker, workers=3)) for worker in range(3)]
    assert sorted(itertools.chain(*read)) == [*range(ROWS)]
    # Files 0 and 3 of five: rows 0-59 and 180-239.
    assert read[0] == [*range(60), *range(180, 240)]


def test_dropping_the_remainder_fixes_the_batch_dimension(directory: Path) -> None:
    dataset = data.read_records(directory, batch_size=64, drop_remainder=True)
    assert dataset.element_spec["past_item"].shape.as_list() == [64, 5]
    assert items(dataset) == [*range(256)]


def test_no_thread_of_tensorflow_tunes_the_pipeline(directory: Path) -> None:
    """It can miss that its iterator has ended and then holds up the end of an epoch: see `data/reading/pipeline.py`."""
    mapped = data.read_records(directory, batch_size=16).map(lambda batch: batch, num_parallel_calls=tf.data.AUTOTUNE)
    assert mapped.options().autotune.enabled is False


def test_without_an_end(directory: Path) -> None:
    # Otherwise windows may overtake one another, also from one pass to the next.
    endless = data.read_records(directory, batch_size=100, seed=1, epochs=None, deterministic=True)
    counts = Counter(items(endless.take(9)))
    assert counts == dict.fromkeys(range(ROWS), 3)


@pytest.mark.parametrize("seed", [None, 7])
def test_an_iterator_goes_on_where_it_was_saved(directory: Path, tmp_path: Path, seed: int | None) -> None:
    """Saved in the second of three passes, restored into a new dataset, as after a kill."""

    def start() -> Any:
        dataset = data.read_records(
            directory, batch_size=32, seed=seed, epochs=3, shuffle_examples=100, deterministic=True
        )
        return iter(dataset)

    expected = [batch["item"].numpy().tolist() for batch in start()]
    iterator = start()
    for batch in expected[:13]:
        assert next(iterator)["item"].numpy().tolist() == batch
    saved = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "checkpoint"))
    assert next(iterator)["item"].numpy().tolist() == expected[13]
    restored = start()
    tf.train.Checkpoint(iterator=restored).restore(saved).assert_consumed()
    assert [batch["item"].numpy().tolist() for batch in restored] == expected[13:]


def test_without_determinism_a_restored_iterator_loses_no_row(directory: Path, tmp_path: Path) -> None:
    def start() -> Any:
        return iter(data.read_records(directory, batch_size=32, seed=5, shuffle_examples=100))

    iterator = start()
    found = [item for _ in range(4) for item in next(iterator)["item"].numpy().tolist()]
    saved = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "checkpoint"))
    restored = start()
    tf.train.Checkpoint(iterator=restored).restore(saved).assert_consumed()
    found += [item for batch in restored for item in batch["item"].numpy().tolist()]
    assert sorted(found) == [*range(ROWS)]


def test_a_schema_with_fewer_features_reads_the_same_files(directory: Path) -> None:
    schema = data.read_schema(directory)
    shorter = data.Sequence(
        name="history", behaviour=(data.BehaviourColumn(name="past_item", table="item", target="item"),), max_length=2
    )
    fewer = dataclasses.replace(schema, features=(schema.features[0], shorter), weight=None)
    batch = next(data.read_records(fewer, batch_size=8).as_numpy_iterator())
    assert sorted(batch) == ["buy", "click", "item", "past_item", "user"]
    assert batch["past_item"].tolist() == [[-1, -1], [1, -1], [2, 2], [3, 3], [-1, -1], [5, -1], [6, 6], [7, 7]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "valid"}, "no split 'valid'. Known: train"),
        ({"workers": 6}, "5 files, too few for 6 workers"),
        ({"worker": 2, "workers": 2}, "worker=2, workers=2"),
        ({"batch_size": 0}, "at least 1"),
        ({"epochs": 0}, "at least 1"),
        ({"shuffle_examples": 0}, "at least 1"),
        ({"on_bad_record": "ignore"}, "'fail' or 'skip'. Received: 'ignore'"),
        ({"on_bad_record": "skip"}, "needs cache_directory"),
    ],
)
def test_arguments_out_of_range(directory: Path, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        data.read_records(directory, **{"batch_size": 8, **arguments})


def test_a_schema_without_a_directory_has_no_records() -> None:
    schema = dataclasses.replace(SCHEMA, splits=(data.Split(name="train", shards=(data.Shard(file="a", examples=1),)),))
    with pytest.raises(data.SchemaError, match="not read from a directory"):
        data.read_records(schema, batch_size=8)


def test_split_batch_masks_what_was_not_observed(directory: Path) -> None:
    schema = data.read_schema(directory)
    dataset = data.read_records(schema, batch_size=8)
    features, labels, weights = next(dataset.map(data.split_batch(schema)).as_numpy_iterator())
    assert sorted(features) == ["item", "past_item", "price"]
    # Rows 0, 3 and 6 have no "buy"; rows 0 and 7 have no weight, which counts as 1.
    assert labels["buy"].tolist() == [0, 1, 0, 0, 0, 1, 0, 1]
    assert weights["buy"].tolist() == [0, 1, 2, 0, 4, 5, 0, 1]
    assert labels["click"].tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert weights["click"].tolist() == [1, 1, 2, 3, 4, 5, 6, 1]
    _, label, weight = next(dataset.map(data.split_batch(schema, labels=["buy"])).as_numpy_iterator())
    np.testing.assert_array_equal(label, labels["buy"])
    np.testing.assert_array_equal(weight, weights["buy"])
    unweighted = dataclasses.replace(schema, weight=None)
    _, _, weight = next(dataset.map(data.split_batch(unweighted, labels=["buy"])).as_numpy_iterator())
    assert weight.tolist() == [0, 1, 1, 0, 1, 1, 0, 1]
    with pytest.raises(data.SchemaError, match=r"no label 'purchase'\. Known: click, buy"):
        data.split_batch(schema, labels=["purchase"])


def test_a_keras_model_fits_on_it(directory: Path) -> None:
    schema = data.read_schema(directory)
    item = keras.Input([], name="item", dtype="int64")
    row = keras.layers.Embedding(ROWS, 1)(item)
    model = keras.Model({"item": item}, keras.layers.Activation("sigmoid")(row))
    model.compile("sgd", loss="binary_crossentropy")
    split = data.split_batch(schema, labels=["click"])
    dataset = (
        data.read_records(schema, batch_size=100, seed=1).map(split).map(lambda x, y, w: ({"item": x["item"]}, y, w))
    )
    history = model.fit(dataset, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
