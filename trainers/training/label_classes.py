"""Checks the labels of a split: whether a task can learn from it, and which of its metrics are defined."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.reading.weights import example_weights
from fullrank.trainers.training.callbacks.monitors import MONITORED, MONITORED_OF_VALUES

LARGEST_LOOK: Final = 1_000_000
"""The most examples that are read in search of a label."""
_OF_BOTH_CLASSES: Final = ("auc", "ne")


@dataclasses.dataclass
class LabelClasses:
    """The kinds of labels of one task that have been seen.

    Attributes:
      is_binary: Whether the task has two classes.
      observed: Whether there is a label, of any weight.
      weighted: Whether one counts, that is has a weight above 0.
      positive: Whether one that counts is above 0; a soft label sets this and `negative`.
      negative: Whether one that counts is below 1.
    """

    is_binary: bool
    observed: bool = False
    weighted: bool = False
    positive: bool = False
    negative: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing remains to be found."""
        return self.weighted and (not self.is_binary or (self.positive and self.negative))

    @property
    def lack(self) -> str | None:
        """Describes the missing labels as a clause; `None` if none are missing."""
        if not self.observed:
            return "no label is observed"
        if not self.weighted:
            return "every observed label has weight 0"
        if not self.complete:
            return "every label is positive" if self.positive else "no label is positive"
        return None

    @property
    def defined(self) -> tuple[str, ...]:
        """The statistics that can be monitored and are defined."""
        statistics = MONITORED if self.is_binary else MONITORED_OF_VALUES
        if not self.weighted:
            return ()
        return tuple(name for name in statistics if self.complete or name not in _OF_BOTH_CLASSES)

    def add(self, labels: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> None:
        """Updates from a batch, `[B]` each; a NaN label was not observed."""
        there = ~np.isnan(labels)
        counts = there if weights is None else there & (weights > 0.0)
        self.observed |= bool(there.any())
        self.weighted |= bool(counts.any())
        self.positive |= bool((labels[counts] > 0.0).any())
        self.negative |= bool((labels[counts] < 1.0).any())


def look_at_labels(
    batches: Iterable[Mapping[str, Any]], *, tasks: Mapping[str, bool], weight: str | None
) -> tuple[dict[str, LabelClasses], int]:
    """Reads batches until all kinds of labels of every task are found, at most `LARGEST_LOOK` examples.

    Args:
      batches: Batches of columns, `[B]`.
      tasks: Name -> whether it is binary.
      weight: Column of sample weights, or `None`.

    Returns:
      The kinds of labels of each task, and the number of examples that were read.
    """
    found = {task: LabelClasses(is_binary) for task, is_binary in tasks.items()}
    examples = 0
    for batch in batches:
        weights = example_weights(batch, weight)
        for task, classes in found.items():
            classes.add(np.asarray(batch[task]), weights)
        examples += len(next(iter(batch.values())))
        if examples >= LARGEST_LOOK or all(classes.complete for classes in found.values()):
            break
    return found, examples
