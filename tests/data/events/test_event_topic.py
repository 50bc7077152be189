"""Events of a Kafka topic: order over partitions, positions, and what is wrong with messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fullrank.data.events.event_topic import Address, EventTopic, address
from kafka_topics import end, mock_cluster, send
from online_streams import SCHEMA, stream_columns

PARTITIONS = 4  # what the mock cluster gives a topic


@pytest.fixture
def cluster() -> Iterator[tuple[Any, str]]:
    with mock_cluster() as found:
        yield found


def test_addresses() -> None:
    assert address("kafka://a:1,b:2/clicks") == Address("a:1,b:2", "clicks")
    assert address("events") is None
    for wrong in ("kafka://a:1", "kafka:///clicks", "kafka://a:1/x/y"):
        with pytest.raises(ValueError, match="kafka://host:port/topic"):
            address(wrong)


def test_partitions_are_read_in_order_of_time_and_resumed_anywhere(cluster: tuple[Any, str]) -> None:
    producer, servers = cluster
    columns = stream_columns(clicks=900)
    messages = send(producer, "clicks", columns, partitions=PARTITIONS)
    end(producer, "clicks", partitions=PARTITIONS)
    source, seen, read = EventTopic(Address(servers, "clicks"), schema=SCHEMA), [], 0
    while (events := source.read()) is not None:
        seen.append(events.ids)
        read += 1
        if read % 4 == 0:
            position = source.position()
            source = EventTopic(Address(servers, "clicks"), schema=SCHEMA)
            source.seek(position)
    assert source.ended
    assert read == messages
    np.testing.assert_array_equal(np.concatenate(seen), columns["event_id"])


def test_a_topic_that_has_not_ended_continues_later(cluster: tuple[Any, str]) -> None:
    producer, servers = cluster
    columns = stream_columns(clicks=100)
    send(producer, "growing", columns, partitions=1)
    source = EventTopic(Address(servers, "growing"), schema=SCHEMA)
    assert sum(len(events.ids) for events in iter(source.read, None)) == len(columns["event_id"])
    assert not source.ended
    producer.produce("growing", b"no block", partition=0)
    send(producer, "growing", columns, partitions=1)
    end(producer, "growing", partitions=PARTITIONS)
    found = 0
    for _ in range(20):
        found += sum(len(events.ids) for events in iter(source.read, None))
        if source.ended:
            break
    assert found == len(columns["event_id"])
    assert source.problems["damaged_records"] == 1


def test_brokers_that_are_not_there_are_named() -> None:
    pytest.importorskip("confluent_kafka")
    with pytest.raises(ValueError, match="Are brokers running there"):
        EventTopic(Address("127.0.0.1:9", "clicks"), schema=SCHEMA)
