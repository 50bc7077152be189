"""Scans shards for problems.

The quick check runs the ordinary input pipeline over a file and counts: as fast as training reads, and by definition it
agrees with training on what is bad. Only a file that fails it is scanned record by record to say what is wrong; the
verdict on a record is again that of the functions of the pipeline.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.reading.pipeline import INPUT_ERRORS, Order, batches
from fullrank.data.records.bad_data import BadDataError, BadRecord
from fullrank.data.records.block_layout import Block, block_parser, decode_block, unpacker
from fullrank.data.records.example_layout import ExampleError, check_has_columns, decode_examples, example_parser
from fullrank.data.records.frames import Frame, read_frames
from fullrank.data.records.packing import BlockError, Packing
from fullrank.data.records.shard_files import check_file, check_first_record, directory_of
from fullrank.data.schema.ragged import Ragged
from fullrank.data.schema.schema import Schema, Shard
from fullrank.data.schema.value_rules import Violation, aligned_columns, batch_check, value_rules, violations

_BATCH: Final = 4096
_GROUP: Final = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scanned:
    """The result of scanning one record.

    Attributes:
      record: Its good part, as a record; `None` if there is none.
      examples: Good examples in it.
      problems: The faults that were found in it.
    """

    record: bytes | None
    examples: int
    problems: tuple[BadRecord, ...] = ()


class QuickLook:
    """Decides whether shards are good; may be called from several threads.

    A shard is good if it can be read to its end, holds no forbidden value and has as many examples as the schema says.
    """

    def __init__(self, schema: Schema) -> None:
        """Prepares for the shards of a schema that was read from a directory."""
        self._schema = schema
        self._lock = threading.Lock()
        self._count_examples: dict[Packing | None, Callable[[str], Any]] = {}

    def __call__(self, shard: Shard) -> bool:
        """Whether a shard is good."""
        path = directory_of(self._schema) / shard.file
        try:
            check_file(path, shard)
            packing = check_first_record(path, self._schema)
            if packing is None and self._schema.layout == "block":
                return shard.examples == 0
            return int(self._counter(packing)(str(path))) == shard.examples
        except (BadDataError, OSError, *INPUT_ERRORS):
            return False

    def _counter(self, packing: Packing | None) -> Callable[[str], Any]:
        """A function from file name to number of examples, traced once for all files."""
        with self._lock:
            if packing not in self._count_examples:
                name = self._schema.columns[0].name

                @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
                def count(file: tf.Tensor) -> tf.Tensor:
                    dataset = batches(
                        self._schema,
                        files=tf.expand_dims(file, 0),
                        packing=packing,
                        batch_size=_BATCH,
                        drop_remainder=False,
                        order=Order(),
                    )
                    return dataset.reduce(np.int64(0), lambda total, batch: total + tf.shape(batch[name], tf.int64)[0])

                self._count_examples[packing] = count
            return self._count_examples[packing]


def scan_shard(schema: Schema, shard: Shard) -> Iterator[Scanned]:
    """Yields every record of a shard with what is wrong with it.

    Args:
      schema: What the records should be.
      shard: One of its shards.
    """
    path = directory_of(schema) / shard.file
    try:
        check_file(path, dataclasses.replace(shard, size=None))
        yield from scan_frames(schema, str(path), read_frames(path, compression=schema.compression))
    except BadDataError as error:
        reason = str(error).removeprefix(f"{path}: ").rstrip(".")
        yield Scanned(record=None, examples=0, problems=(BadRecord(file=str(path), reason=reason),))
    except OSError as error:
        reason = f"cannot read this shard: {error.strerror}"
        yield Scanned(record=None, examples=0, problems=(BadRecord(file=str(path), reason=reason),))


def scan_frames(schema: Schema, path: str, frames: Iterator[Frame]) -> Iterator[Scanned]:
    """Yields the results of `scan_shard` for the frames of a file."""
    return (_scan_examples if schema.layout == "example" else _scan_blocks)(schema, path, frames)


def _scan_blocks(schema: Schema, path: str, frames: Iterator[Frame]) -> Iterator[Scanned]:
    packing: Packing | None = None
    aligned = aligned_columns(schema)
    read: Callable[[tf.Tensor], Any] | None = None
    for frame in frames:
        try:
            data = _data_of(frame, path)
            block = decode_block(data)
            lacking, divided = block.packing.lacks(schema.columns), block.packing.divides(aligned)
            if lacking is not None:
                raise BlockError("not here as the schema says", feature=lacking[0].name, received=lacking[1])
            if divided is not None:
                raise BlockError("only some columns of a feature are held once per request", feature=divided[0])
            if packing is not None and block.packing != packing:
                raise BlockError("the columns of this block are not those of the first one")
        except (BadDataError, BlockError) as error:
            yield Scanned(record=None, examples=0, problems=(_problem(path, frame, error),))
            continue
        packing, read = block.packing, read or _block_reader(schema, block.packing)
        wrong = violations_of_block(block, schema)
        if wrong:
            good = np.setdiff1d(np.arange(block.rows), [row for row, _ in wrong])
            yield Scanned(
                record=block.with_rows(good) if good.size else None,
                examples=int(good.size),
                problems=tuple(_violation(path, frame, violation, row) for row, violation in wrong),
            )
            continue
        try:
            read(tf.constant([data]))
        except INPUT_ERRORS as error:
            problem = BadRecord(file=path, record=frame.record, reason=_first_line(error))
            yield Scanned(record=None, examples=0, problems=(problem,))
        else:
            yield Scanned(record=data, examples=block.rows)


def _block_reader(schema: Schema, packing: Packing) -> Callable[[tf.Tensor], Any]:
    """Returns a function that fails where the input pipeline does, so that both agree on what is bad."""
    parse = block_parser(packing, columns=schema.columns, aligned=aligned_columns(schema))
    unpack, check = unpacker(packing, columns=schema.columns), batch_check(value_rules(schema), explicit_nan=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def read(blocks: tf.Tensor) -> tf.Tensor:
        check(unpack(parse(blocks)))
        return tf.size(blocks)

    reader: Callable[[tf.Tensor], Any] = read
    return reader


def violations_of_block(block: Block, schema: Schema) -> list[tuple[int, Violation]]:
    """The row of each violation, with one for every row of a request whose own columns are wrong."""
    rules, aligned = value_rules(schema), aligned_columns(schema)
    wanted = {column.name: column.length for column in schema.columns}
    found = []
    for part in block.packing.parts:
        columns = {column.name: block.columns[column.name] for column in part.columns}
        # The columns of the schema, and of a long row of `many` the values that are kept.
        as_read = {n: c.last(wanted[n]) if isinstance(c, Ragged) else c for n, c in columns.items() if n in wanted}
        together = [group for group in aligned if set(group) <= columns.keys()]
        wrong = [*violations(columns, {}, aligned=together), *violations(as_read, rules)]
        found += [(row, each) for each in wrong for row in block.rows_at(part, each.row)]
    return found


def _scan_examples(schema: Schema, path: str, frames: Iterator[Frame]) -> Iterator[Scanned]:
    check = batch_check(value_rules(schema), explicit_nan=True)
    parse = example_parser(schema.columns, aligned=aligned_columns(schema), left_out=schema.left_out)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def parse_and_check(records: tf.Tensor) -> tf.Tensor:
        check(parse(records))
        return tf.size(records)

    def scanned(group: list[Frame]) -> Iterator[Scanned]:
        """Bisects a group until each problem is isolated."""
        try:
            if any(frame.data is None for frame in group):
                raise BadDataError("a damaged record")
            parse_and_check(tf.constant([frame.data for frame in group], tf.string))
        except (BadDataError, *INPUT_ERRORS) as error:
            if len(group) > 1:
                yield from scanned(group[: len(group) // 2])
                yield from scanned(group[len(group) // 2 :])
            else:
                yield Scanned(record=None, examples=0, problems=_example_problems(schema, path, group[0], error))
        else:
            yield from (Scanned(record=frame.data, examples=1) for frame in group)

    while group := list(itertools.islice(frames, _GROUP)):
        yield from scanned(group)


def _example_problems(schema: Schema, path: str, frame: Frame, error: Exception) -> tuple[BadRecord, ...]:
    try:
        data = _data_of(frame, path)
        check_has_columns(data, schema_columns=schema.columns, left_out=schema.left_out)
        columns = decode_examples([data], schema_columns=schema.columns)
    except (BadDataError, ExampleError) as found:
        return (_problem(path, frame, found),)
    wrong = violations(columns, value_rules(schema), aligned=aligned_columns(schema), explicit_nan=True)
    problems = tuple(_violation(path, frame, violation, None) for violation in wrong)
    return problems or (BadRecord(file=path, record=frame.record, reason=_first_line(error)),)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _data_of(frame: Frame, path: str) -> bytes:
    if frame.data is None:
        raise BadDataError(f"{path}: {frame.reason}")
    return frame.data


def _problem(path: str, frame: Frame, error: BadDataError | BlockError | ExampleError) -> BadRecord:
    if isinstance(error, BadDataError):
        return BadRecord(file=path, record=frame.record, reason=frame.reason)
    return BadRecord(
        file=path, record=frame.record, feature=error.feature, reason=error.reason, received=error.received
    )


def _violation(path: str, frame: Frame, violation: Violation, row: int | None) -> BadRecord:
    return BadRecord(
        file=path,
        record=frame.record,
        row=row,
        feature=violation.column,
        reason=violation.reason,
        received=violation.received,
    )
