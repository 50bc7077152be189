"""Records as batches of a model."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from fullrank.data.schema import Schema
from fullrank.trainers.training.records import ReadingConfig, explained, read_split


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordInput:
    """A split of records; see `table_input.TableInput`, which has the same attributes.

    Attributes:
      schema: Of the records.
      split: Name of the split.
      title: What the input is called in a sentence.
    """

    schema: Schema
    split: str
    title: str
    reports: tuple[str, ...] = ()

    @property
    def present(self) -> frozenset[str]:
        """The columns that there are."""
        return frozenset(column.name for column in self.schema.columns)

    @property
    def examples(self) -> int:
        """How many there are."""
        return self.schema.split(self.split).examples

    @contextlib.contextmanager
    def batches(self, config: ReadingConfig, *, cache: Path | None) -> Iterator[tf.data.Dataset]:
        """Gives the batches, and explains within the context what cannot be read.

        Args:
          config: Batch size, and what to do about bad records.
          cache: Where repaired copies of bad files are kept; `None` if bad records are not left out.
        """
        with explained(self.schema, splits=[self.split]):
            yield read_split(config, self.schema, split=self.split, cache=cache)
