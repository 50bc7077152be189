"""Leaves the ids that are no longer used out of an export."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.files.scratch import temporary_directory
from fullrank.data.reading.last_uses import last_uses
from fullrank.data.schema.id_maps import columns_of_ids, with_id_maps
from fullrank.data.schema.json import read_schema, write_schema
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.vocabulary import KNOWN_FROM, read_vocabularies, write_vocabulary
from fullrank.models.carry_over import carry_over
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.build_model import build_model
from fullrank.trainers.training.load_run import LoadedRun
from fullrank.trainers.training.records import explained, read_split

_SECONDS: Final = 86_400


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExpiredIds:
    """The ids of a table that were left out.

    Attributes:
      table: Name of the table's owner.
      days: For how long no example had named them.
      ids: How many they are.
      of: How many ids the table had.
    """

    table: str
    days: float
    ids: int
    of: int

    def __str__(self) -> str:
        """One sentence."""
        last = "day" if self.days == 1 else f"{self.days:,.12g} days"
        return (
            f"{self.table}: no training example of the last {last} names {self.ids:,} of {self.of:,} ids, which are "
            "left out and read as unknown."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shortened:
    """A run whose tables have lost ids.

    Attributes:
      loaded: The run, with the smaller model; the directory of its schema is a temporary one.
      tables: What each table has lost.
      undated: How many examples had no time, whose ids all stayed.
    """

    loaded: LoadedRun
    tables: tuple[ExpiredIds, ...]
    undated: int

    def __str__(self) -> str:
        """A line for each table, and one for the examples without a time if there are any."""
        undated = [f"{self.undated:,} examples have no time: the ids that they name stay."] if self.undated else []
        return "\n".join([*map(str, self.tables), *undated])


@contextlib.contextmanager
def without_expired(loaded: LoadedRun, *, days: Mapping[str, float], records: Schema) -> Iterator[Shortened]:
    """Yields the run with a model that does not know the expired ids.

    An id is expired if no training example of the last days has it, in the column of its feature or in a history; the
    days end with the latest example. What an export reads for it is the row of unknown ids, which training has trained.

    Args:
      loaded: The run.
      days: Name of a table's owner -> after how many days without use its ids expire.
      records: The records that it was trained on; bad ones are treated as they were then.

    Raises:
      ValueError: If a table has no vocabulary, all of its ids are expired, or there are no event times.
      BadDataError: If a record cannot be read.
    """
    schema, data = loaded.schema, loaded.config.data
    _check(schema, days)
    needed = dict.fromkeys(column for table in days for column in columns_of_ids(schema, table)) | {schema.time: None}
    check_same_columns(loaded.directory.schema(), records, columns=[str(name) for name in needed])
    with explained(records, splits=[data.train_split]):
        batches = read_split(data, records, split=data.train_split, cache=loaded.directory.repaired)
        read = batches.map(lambda batch: {name: batch[name] for name in needed}, num_parallel_calls=tf.data.AUTOTUNE)
        used = last_uses(schema, tables=list(days), batches=read.as_numpy_iterator())
    unit = _SECONDS * (1000 if schema.time_unit == "ms" else 1)
    kept = {name: used.times[name][KNOWN_FROM:] >= used.latest - days[name] * unit for name in days}
    for name, which in kept.items():
        if len(which) and not which.any():
            raise ValueError(
                f"--expire_days={name}:{days[name]:g}: every id of {name} is expired, so none would be left."
            )
    with temporary_directory("ids") as directory:
        _write(schema, kept, directory)
        # The schema lacks the features that were left out already.
        options = dataclasses.replace(loaded.config.model, without_features=())
        model = build_model(options, read_schema(directory))
        carry_over(loaded.model, model)
        yield Shortened(
            loaded=dataclasses.replace(loaded, schema=model.schema, model=model),
            tables=tuple(
                ExpiredIds(table=name, days=days[name], ids=int((~which).sum()), of=len(which))
                for name, which in kept.items()
            ),
            undated=used.undated,
        )


def _check(schema: Schema, days: Mapping[str, float]) -> None:
    kinds = {owner.name: owner.ids.kind for owner in schema.tables}
    able = [name for name, kind in kinds.items() if kind == "vocabulary"]
    for name in days:
        shared = next((owner for owner in kinds if name in columns_of_ids(schema, owner)), name)
        if shared != name:
            reason = f"it shares the table of {shared!r}"
        elif name not in kinds:
            reason = "there is no such table"
        else:
            reason = f"its ids are {kinds[name]} rows, not a vocabulary"
        if name not in able:
            known = ", ".join(able) or "none"
            raise ValueError(f"--expire_days={name}:{days[name]:g}: {reason}. Tables with a vocabulary: {known}.")
    if schema.time is None:
        raise ValueError("--expire_days needs event times, and the schema of the run names no column `time`.")


def _write(schema: Schema, kept: Mapping[str, np.ndarray[Any, Any]], directory: Path) -> None:
    """Writes a data set's description whose vocabularies hold the kept ids."""
    maps = {}
    for name, ids in read_vocabularies(schema).items():
        left = ids[kept[name]] if name in kept else ids
        write_vocabulary(left.tolist(), directory=directory, feature=name)
        if len(left) < len(ids):
            # A vocabulary that lacks ids of the training data says so.
            maps[name] = dataclasses.replace(schema.table(name).ids, size=len(left), max_size=len(left))
    write_schema(with_id_maps(schema, maps), directory)
