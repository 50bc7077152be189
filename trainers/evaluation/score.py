"""Streams records through a model, and keeps the scored rows for statistics that need all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from fullrank.data.reading.weights import example_weights
from fullrank.data.schema.columns import MISSING_BYTES, MISSING_INT
from fullrank.data.schema.schema import Schema
from fullrank.models.metrics.segments import segment_name

Arrays = dict[str, np.ndarray[Any, Any]]


class Scoring(Protocol):
    """A model that scores batches, such as `Ranker` and `ServedModel`."""

    @property
    def schema(self) -> Schema:
        """The schema, with the columns that it reads."""

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
    """Yields the kept columns of each batch, and the predicted probabilities.

    Args:
      model: Scores a batch.
      batches: Column name -> tensor.
      keep: Columns to yield.
      examples: Number of examples, for the progress bar; `None` if unknown.
      what: Title of the progress bar.

    Yields:
      Column -> `[B, ...]`, and task -> probability `[B]`.
    """
    inputs = {column.name for column in model.schema.input_columns}

    # One signature for all batches, so that the last one, which is smaller, needs no graph of its own. AutoGraph would
    # take longer to convert the code of every layer than TensorFlow takes to trace the model.
    @tf.function(
        input_signature=[{name: spec for name, spec in batches.element_spec.items() if name in inputs}], autograph=False
    )
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


class ScoredRows:
    """Kept columns and scores of a split, in the order of its records.

    Ids are kept as codes, so that a row takes a few bytes, however long its texts are.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[npt.NDArray[Any]]] = {}
        self._scores: dict[str, list[npt.NDArray[Any]]] = {}
        self._codes: dict[str, dict[Any, int]] = {}

    def add(self, kept: Arrays, scores: Arrays) -> None:
        """Adds a batch."""
        for name, values in kept.items():
            stored = values if values.dtype.kind == "f" else self._coded(name, values)
            self._columns.setdefault(name, []).append(stored)
        for task, values in scores.items():
            self._scores.setdefault(task, []).append(values)

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """A column of floats, `[N]`."""
        return np.concatenate(self._columns[name])

    def has_label(self, name: str, *, weight: str | None) -> bool:
        """Whether a column of labels holds one that counts, that is with a weight above 0 if there are weights."""
        there = ~np.isnan(self.numbers(name))
        return bool((there if weight is None else there & (self.weights(weight) > 0.0)).any())

    def weights(self, name: str) -> npt.NDArray[Any]:
        """A column of sample weights, `[N]`; 1 where missing."""
        found: npt.NDArray[Any] = example_weights({name: self.numbers(name)}, name)
        return found

    def scores(self, task: str) -> npt.NDArray[Any]:
        """The probabilities of a task, `[N]`."""
        return np.concatenate(self._scores[task])

    def keys(self, name: str) -> npt.NDArray[np.int64]:
        """Codes of a column of ids, `[N]`; each row without an id has a code of its own."""
        codes = np.concatenate(self._columns[name])
        missing = [code for value, code in self._codes[name].items() if value in (MISSING_INT, MISSING_BYTES)]
        alone = np.isin(codes, missing)
        codes[alone] = len(self._codes[name]) + np.arange(alone.sum())
        return codes

    def segments(self, name: str, *, largest: int, others: str) -> npt.NDArray[Any]:
        """The values of a column of ids as text, `[N]`; all but the `largest` most frequent ones are `others`."""
        codes = np.concatenate(self._columns[name])
        texts = [segment_name(value) for value in self._codes[name]]
        if len(texts) > largest:
            rare = np.argsort(-np.bincount(codes, minlength=len(texts)), kind="stable")[largest:]
            for code in rare.tolist():
                texts[code] = others
        found: npt.NDArray[Any] = np.array(texts)[codes]
        return found

    def _coded(self, name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        known = self._codes.setdefault(name, {})
        distinct, inverse = np.unique(values, return_inverse=True)
        codes = [known.setdefault(value, len(known)) for value in distinct.tolist()]
        return np.array(codes, np.int64)[inverse]
