"""Whether the sequences of records run from the oldest to the newest and end before the event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fullrank.data.reading.read import read_records
from fullrank.data.schema.columns import MISSING_INT
from fullrank.data.schema.features import Sequence as BehaviourFeature
from fullrank.data.schema.schema import Schema

_BATCH = 8_192


def out_of_order(schema: Schema, *, splits: Sequence[str]) -> Iterator[str]:
    """Sentences about sequences that hold what was not known before the event, or whose times do not ascend.

    Args:
      schema: Of records that can be read; without an event time nothing is said, nor of sequences without times.
      splits: Names of splits, which are read whole.
    """
    timed = [f for f in schema.features if isinstance(f, BehaviourFeature) and f.times is not None]
    if schema.time is None or not timed:
        return
    for split in splits:
        late = {feature.name: np.zeros(2, np.int64) for feature in timed}
        unsorted = dict.fromkeys(late, 0)
        rows = 0
        for batch in read_records(schema, split=split, batch_size=_BATCH):
            event = batch[schema.time].numpy()[:, np.newaxis]
            rows += len(event)
            for feature in timed:
                times = batch[str(feature.times)].numpy()
                known = times != MISSING_INT
                after = known & (times >= event) & (event != MISSING_INT)
                late[feature.name] += after.sum(), after.any(axis=1).sum()
                # The latest time so far, where one is missing, so that only known times are compared.
                so_far = np.maximum.accumulate(np.where(known, times, np.iinfo(np.int64).min), axis=1)
                unsorted[feature.name] += int((known[:, 1:] & (times[:, 1:] < so_far[:, :-1])).any(axis=1).sum())
        for name, (behaviours, on) in late.items():
            if behaviours:
                yield (
                    f"{split}: sequence {name!r} holds {behaviours:,} behaviours at or after the event, on {on:,} of "
                    f"{rows:,} examples: they were not known before it. Convert again with --only_earlier={name}."
                )
            if unsorted[name]:
                yield (
                    f"{split}: the times of sequence {name!r} do not run from the oldest to the newest on "
                    f"{unsorted[name]:,} of {rows:,} examples. Convert again with --sort_by_time={name}."
                )
