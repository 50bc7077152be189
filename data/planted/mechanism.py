"""The interface of a planted mechanism: columns that a model sees, and their effects, which logits are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fullrank.data.schema.features import Feature

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SplitName = Literal["train", "validation", "test"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """Some rows of a mechanism.

    Attributes:
      columns: Name -> array `[n]` or `[n, length]`, in the dtypes of a batch.
      effects: Name -> `[n]`, what may enter a logit; the world brings each to mean 0 and deviation 1.
      hidden: Name -> `[n]`, truths that no feature shows, such as the number of a group.
      extras: Name -> `[n]` float32, columns of the records that no feature reads, such as counts of exposures.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    effects: Mapping[str, Floats]
    hidden: Mapping[str, npt.NDArray[Any]] = dataclasses.field(default_factory=dict)
    extras: Mapping[str, npt.NDArray[Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draw:
    """A request to a planted mechanism for rows of a split.

    Attributes:
      random: The generator of these rows.
      rows: How many.
      split: The split that they belong to; only what arrives new depends on it.
    """

    random: np.random.Generator
    rows: int
    split: SplitName


Planted = Callable[[Draw], Drawn]
"""A mechanism with its truth, from which any number of rows can be drawn in any order."""


def unit(vectors: Floats) -> Floats:
    """Vectors of the last axis, brought to length 1."""
    of_length_1: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return of_length_1


class Mechanism(Protocol):
    """A frozen dataclass of sizes; its truth is drawn once per world."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features by which a model sees it."""

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the truth."""
