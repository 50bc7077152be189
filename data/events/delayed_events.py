"""A stream of clicks and late conversions, made of rows whose labels are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.events.delay_laws import Bursts, DelayLaw, report_times
from fullrank.data.events.event_columns import CONVERTED, KIND, UNIT
from fullrank.data.events.event_files import end_stream, merged_events, start_stream, write_events
from fullrank.data.records.block_layout import decode_block
from fullrank.data.records.frames import read_frames
from fullrank.data.schema.ragged import Columns, Ragged, take_rows
from fullrank.data.schema.schema import Schema

_DAY: Final = 86_400.0
_START: Final = 1_700_000_000
_ROWS_PER_FILE: Final = 50_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delays:
    """How rows become a stream.

    Attributes:
      label: Binary label whose 1 is a conversion.
      advertiser: Column of whole numbers or text that says who reports; `None` for one advertiser.
      days: Days over which clicks are spread if there is no column of times.
      hide_label: Whether clicks lose the label.
      law: Distribution of the delay.
      spread: How much advertisers differ in their delays, see `report_times`.
      bursts: Advertisers that report in bulk; `None` for none.
      seed: Seed of delays, bursts and times.
    """

    label: str
    advertiser: str | None
    days: float
    hide_label: bool
    law: DelayLaw
    spread: float
    bursts: Bursts | None
    seed: int


def delayed_events(rows: Columns, schema: Schema, how: Delays) -> dict[str, npt.NDArray[Any] | Ragged]:
    """The stream as columns, in order of time; the ids of clicks are row numbers.

    Raises:
      ValueError: If the label is not a binary one of the schema, or there is no such column of advertisers.
    """
    if schema.label(how.label).type != "binary":
        raise ValueError(f"--label={how.label} is a real value: a conversion is a label of 0 or 1.")
    label = np.asarray(rows[how.label])
    unit = UNIT[schema.time_unit]
    if schema.time is not None:
        times = np.asarray(rows[schema.time], np.int64)
    else:
        random = np.random.default_rng((how.seed, len(label)))
        times = np.floor((_START + np.sort(random.random(len(label))) * how.days * _DAY) * unit).astype(np.int64)
        mixed = random.permutation(len(label))
        rows = take_rows(rows, mixed)
        label = label[mixed]
    if how.advertiser is None:
        advertisers = np.zeros(len(label), np.int64)
    elif how.advertiser not in rows or isinstance(rows[how.advertiser], Ragged):
        raise ValueError(f"--advertiser={how.advertiser} is not a column of one value per row.")
    else:
        advertisers = np.unique(np.asarray(rows[how.advertiser]), return_inverse=True)[1].astype(np.int64)
    converted = np.flatnonzero(label > 0.5)
    reported = report_times(
        clicks=times[converted] / unit,
        advertisers=advertisers[converted],
        law=how.law,
        seed=how.seed,
        spread=how.spread,
        bursts=how.bursts,
    )
    if how.hide_label:
        rows = {**rows, how.label: np.full(len(label), np.nan, np.float32)}
    ids = np.arange(len(label), dtype=np.int64)
    return merged_events(
        rows,
        schema=schema,
        ids=ids,
        times=times,
        conversions=ids[converted],
        conversion_times=np.ceil(reported * unit).astype(np.int64),
    )


def write_delayed(directory: Path, rows: Columns, *, schema: Schema, how: Delays) -> tuple[int, int]:
    """Writes rows as a finished stream of clicks and late conversions; returns the numbers of both."""
    events = delayed_events(rows, schema, how)
    start_stream(directory, schema=schema)
    kinds = np.asarray(events[KIND])
    number = len(kinds)
    for file, start in enumerate(range(0, number, _ROWS_PER_FILE)):
        part = take_rows(events, np.arange(start, min(number, start + _ROWS_PER_FILE)))
        write_events(directory / f"events-{file:08d}.tfrecord", schema=schema, columns=part)
    end_stream(directory)
    late = int((kinds == CONVERTED).sum())
    return number - late, late


def read_rows(schema: Schema, *, splits: Sequence[str]) -> dict[str, npt.NDArray[Any] | Ragged]:
    """All rows of splits, with the columns of the schema.

    Raises:
      ValueError: If records are damaged, of the other layout or missing.
    """
    if schema.layout != "block" or schema.directory is None:
        raise ValueError(f"{schema.directory or schema.name}: delays are for records of the block layout.")
    parts: list[Columns] = []
    for shard in (shard for split in splits for shard in schema.split(split).shards):
        for frame in read_frames(schema.directory / shard.file, compression=schema.compression):
            if frame.data is None:
                raise ValueError(f"{schema.directory / shard.file}, record {frame.record}: {frame.reason}.")
            parts.append(decode_block(frame.data).of_rows())
    if not parts:
        raise ValueError(f"{schema.directory}: the splits {', '.join(splits)} hold no rows.")
    rows: dict[str, npt.NDArray[Any] | Ragged] = {}
    for column in schema.columns:
        of_parts: list[Any] = [part[column.name] for part in parts]
        if column.form == "many":
            rows[column.name] = Ragged(*(np.concatenate(each) for each in zip(*of_parts, strict=True)))
        else:
            rows[column.name] = np.concatenate(of_parts)
    return rows
