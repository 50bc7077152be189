"""Data sets that are grouped by request are read as the flat ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from request_log import write_both

from fullrank import data


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One log of 60 requests, grouped and flat."""
    return write_both(tmp_path_factory.mktemp("requests"), requests=60)


def read(directory: Path, **how: Any) -> list[dict[str, Any]]:
    return list(data.read_records(directory, **how).as_numpy_iterator())


@pytest.mark.parametrize(("batch_size", "drop_remainder"), [(7, False), (7, True), (1, False), (1000, False)])
def test_batches_in_order_are_those_of_the_flat_data_set(
    both: tuple[Path, Path], batch_size: int, drop_remainder: bool
) -> None:
    grouped, flat = (read(each, batch_size=batch_size, drop_remainder=drop_remainder, epochs=2) for each in both)
    assert len(grouped) == len(flat)
    for one, other in zip(grouped, flat, strict=True):
        assert one.keys() == other.keys()
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])


def test_shuffling_keeps_requests_together_and_loses_nothing(both: tuple[Path, Path]) -> None:
    batches = read(both[0], batch_size=7, seed=3, shuffle_examples=64, deterministic=True)
    flat = read(both[1], batch_size=1000)[0]
    times = np.concatenate([batch["time"] for batch in batches])
    items = np.concatenate([batch["item"] for batch in batches])
    # The time numbers the requests: each of them comes once, in one piece.
    assert np.count_nonzero(np.diff(times)) + 1 == 60
    assert not np.array_equal(times, flat["time"])
    order = np.lexsort((items, times))
    expected = np.lexsort((flat["item"], flat["time"]))
    for name in ("user", "item", "seen", "click", "weight"):
        found = np.concatenate([batch[name] for batch in batches])
        np.testing.assert_array_equal(found[order], flat[name][expected])
    again = read(both[0], batch_size=7, seed=3, shuffle_examples=64, epochs=2, deterministic=True)
    other = np.concatenate([batch["time"] for batch in again])[len(times) :]
    assert not np.array_equal(other, times)


def test_an_iterator_resumes_where_it_was_saved(both: tuple[Path, Path], tmp_path: Path) -> None:
    dataset = data.read_records(both[0], batch_size=7, seed=3, shuffle_examples=64, epochs=None, deterministic=True)
    iterator = iter(dataset)
    for _ in range(5):
        next(iterator)
    saved = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "here"))
    expected = [next(iterator)["item"].numpy() for _ in range(60)]
    resumed = iter(dataset)
    tf.train.Checkpoint(iterator=resumed).restore(saved)
    for items in expected:
        np.testing.assert_array_equal(next(resumed)["item"].numpy(), items)


def test_damage_costs_one_block(both: tuple[Path, Path], tmp_path: Path) -> None:
    schema = data.read_schema(both[0])
    shard = schema.split("train").shards[0]
    content = bytearray((both[0] / shard.file).read_bytes())
    content[len(content) // 2] ^= 1
    copy = tmp_path / "damaged"
    copy.mkdir()
    for file in both[0].iterdir():
        (copy / file.name).write_bytes(bytes(content) if file.name == shard.file else file.read_bytes())
    damaged = data.read_schema(copy)
    (problem,) = data.verify(damaged)
    assert problem.record is not None
    assert problem.reason == "damaged data: its checksum differs"
    how = {"on_bad_record": "skip", "max_bad_fraction": 0.5, "cache_directory": tmp_path / "cache"}
    kept = np.concatenate([batch["item"] for batch in read(copy, batch_size=50, **how)])
    # A block holds 9 to 16 rows here.
    assert 9 <= schema.split("train").examples - len(kept) <= 16
