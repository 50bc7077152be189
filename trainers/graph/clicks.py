"""Reads the clicks of a train split, as arrays of ids."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from fullrank.data.files.scratch import temporary_directory
from fullrank.data.reading.read import read_records
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import Sparse
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.writing.build import TRAIN
from fullrank.trainers.graph.config import Domain
from fullrank.trainers.training.records import explained

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_BATCH: Final = 16_384
_MILLISECONDS: Final = {"s": 1000, "ms": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clicks:
    """Clicks of a domain in the order of the records.

    Attributes:
      users: `[n]`, int64 or bytes.
      items: `[n]`, int64 or bytes.
      times: `[n]` in milliseconds; `None` if the records have no time.
      milliseconds: Length of the unit of the records' time, in milliseconds.
    """

    users: Array
    items: Array
    times: Ints | None
    milliseconds: int

    def until(self, time: int | None, *, later: bool = False) -> Clicks:
        """The clicks up to a time in milliseconds, or after it; all or none of them if the time is `None`."""
        if self.times is None or time is None:
            chosen = np.full(len(self.users), not later)
        else:
            chosen = (self.times > time) == later
        times = None if self.times is None else self.times[chosen]
        return dataclasses.replace(self, users=self.users[chosen], items=self.items[chosen], times=times)


def read_clicks(domain: Domain, *, on_bad_record: Literal["fail", "skip"], max_bad_fraction: float) -> Clicks:
    """Reads the train split and keeps the rows whose label is 1 and whose user, item and time are known.

    Raises:
      SchemaError: If a column is missing or of the wrong kind.
      BadDataError: If a record cannot be read.
    """
    schema = read_schema(domain.data)
    _check_label(schema, domain)
    user, item = _id_column(schema, domain, "user"), _id_column(schema, domain, "item")
    names = [domain.user, domain.item, *([schema.time] if schema.time is not None else [])]
    parts: list[list[Array]] = []
    examples = schema.split(TRAIN).examples
    with (
        explained(schema, splits=[TRAIN]),
        temporary_directory("repaired") as cache,
        tqdm(total=examples, desc="reading", unit=" examples", unit_scale=True, mininterval=1.0) as bar,
    ):
        for batch in read_records(
            _only(schema, domain),
            split=TRAIN,
            batch_size=_BATCH,
            on_bad_record=on_bad_record,
            max_bad_fraction=max_bad_fraction,
            cache_directory=cache if on_bad_record == "skip" else None,
        ):
            values = [batch[name].numpy() for name in names]
            label = batch[domain.label].numpy()
            chosen = (label > 0.5) & (values[0] != user.missing) & (values[1] != item.missing)
            if schema.time is not None:
                chosen &= values[2] != -1
            parts.append([value[chosen] for value in values])
            bar.update(len(label))
    if not any(len(part[0]) for part in parts):
        raise ValueError(f"The train split of {domain.data} has no row with {domain.label} = 1 and known ids.")
    users, items, *times = [np.concatenate(column) for column in zip(*parts, strict=True)]
    unit = _MILLISECONDS[schema.time_unit]
    return Clicks(users=users, items=items, times=times[0] * unit if times else None, milliseconds=unit)


def number_ids(columns: list[Array]) -> tuple[Array, list[Ints]]:
    """Numbers the ids of several columns of one dtype jointly; returns the distinct ids, ascending, and the numbers."""
    values = np.concatenate(columns)
    if values.dtype != object:
        ids, numbers = np.unique(values, return_inverse=True)
    else:
        encoded = pa.array(values, pa.binary()).dictionary_encode()
        found = np.array(encoded.dictionary.to_pylist(), object)
        order = np.argsort(found)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        ids, numbers = found[order], rank[encoded.indices.to_numpy()]
    ends = np.cumsum([len(column) for column in columns])
    return ids, np.split(numbers.astype(np.int64), ends[:-1])


def _check_label(schema: Schema, domain: Domain) -> None:
    known = [label.name for label in schema.labels if label.type == "binary"]
    if domain.label not in known:
        raise SchemaError(
            f"--label={domain.label}: {domain.data} has no binary label of that name. "
            f"Known: {', '.join(known) or 'none'}."
        )


def _id_column(schema: Schema, domain: Domain, flag: Literal["user", "item"]) -> Column:
    name = getattr(domain, flag)
    ids = [*(f.name for f in schema.features if isinstance(f, Sparse)), *(key.name for key in schema.keys)]
    columns = {column.name: column for column in schema.columns if column.name in ids and column.form == "one"}
    if name not in columns:
        raise SchemaError(
            f"--{flag}={name}: {domain.data} has no feature or key of that name with one id per example. "
            f"Known: {', '.join(columns) or 'none'}."
        )
    return columns[name]


def _only(schema: Schema, domain: Domain) -> Schema:
    """Returns the schema without unneeded features, so that they are not parsed."""
    wanted = {domain.user, domain.item}
    shared = {f.table for f in schema.features if isinstance(f, Sparse) and f.name in wanted}
    features = tuple(f for f in schema.features if isinstance(f, Sparse) and f.name in wanted | shared)
    return dataclasses.replace(
        schema,
        features=features or schema.features,
        labels=(schema.label(domain.label),),
        keys=tuple(key for key in schema.keys if key.name in wanted),
        segments=(),
        weight=None,
    )
