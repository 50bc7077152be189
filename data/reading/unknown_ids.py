"""How many ids of each split are outside the vocabularies, and what labels go with them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from fullrank.data.reading.read import read_records
from fullrank.data.schema.features import Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.table_rows import TableRows

_BATCH: Final = 8_192
_UNKNOWN: Final = 1
_FEWEST: Final = 100
"""Labels of unknown ids from which a mean is compared."""
_ERRORS: Final = 4.0
"""Standard errors between two means that are not a matter of chance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnknownIds:
    """Examples of one split whose id of one feature is outside the vocabulary.

    Attributes:
      feature: The feature.
      split: The split.
      share: Their share of the examples.
      observed: On how many of them the first label was observed.
      mean: Its mean over these; NaN if there are none.
      variance: Its variance over these.
    """

    feature: str
    split: str
    share: float
    observed: int
    mean: float
    variance: float


def unknown_ids(schema: Schema, *, splits: Sequence[str]) -> list[UnknownIds]:
    """Counts unknown ids of single-valued features, feature by feature and split by split; reads every record."""
    rows = {
        feature.name: TableRows(schema, feature.name)
        for feature in schema.features
        if isinstance(feature, Sparse)
        and feature.max_values == 1
        and schema.table(feature.name).ids.kind == "vocabulary"
    }
    label = schema.labels[0].name
    found = {(name, split): np.zeros(4) for name in rows for split in splits}
    examples = dict.fromkeys(splits, 0)
    for split in splits if rows else ():
        for batch in read_records(schema, split=split, batch_size=_BATCH):
            labels = batch[label].numpy().astype(np.float64)
            examples[split] += len(labels)
            for name, row_of in rows.items():
                unknown = row_of(batch[name].numpy()) == _UNKNOWN
                values = labels[unknown & ~np.isnan(labels)]
                found[name, split] += (unknown.sum(), len(values), values.sum(), np.square(values).sum())
    return [_summed(name, split, sums, examples[split]) for (name, split), sums in found.items()]


def _summed(feature: str, split: str, sums: np.ndarray[tuple[int], np.dtype[np.float64]], examples: int) -> UnknownIds:
    unknown, observed, total, squares = sums.tolist()
    mean = total / observed if observed else math.nan
    variance = max(0.0, squares / observed - mean * mean) if observed else math.nan
    return UnknownIds(
        feature=feature,
        split=split,
        share=unknown / max(examples, 1),
        observed=int(observed),
        mean=mean,
        variance=variance,
    )


def misleading(found: Sequence[UnknownIds], *, train: str) -> list[tuple[UnknownIds, UnknownIds]]:
    """Features whose unknown ids have another label in training than in a later split, with that split.

    The row of unknown ids then learns what is wrong for the ids that it stands for later.
    """
    trained = {each.feature: each for each in found if each.split == train and each.observed >= _FEWEST}
    worst: dict[str, tuple[UnknownIds, UnknownIds]] = {}
    for later in found:
        before = trained.get(later.feature)
        if before is None or later.split == train or later.observed < _FEWEST or later.feature in worst:
            continue
        error = math.sqrt(before.variance / before.observed + later.variance / later.observed)
        if abs(later.mean - before.mean) > _ERRORS * error:
            worst[later.feature] = (before, later)
    return list(worst.values())
