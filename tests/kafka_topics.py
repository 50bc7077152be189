"""A topic in the mock cluster that librdkafka ships, filled with a stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fullrank.data.events.event_files import event_blocks
from fullrank.data.schema.ragged import take_rows
from online_streams import SCHEMA


@contextlib.contextmanager
def mock_cluster() -> Iterator[tuple[Any, str]]:
    """A producer whose cluster is in this process, and `host:port` of its broker."""
    kafka = pytest.importorskip("confluent_kafka")
    producer = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    yield producer, f"{broker.host}:{broker.port}"
    producer.flush(10)


def send(producer: Any, topic: str, columns: dict[str, Any], *, partitions: int, rows: int = 100) -> int:
    """Sends events in messages of so many rows, in turn to each partition; how many messages."""
    number = len(columns["event_id"])
    starts = range(0, number, rows)
    for message, start in enumerate(starts):
        part = take_rows(columns, np.arange(start, min(number, start + rows)))
        (block,) = event_blocks(part, schema=SCHEMA)
        producer.produce(topic, block, partition=message % partitions)
    producer.flush(10)
    return len(starts)


def end(producer: Any, topic: str, *, partitions: int) -> None:
    """Says that nothing follows in any partition."""
    for partition in range(partitions):
        producer.produce(topic, b"", key=b"END", partition=partition)
    producer.flush(10)
