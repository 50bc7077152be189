"""Named columns in one tensor, so that a batch is encoded by a few operations instead of some per feature."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class NamedColumns:
    """Columns of one dtype, concatenated.

    Attributes:
      names: One per column.
      widths: One per column.
      values: `[B, sum of widths]`.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    values: Any

    def __getitem__(self, name: str) -> tf.Tensor:
        """One column, `[B, width]`."""
        place = self.names.index(name)
        start = sum(self.widths[:place])
        return self.values[:, start : start + self.widths[place]]


def arranged(parts: Sequence[NamedColumns], *, order: Sequence[str]) -> tf.Tensor | None:
    """The columns named in `order`, concatenated, `[B, sum of their widths]`; `None` if there are none."""
    if not order:
        return None
    names = [name for part in parts for name in part.names]
    widths = [width for part in parts for width in part.widths]
    starts = dict(zip(names, itertools.accumulate(widths, initial=0), strict=False))
    width_of = dict(zip(names, widths, strict=True))
    joined = parts[0].values if len(parts) == 1 else tf.concat([part.values for part in parts], axis=1)
    places = [starts[name] + k for name in order for k in range(width_of[name])]
    return joined if places == list(range(sum(widths))) else tf.gather(joined, places, axis=1)
