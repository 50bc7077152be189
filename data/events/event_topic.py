"""Events of a Kafka topic: blocks as messages, read in order of time over its partitions, each once.

The position is only in the run's own checkpoint: there is no consumer group, and no offset is committed to the broker.
A message holds a block of events (`event_files.event_blocks`); one with the key `END` says that nothing follows it in
its partition. The partition whose next message begins earliest is read first, so that a topic that was written
completely is always read in the same order.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from fullrank.data.events.event_columns import Events
from fullrank.data.events.event_directory import ROWS
from fullrank.data.events.event_source import BlockReader, Position
from fullrank.data.schema.schema import Schema

if TYPE_CHECKING:
    from confluent_kafka import Message

SCHEME: Final = "kafka"
END_KEY: Final = b"END"
_FULL, _LOW = 64, 16
"""Numbers of fetched messages at which a partition is paused, and resumed."""
_PATIENCE: Final = 10.0
"""Seconds without an answer of the brokers after which a read returns no events."""


class Address(NamedTuple):
    """The brokers and the name of a topic."""

    servers: str
    topic: str


def address(source: str) -> Address | None:
    """Reads `kafka://host:port,host:port/topic`; `None` for another scheme.

    Raises:
      ValueError: If brokers or topic are missing.
    """
    parts = urlsplit(source)
    if parts.scheme != SCHEME:
        return None
    topic = parts.path.strip("/")
    if not parts.netloc or not topic or "/" in topic:
        raise ValueError(f"--source={source} is not kafka://host:port/topic.")
    return Address(parts.netloc, topic)


class _Held(NamedTuple):
    """A fetched message; its problems count when it is read, because a position does not include it before."""

    offset: int
    is_end: bool
    events: Events | None
    problems: dict[str, int]

    @property
    def begins(self) -> float:
        """Time of the first event, in seconds; infinite without one."""
        return float(self.events.times[0]) if self.events is not None and len(self.events.ids) else float("inf")


class EventTopic:
    """Reads a topic; its position is the next offset of each partition.

    Args:
      at: Brokers and topic.
      schema: Schema of the events.

    Raises:
      ValueError: If confluent-kafka is not installed, or the brokers or the topic cannot be reached.
    """

    def __init__(self, at: Address, *, schema: Schema) -> None:
        try:
            import confluent_kafka
        except ImportError as error:
            raise ValueError(
                f"--source={SCHEME}://{at.servers}/{at.topic} needs confluent-kafka: pip install 'fullrank[kafka]'."
            ) from error
        self._kafka, self._at, self._reader = confluent_kafka, at, BlockReader(schema)
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": at.servers,
                "group.id": "fullrank",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "log_level": 0,
            }
        )
        self._next = self._first_offsets()
        self._ended: set[int] = set()
        self._assign()

    @property
    def problems(self) -> dict[str, int]:
        """Number of problems of each kind since the first event."""
        return self._reader.problems

    @property
    def ended(self) -> bool:
        """Whether the end of every partition was read."""
        return len(self._ended) == len(self._next)

    def read(self) -> Events | None:
        """The events of the next message; `None` if there are none now."""
        while not self.ended:
            partition = self._earliest()
            if partition is None:
                return None
            held = self._held[partition].popleft()
            self._next[partition] = held.offset + 1
            for problem, number in held.problems.items():
                self.problems[problem] += number
            self._resume(partition)
            if held.is_end:
                self._ended.add(partition)
            elif held.events is not None and len(held.events.ids):
                return held.events
        return None

    def position(self) -> Position:
        """The next offset of each partition, and which have ended."""
        offsets = {str(partition): offset for partition, offset in self._next.items()}
        return {"offsets": offsets, "ended": sorted(self._ended), "problems": dict(self.problems)}

    def seek(self, position: Position) -> None:
        """Continues at the position of another process."""
        self._next.update({int(partition): offset for partition, offset in position["offsets"].items()})
        self._ended = set(position["ended"])
        self.problems.update(position["problems"])
        self._assign()

    def _first_offsets(self) -> dict[int, int]:
        try:
            found = self._consumer.list_topics(self._at.topic, timeout=_PATIENCE).topics[self._at.topic]
            if found.error is not None:
                raise ValueError(f"Topic {self._at.topic!r} of {self._at.servers}: {found.error.str()}.")
            of = {number: self._kafka.TopicPartition(self._at.topic, number) for number in sorted(found.partitions)}
            return {
                number: self._consumer.get_watermark_offsets(part, timeout=_PATIENCE)[0] for number, part in of.items()
            }
        except self._kafka.KafkaException as error:
            raise ValueError(f"{self._at.servers}: {error.args[0].str()}. Are brokers running there?") from error

    def _assign(self) -> None:
        self._held: dict[int, deque[_Held]] = {n: deque() for n in self._next}
        self._at_end: set[int] = set()
        self._paused: set[int] = set()
        self._consumer.assign([self._part(number, offset) for number, offset in self._next.items()])

    def _part(self, partition: int, offset: int | None = None) -> Any:
        part = self._kafka.TopicPartition(self._at.topic, partition)
        if offset is not None:
            part.offset = offset
        return part

    def _earliest(self) -> int | None:
        """The partition whose next message begins earliest, once each partition has a message or is at its end."""
        last_word = time.monotonic()
        while any(not self._held[n] and n not in self._at_end | self._ended for n in self._next):
            message = self._consumer.poll(0.2)
            if message is not None:
                last_word = time.monotonic()
                self._take(message)
            elif time.monotonic() - last_word > _PATIENCE:
                self._reader.count("source_errors", 1, f"{self._at.servers} has not answered for {_PATIENCE:g} seconds")
                return None
        begins = {number: (held[0].begins, number) for number, held in self._held.items() if held}
        if not begins:
            self._look_again()
        return min(begins, key=lambda number: begins[number]) if begins else None

    def _look_again(self) -> None:
        """Asks once whether something was written since the end of the partitions was reached."""
        message = self._consumer.poll(0.1)
        if message is not None:
            self._take(message)

    def _take(self, message: Message) -> None:
        error, partition = message.error(), message.partition()
        assert partition is not None  # noqa: S101
        if error is not None:
            self._fail(error, partition)
            return
        offset, value = message.offset(), message.value()
        assert offset is not None  # noqa: S101
        is_end = message.key() == END_KEY
        before = dict(self.problems)
        events = (
            None if is_end else self._events(value, place=f"{self._at.topic}, partition {partition}, offset {offset}")
        )
        found = {problem: number - before[problem] for problem, number in self.problems.items()}
        self.problems.update(before)
        self._at_end.discard(partition)
        self._held[partition].append(_Held(offset, is_end, events, found))
        if len(self._held[partition]) >= _FULL and partition not in self._paused:
            self._paused.add(partition)
            self._consumer.pause([self._part(partition)])

    def _events(self, value: Any, *, place: str) -> Events | None:
        content = value.encode() if isinstance(value, str) else value or b""
        events = self._reader.events(content, place=place)
        if events is not None and len(events.ids) > ROWS:
            self._reader.count("damaged_records", 1, f"{place}: {len(events.ids)} events, more than {ROWS}")
            return None
        return events

    def _resume(self, partition: int) -> None:
        if partition in self._paused and len(self._held[partition]) <= _LOW:
            self._paused.discard(partition)
            self._consumer.resume([self._part(partition)])

    def _fail(self, error: Any, partition: int) -> None:
        codes = self._kafka.KafkaError
        if error.code() == codes._PARTITION_EOF:
            self._at_end.add(partition)
        elif error.code() == codes._AUTO_OFFSET_RESET:
            raise ValueError(
                f"{self._at.topic}, partition {partition}: the events from offset {self._next.get(partition)} on "
                "are no longer there: the broker has deleted them before they were read. Start again with --overwrite."
            )
        else:
            self._reader.count("source_errors", 1, f"{self._at.servers}: {error.str()}")
