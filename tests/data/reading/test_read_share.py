"""The shares of several readers: together every file once in each pass, by a graph that any process runs."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from fullrank.data.reading.read import read_records, read_share
from fullrank.data.records.bad_data import BadDataError
from fullrank.data.records.frames import framed


def ages(dataset: tf.data.Dataset, batches: int) -> list[float]:
    """A number that identifies a row, of the first batches."""
    return [float(age) for batch in dataset.take(batches) for age in batch["age"]]


@pytest.fixture(scope="module")
def everything(toy_records: Path) -> Counter[float]:
    return Counter(ages(read_records(toy_records, split="train", batch_size=1200), 1))


@pytest.mark.parametrize("seed", [None, 3])
def test_readers_share_each_pass(toy_records: Path, everything: Counter[float], seed: int | None) -> None:
    """Of three files of 400 rows, two readers have two and one, and in the second pass one and two."""
    read = read_share(toy_records, split="train", batch_size=100, readers=2, seed=seed, deterministic=True)
    first, second = (ages(read(tf.constant(number, tf.int64)), 12) for number in range(2))
    assert Counter(first[:800] + second[:400]) == everything
    assert Counter(first[800:] + second[400:]) == everything


def test_every_reader_has_an_order_of_its_own(toy_records: Path, everything: Counter[float]) -> None:
    read = read_share(toy_records, split="train", batch_size=100, readers=1, seed=3, deterministic=True)
    orders = [ages(read(tf.constant(number, tf.int64)), 12) for number in (0, 0, 1, 2)]
    assert all(Counter(order) == everything for order in orders)
    assert len({tuple(order) for order in orders[1:]}) == 3


def test_more_readers_than_files_read_all_of_them(toy_records: Path, everything: Counter[float]) -> None:
    read = read_share(toy_records, split="train", batch_size=100, readers=5, seed=3, deterministic=True)
    firsts = [ages(read(tf.constant(number, tf.int64)), 4) for number in range(5)]
    assert Counter(firsts[0] + firsts[1] + firsts[2]) == everything
    assert all(len(set(first)) == 400 for first in firsts)


@pytest.mark.parametrize("layout", ["block", "example"])
def test_the_graph_calls_no_python(make_records: Callable[..., Path], tmp_path: Path, layout: str) -> None:
    records = make_records(tmp_path / "records", layout=layout, train=300)
    read = read_share(records, split="train", batch_size=100, readers=2, seed=3)
    graph = tf.function(read, autograph=False).get_concrete_function(tf.TensorSpec([], tf.int64)).graph.as_graph_def()
    operations = {node.op for function in graph.library.function for node in function.node_def}
    assert "TFRecordDatasetV2" in operations or "TFRecordDataset" in operations
    assert not {operation for operation in operations if "PyFunc" in operation}


def test_files_are_checked_before_the_first_step(toy_records: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    shutil.copytree(toy_records, records)
    file = records / "train-00001-of-00003.tfrecord"
    content = bytearray(file.read_bytes())
    # The first record claims more bytes than the file has, with the right checksum.
    content[:12] = framed([bytes(1_000_000)])[:12]
    file.write_bytes(content)
    with pytest.raises(BadDataError, match=r"train-00001-of-00003\.tfrecord"):
        read_share(records, split="train", batch_size=100, readers=2)


def test_there_has_to_be_a_reader(toy_records: Path) -> None:
    with pytest.raises(ValueError, match="readers is at least 1"):
        read_share(toy_records, split="train", batch_size=100, readers=0)
