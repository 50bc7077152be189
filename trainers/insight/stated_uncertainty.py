"""The uncertainty that a head states, compared with outcomes: deviations of logits, and predictions grouped by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

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
        self._groups = groups
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
        """Adds a batch of inputs and labels; a task ignores those without its label, or of another scenario."""
        predicted, distributions, labels = self._look(batch)
        for task, place in self._tasks.items():
            label = np.asarray(labels[:, place], np.float64)
            deviation = np.sqrt(np.asarray(distributions[task][1], np.float64))
            rows = np.stack([deviation, np.asarray(predicted[task], np.float64), label], axis=1)
            self._seen[task].append(rows[~np.isnan(label)])

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
      rows: `[N, 3]`: stated deviation of the logit, predicted probability, label.
      groups: Number of groups.

    Returns:
      For each group its `examples`, and the means `deviation`, `predicted` and `observed`.
    """
    ordered = rows[np.argsort(rows[:, 0], kind="stable")]
    return [
        {
            "examples": len(part),
            **dict(zip(("deviation", "predicted", "observed"), part.mean(axis=0).tolist(), strict=True)),
        }
        for part in np.array_split(ordered, groups)
    ]
