"""Reads a split of records through a model with groups."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from fullrank.data.files.printable import text_of
from fullrank.data.schema.columns import Column
from fullrank.models import Ranker

_MOST_NUMBERS = 5
"""The number of ranges that describe a numeric feature."""


@dataclasses.dataclass(frozen=True)
class GroupedExamples:
    """N examples encoded by a model with groups.

    Attributes:
      codes: Place -> `[N, Q]`.
      errors: Place -> mean squared residual after each level, `[Q]`.
      reconstruction: Place -> mean of the reconstruction error.
      columns: Feature column -> `[N]`, for columns with one value per example.
      labels: Task -> `[N]`, NaN where not observed.
    """

    codes: dict[str, npt.NDArray[np.int64]]
    errors: dict[str, npt.NDArray[np.float64]]
    reconstruction: dict[str, float]
    columns: dict[str, npt.NDArray[np.generic]]
    labels: dict[str, npt.NDArray[np.float32]]


def read_groups(model: Ranker, batches: tf.data.Dataset, *, examples: int) -> GroupedExamples:
    """Streams batches through a model.

    Args:
      model: A model with groups.
      batches: Batches of the records, not empty.
      examples: Examples of them, for the progress bar.
    """
    told = [column.name for column in model.schema.input_columns if column.form == "one"]
    inputs = {column.name for column in model.schema.input_columns}
    signature = {name: spec for name, spec in batches.element_spec.items() if name in inputs}

    @tf.function(input_signature=[signature])
    def look(batch: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], ...]:
        groups = model.inside(batch).groups
        return groups.codes, groups.errors, groups.reconstruction

    found: list[tuple[dict[str, tf.Tensor], ...]] = []
    kept: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in told}
    labels: list[npt.NDArray[np.float32]] = []
    with tqdm(total=examples, desc="grouping", unit=" examples", unit_scale=True, mininterval=1.0) as bar:
        for batch in batches:
            found.append(look({name: value for name, value in batch.items() if name in inputs}))
            for name, parts in kept.items():
                parts.append(batch[name].numpy())
            labels.append(model.outputs.rows.labels(batch).numpy())
            bar.update(len(labels[-1]))
    joined = {name: np.concatenate(parts) for name, parts in kept.items()}
    of_tasks = np.concatenate(labels).astype(np.float32)

    def whole(part: int, place: str) -> npt.NDArray[np.float64]:
        return np.concatenate([each[part][place].numpy() for each in found])

    places = list(found[0][0])
    return GroupedExamples(
        codes={place: whole(0, place).astype(np.int64) for place in places},
        errors={place: whole(1, place).mean(axis=0).astype(np.float64) for place in places},
        reconstruction={place: float(whole(2, place).mean()) for place in places},
        columns={name: joined[name] for name in told},
        labels={model.outputs.tasks[place]: of_tasks[:, place] for place in model.outputs.binary},
    )


def numbered_values(column: Column, values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The code of each example's value, -1 where missing, and the names of the values.

    Ids are used as they are, numbers are replaced by their quintile in the split.
    """
    if column.dtype != "float32":
        names, numbers = np.unique(values, return_inverse=True)
        missing = np.flatnonzero(names == (b"" if column.dtype == "bytes" else column.missing))
        places = numbers.astype(np.int64)
        if len(missing):
            places[places == missing[0]] = -1
        return places, [text_of(name) for name in names.tolist()]
    reals = values.astype(np.float64)
    known = np.isfinite(reals)
    if not known.any():
        return np.full(len(reals), -1), []
    edges = np.unique(np.quantile(reals[known], np.linspace(0, 1, _MOST_NUMBERS + 1)))
    inner = edges[1:-1]
    places = np.where(known, np.searchsorted(inner, np.where(known, reals, 0.0), side="right"), -1)
    ends = [(edges[n], edges[min(n + 1, len(edges) - 1)]) for n in range(len(inner) + 1)]
    return places.astype(np.int64), [f"{low:.3g} to {high:.3g}" for low, high in ends]
