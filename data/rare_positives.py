"""Makes the positives of a data set rarer, to ask what happens where feedback is sparse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.schema import SchemaError
from fullrank.data.sources.source import Batches, Source

_SPLIT_SEEDS: Final = {"train": 0, "validation": 1, "test": 2}


def rare_positives(source: Source, *, label: str, share: float, seed: int = 0) -> Source:
    """A source that keeps each row whose label is 1 with a probability, in every split, and all other rows.

    All splits are thinned alike, so that a model meets at test the base rate that it was trained at.

    Args:
      source: The data set.
      label: A binary label of it.
      share: Of the positives to keep, in (0, 1].
      seed: Of the draw; the same seed keeps the same rows, and those of a smaller share are among them.

    Raises:
      SchemaError: If there is no such binary label.
      ValueError: If `share` is out of range.
    """
    if source.schema.label(label).type != "binary":
        raise SchemaError(f"Positives are those of a binary label, and {label!r} is a real value.")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"The share of positives to keep is above 0 and at most 1. Received: {share:g}.")
    splits = {
        name: _thinned(rows, label=label, share=share, seed=(seed, _SPLIT_SEEDS.get(name, 3)))
        for name, rows in source.splits.items()
    }
    return dataclasses.replace(source, splits=splits)


def _thinned(rows: Batches, *, label: str, share: float, seed: tuple[int, int]) -> Batches:
    def opened() -> Iterable[pa.RecordBatch]:
        draw = np.random.default_rng(seed)
        for batch in rows():
            positive = pc.fill_null(pc.greater(batch.column(label), 0.5), False).to_numpy(zero_copy_only=False)
            kept = ~positive | (draw.random(batch.num_rows) < share)
            yield batch.filter(pa.array(kept))

    return opened
