"""Adds the two columns of earlier exposures to rows on their way into records, from files or from a source."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.exposure_spec import COUNT, GAP, ExposureSpec, exposed_schema
from fullrank.data.exposure_store import ExposureStore
from fullrank.data.sources.source import Batches, Source
from fullrank.data.suggest import closest
from fullrank.data.table_columns import FILE_COLUMN, ROW_COLUMN
from fullrank.data.table_reader import TableReader


@dataclasses.dataclass(frozen=True)
class _Places:
    """What a reader adds to each batch: a column of the store for the row that a batch says it came from.

    Attributes:
      store: Where all rows were counted.
      first: File -> number of its first row.
    """

    store: ExposureStore
    first: Mapping[str, int]
    columns: tuple[str, ...] = (COUNT, GAP)

    @property
    def key(self) -> str:
        """A column that has to be read for this; any would do, because rows are known by their place."""
        return self.store.spec.user

    def check(self, names: Collection[str], *, source: str) -> None:
        """Refuses a table that has one of the columns already."""
        _check_new(names, source=source)

    def add(self, batch: pa.RecordBatch, columns: Collection[str] | None = None) -> pa.RecordBatch:
        """The rows with the two columns."""
        return self.store.append(batch, _places(batch, self.first))


def expose_readers(readers: Mapping[str, TableReader], store: ExposureStore) -> dict[str, TableReader]:
    """Reads everything once, and gives readers whose rows know their earlier exposures, in whichever split those are.

    Raises:
      ValueError: If a file lacks a column, or has one of the new ones already.
    """
    first: dict[str, dict[str, int]] = {name: {} for name in readers}
    for name, reader in readers.items():
        for file in reader.files:
            names = reader.names(file)
            _check_there(names, store.needed, source=str(file))
            _check_new(names, source=str(file))
        for batch in dataclasses.replace(reader, bad_rows=reader.bad_rows.again()).batches(store.needed):
            if batch.num_rows:
                file = batch.column(FILE_COLUMN)[0].as_py()
                # Row numbers are those of the file and have gaps where lines were malformed.
                first[name].setdefault(file, store.rows)
                store.add(batch, _places(batch, first[name]))
    store.count()
    return {
        name: dataclasses.replace(reader, joins=(*reader.joins, _Places(store, first[name])))
        for name, reader in readers.items()
    }


def expose_source(source: Source, spec: ExposureSpec, *, directory: Path) -> tuple[Source, ExposureStore]:
    """The data set whose rows know their earlier exposures, over all splits in their order, and what counted them.

    Args:
      source: A data set with a time.
      spec: What to count.
      directory: An existing directory that stays as long as the source is read.

    Raises:
      ValueError: If a column is not there.
    """
    schema = exposed_schema(source.schema, spec)
    store = ExposureStore(spec, schema=schema, directory=directory)
    first: dict[str, int] = {}
    for name, batches in source.splits.items():
        first[name] = store.rows
        for start, batch in _numbered(batches(), first[name]):
            _check_there(batch.schema.names, store.needed, source=f"--dataset={schema.name}")
            _check_new(batch.schema.names, source=f"--dataset={schema.name}")
            store.add(batch, np.arange(start, start + batch.num_rows))
    store.count()
    splits: Mapping[str, Batches] = {
        name: _Exposed(batches, store, first[name]) for name, batches in source.splits.items()
    }
    return dataclasses.replace(source, schema=schema, splits=splits), store


@dataclasses.dataclass(frozen=True)
class _Exposed:
    """Opens a split with the two columns."""

    batches: Batches
    store: ExposureStore
    first: int

    def __call__(self) -> Iterable[pa.RecordBatch]:
        for start, batch in _numbered(self.batches(), self.first):
            yield self.store.append(batch, np.arange(start, start + batch.num_rows))


def _numbered(batches: Iterable[pa.RecordBatch], first: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches:
        yield first, batch
        first += batch.num_rows


def _places(batch: pa.RecordBatch, first: Mapping[str, int]) -> npt.NDArray[np.int64]:
    if not batch.num_rows:
        return np.zeros(0, np.int64)
    rows: npt.NDArray[np.int64] = batch.column(ROW_COLUMN).to_numpy(zero_copy_only=False).astype(np.int64)
    return rows - 1 + first[batch.column(FILE_COLUMN)[0].as_py()]


def _check_there(names: Collection[str], needed: Iterable[str], *, source: str) -> None:
    for name in needed:
        if name not in names:
            near = closest(name, names)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(list(names)[:30])}."
            raise ValueError(f"{source} has no column {name!r}, which --exposures needs; {hint}")


def _check_new(names: Collection[str], *, source: str) -> None:
    twice = [name for name in (COUNT, GAP) if name in names]
    if twice:
        raise ValueError(f"{source} has column {twice[0]!r}, which --exposures would add: rename it, or do without.")
