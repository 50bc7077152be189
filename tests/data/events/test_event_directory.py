"""A directory of events that grows: order, positions, and what is wrong with its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fullrank.data.events import event_directory
from fullrank.data.events.event_columns import CLICK, ID, KIND, TIME, event_packing
from fullrank.data.events.event_directory import EventDirectory
from fullrank.data.events.event_files import end_stream, start_stream, write_events
from fullrank.data.records.encode_block import encode_block
from fullrank.data.records.frames import framed
from fullrank.data.schema.features import IdMap, Label, Numeric, Sparse
from fullrank.data.schema.schema import Schema, SchemaError

SCHEMA = Schema(
    name="stream",
    features=(Sparse(name="ad", ids=IdMap(kind="identity", size=9)), Numeric(name="price")),
    labels=(Label(name="buy"),),
)


def rows(first: int, number: int, **changes: np.ndarray) -> dict[str, np.ndarray]:
    ids = np.arange(first, first + number, dtype=np.int64)
    columns: dict[str, np.ndarray] = {
        "ad": ids % 9,
        "price": ids.astype(np.float32),
        "buy": np.full(number, np.nan, np.float32),
    }
    own = {ID: ids, KIND: np.ones_like(ids), TIME: 100 + ids, CLICK: np.full_like(ids, -1)}
    return {**columns, **own, **changes}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    directory = tmp_path / "stream"
    start_stream(directory, schema=SCHEMA)

    def write(number: int, *blocks: dict[str, np.ndarray]) -> Path:
        file = directory / f"events-{number:03d}.tfrecord"
        if len(blocks) == 1:
            write_events(file, schema=SCHEMA, columns=blocks[0])
        else:
            file.write_bytes(framed(encode_block(each, packing=event_packing(SCHEMA)) for each in blocks))
        return file

    return write


def all_ids(source: EventDirectory) -> Iterator[int]:
    while (events := source.read()) is not None:
        yield from events.ids.tolist()


def test_files_are_read_in_order_as_they_appear(write: Callable[..., Path]) -> None:
    source = EventDirectory(write(1, rows(0, 5)).parent, schema=SCHEMA)
    assert list(all_ids(source)) == [0, 1, 2, 3, 4]
    assert not source.ended
    write(3, rows(7, 2))
    directory = write(2, rows(5, 2)).parent
    assert list(all_ids(source)) == [5, 6, 7, 8]
    end_stream(directory)
    assert source.ended
    assert not any(source.problems.values())


def test_a_position_is_resumed_at_every_part(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_directory, "ROWS", 3)
    directory = write(1, rows(0, 7), rows(7, 4)).parent
    write(2, rows(11, 1))
    source, seen = EventDirectory(directory, schema=SCHEMA), []
    while True:
        position = source.position()
        source = EventDirectory(directory, schema=SCHEMA)
        source.seek(position)
        events = source.read()
        if events is None:
            break
        seen += events.ids.tolist()
    assert seen == list(range(12))


def test_damage_is_counted_and_passed_over(write: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    first = write(1, rows(0, 3), rows(3, 3), rows(6, 3))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    cut = write(2, rows(9, 3), rows(12, 3))
    cut.write_bytes(cut.read_bytes()[:-9])
    write(3, rows(15, 2, event_kind=np.array([1, 7]), price=np.array([np.inf, 1], np.float32)), rows(17, 1))
    source = EventDirectory(first.parent, schema=SCHEMA)
    assert list(all_ids(source)) == [0, 1, 2, 6, 7, 8, 9, 10, 11, 17]
    assert source.problems == {
        "damaged_records": 1, "bad_values": 1, "unknown_kinds": 1, "cut_off_files": 1, "removed_files": 0,
        "late_files": 0, "source_errors": 0,
    }  # fmt: skip
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    assert "events-001.tfrecord, record 1" in said[0]


def test_files_that_vanish_or_come_too_late_are_counted(write: Callable[..., Path]) -> None:
    directory = write(2, rows(0, 1)).parent
    source = EventDirectory(directory, schema=SCHEMA)
    assert list(all_ids(source)) == [0]
    write(1, rows(1, 1))
    gone = write(3, rows(2, 1))
    source._listed()
    source._waiting.append(gone.name)
    gone.unlink()
    write(4, rows(3, 1))
    assert list(all_ids(source)) == [3]
    assert (source.problems["late_files"], source.problems["removed_files"]) == (1, 1)
    assert list(all_ids(source)) == []
    assert source.problems["late_files"] == 1


def test_a_file_of_another_stream_is_counted(write: Callable[..., Path]) -> None:
    columns = rows(0, 2)
    del columns["price"]
    other = Schema(name="other", features=SCHEMA.features[:1], labels=SCHEMA.labels)
    file = write(1, rows(2, 1)).with_name("events-002.tfrecord")
    write_events(file, schema=other, columns=columns)
    source = EventDirectory(file.parent, schema=SCHEMA)
    assert list(all_ids(source)) == [2]
    assert source.problems["damaged_records"] == 1


def test_names_of_events_are_taken(tmp_path: Path) -> None:
    schema = Schema(name="s", features=(Numeric(name="event_time"),), labels=(Label(name="buy"),))
    with pytest.raises(SchemaError, match="event_time"):
        start_stream(tmp_path / "s", schema=schema)
    start_stream(tmp_path / "t", schema=SCHEMA)
    with pytest.raises(FileExistsError, match="holds a stream already"):
        start_stream(tmp_path / "t", schema=SCHEMA)
