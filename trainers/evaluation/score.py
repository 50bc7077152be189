"""Streams records through a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from fullrank.data.schema import Schema

Arrays = dict[str, np.ndarray[Any, Any]]


class Scoring(Protocol):
    """A model that scores batches, such as `Ranker` and `ServedModel`."""

    @property
    def schema(self) -> Schema:
        """Says which columns it reads."""

    def __call__(self, batch: dict[str, tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
        """Output -> values `[B]`."""


class Batches(Protocol):
    """Batches of columns, such as a `tf.data.Dataset`."""

    @property
    def element_spec(self) -> Any:
        """Column -> `tf.TensorSpec`."""

    def __iter__(self) -> Iterator[Any]:
        """Column -> tensor."""


def score_batches(
    model: Scoring, batches: Batches, *, keep: tuple[str, ...], examples: int | None, what: str
) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields what is kept of each batch, and the predicted probabilities.

    Args:
      model: Scores a batch.
      batches: Column name -> tensor.
      keep: Columns to yield.
      examples: How many there are, for the progress bar; `None` if unknown.
      what: Title of the progress bar.

    Yields:
      Column -> `[B, ...]`, and task -> probability `[B]`.
    """
    inputs = {column.name for column in model.schema.input_columns}

    # One signature for all batches, so that the last one, which is smaller, needs no graph of its own.
    @tf.function(input_signature=[{name: spec for name, spec in batches.element_spec.items() if name in inputs}])
    def score(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        scores: dict[str, tf.Tensor] = model(batch, training=False)
        return scores

    with tqdm(total=examples, desc=what, unit=" examples", unit_scale=True, mininterval=1.0) as bar:
        for batch in batches:
            scores = score({name: value for name, value in batch.items() if name in inputs})
            kept = {name: batch[name].numpy() for name in keep}
            numbers = {task: value.numpy() for task, value in scores.items()}
            yield kept, numbers
            bar.update(len(next(iter(numbers.values()))))
