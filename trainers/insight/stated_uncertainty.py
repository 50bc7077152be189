"""The uncertainty that a head states, compared with outcomes: deviations of logits, and predictions grouped by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.data.reading.weights import example_weights
from fullrank.models.ranker import Ranker

Floats = npt.NDArray[np.float64]
_QUANTILES: Final = 21


class StatedUncertainty:
    """Collects the distribution of each binary task's logit over batches.

    Args:
      model: A ranker whose head has a distribution of the logit.
      groups: Number of groups of equal size, by the deviation that the head states.
    """

    def __init__(self, model: Ranker, *, groups: int = 5) -> None:
        self._groups, self._weight = groups, model.schema.weight
        outputs = model.outputs
        self._tasks = {outputs.tasks[place]: place for place in outputs.binary}
        self._look = tf.function(
            lambda batch: (
                model(batch, training=False),
                model.logit_distributions(batch),
                outputs.rows.labels(batch),
            )
        )
        self._seen: dict[str, list[Floats]] = {task: [] for task in self._tasks}

    def add(self, batch: Mapping[str, tf.Tensor]) -> None:
        """Adds a batch; a task ignores examples without its label, of another scenario, or of weight 0."""
        predicted, distributions, labels = self._look(batch)
        given = example_weights(batch, self._weight)
        for task, place in self._tasks.items():
            label = np.asarray(labels[:, place], np.float64)
            weight = np.ones_like(label) if given is None else np.asarray(given, np.float64)
            deviation = np.sqrt(np.asarray(distributions[task][1], np.float64))
            rows = np.stack([deviation, np.asarray(predicted[task], np.float64), label, weight], axis=1)
            self._seen[task].append(rows[~np.isnan(label) & (weight > 0.0)])

    def result(self) -> dict[str, dict[str, Any]]:
        """Task -> `quantiles` of the deviation, from the least to the largest, and `groups`, the most certain first."""
        found = {}
        for task, parts in self._seen.items():
            rows = np.concatenate(parts)
            if len(rows) >= self._groups:
                found[task] = {
                    "quantiles": np.quantile(rows[:, 0], np.linspace(0, 1, _QUANTILES)).tolist(),
                    "groups": groups_of(rows, groups=self._groups),
                }
        return found


def groups_of(rows: Floats, *, groups: int) -> Sequence[dict[str, float]]:
    """Means over groups of equal size of examples sorted by deviation.

    Args:
      rows: `[N, 4]`: stated deviation of the logit, predicted probability, label, positive weight.
      groups: Number of groups.

    Returns:
      For each group its `examples`, with weights as many of one weight as vary as much (Kish 1965), and the weighted
      means `deviation`, `predicted` and `observed`.
    """
    ordered = rows[np.argsort(rows[:, 0], kind="stable")]
    return [_group(part[:, :3], part[:, 3]) for part in np.array_split(ordered, groups)]


def _group(values: Floats, weights: Floats) -> dict[str, float]:
    means = np.average(values, axis=0, weights=weights).tolist()
    examples = float(weights.sum() ** 2 / (weights**2).sum())
    return {"examples": examples, **dict(zip(("deviation", "predicted", "observed"), means, strict=True))}
