"""A topic whose brokers fail, fall silent or have lost what was to be read, by a consumer that says what it is told."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterable
from typing import Any

import pytest

from fullrank.data.events import event_topic
from fullrank.data.events.event_topic import Address, EventTopic
from online_streams import SCHEMA

confluent_kafka = pytest.importorskip("confluent_kafka")
AT = Address("broker:9092", "clicks")
ERROR = confluent_kafka.KafkaError


class Message:
    """A message, or an error in the place of one."""

    def __init__(self, partition: int, *, offset: int = 0, value: bytes = b"", key: bytes | None = None) -> None:
        self._partition, self._offset, self._value, self._key = partition, offset, value, key
        self._error: Any = None

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def key(self) -> bytes | None:
        return self._key

    def error(self) -> Any:
        return self._error


def failed(partition: int, code: int) -> Message:
    message = Message(partition)
    message._error = ERROR(code)
    return message


class Consumer:
    """Gives messages in turn, then nothing, and notes what it is asked for."""

    def __init__(self, messages: Iterable[Message | None], *, partitions: int, error: Any = None) -> None:
        self._messages = iter(messages)
        self._topic = types.SimpleNamespace(error=error, partitions=dict.fromkeys(range(partitions)))
        self.asked: list[tuple[str, list[tuple[int, int]]]] = []

    def list_topics(self, topic: str, *, timeout: float) -> Any:
        return types.SimpleNamespace(topics={topic: self._topic})

    def get_watermark_offsets(self, part: Any, *, timeout: float) -> tuple[int, int]:
        return 5, 90

    def poll(self, seconds: float) -> Message | None:
        return next(self._messages, None)

    def assign(self, parts: list[Any]) -> None:
        self.asked.append(("assign", [(part.partition, part.offset) for part in parts]))

    def pause(self, parts: list[Any]) -> None:
        self.asked.append(("pause", [(part.partition, 0) for part in parts]))

    def resume(self, parts: list[Any]) -> None:
        self.asked.append(("resume", [(part.partition, 0) for part in parts]))


def topic_of(monkeypatch: pytest.MonkeyPatch, consumer: Consumer) -> EventTopic:
    monkeypatch.setattr(confluent_kafka, "Consumer", lambda config: consumer)
    return EventTopic(AT, schema=SCHEMA)


def test_the_missing_package_and_an_unknown_topic_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Consumer((), partitions=0, error=ERROR(ERROR.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(ValueError, match=r"^Topic 'clicks' of broker:9092: .*[Uu]nknown topic"):
        topic_of(monkeypatch, unknown)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ValueError, match=r"kafka://broker:9092/clicks needs confluent-kafka: pip install 'fullrank"):
        EventTopic(AT, schema=SCHEMA)


def test_events_that_the_broker_deleted_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = topic_of(monkeypatch, Consumer([failed(0, ERROR._AUTO_OFFSET_RESET)], partitions=1))
    with pytest.raises(ValueError, match=r"clicks, partition 0: the events from offset 5 on are no longer there"):
        topic.read()


def test_silent_brokers_and_their_errors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = failed(0, ERROR._TRANSPORT)
    topic = topic_of(monkeypatch, Consumer([lost, None, None, None], partitions=1))
    clock = itertools.count(step=6)
    monkeypatch.setattr(event_topic, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    assert topic.read() is None
    # The error, and then no answer for more than ten seconds.
    assert topic.problems["source_errors"] == 2
    assert not topic.ended
    assert topic.position()["offsets"] == {"0": 5}


def test_a_partition_far_ahead_pauses_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged messages count when they are read, not when they are fetched."""
    damaged = [Message(0, offset=5 + number, value=b"no block") for number in range(70)]
    ends = [failed(1, ERROR._PARTITION_EOF), failed(0, ERROR._PARTITION_EOF)]
    consumer = Consumer([*damaged, *ends], partitions=2)
    topic = topic_of(monkeypatch, consumer)
    assert topic.read() is None
    assert consumer.asked == [("assign", [(0, 5), (1, 5)]), ("pause", [(0, 0)]), ("resume", [(0, 0)])]
    assert topic.problems["damaged_records"] == 70
    assert topic.position()["offsets"] == {"0": 75, "1": 5}


def test_what_is_written_after_the_end_of_a_partition_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [failed(0, ERROR._PARTITION_EOF), Message(0, offset=5, key=b"END")]
    topic = topic_of(monkeypatch, Consumer(messages, partitions=1))
    assert topic.read() is None
    assert not topic.ended
    assert topic.read() is None
    assert topic.ended
    assert topic.position() == {"offsets": {"0": 6}, "ended": [0], "problems": dict(topic.problems)}
