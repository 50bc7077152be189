"""The attention of a trained TIM to behaviours by age, next to the planted one ([Tencent] §3.1, §7.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.models import Ranker
from fullrank.models.encoding.dense_inputs import elapsed_seconds

AGES_HOURS: Final = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 24.0, 336.0)
"""Upper ends of the ages that behaviours are put together by."""


def attention_map(
    model: Ranker, batches: Iterable[Mapping[str, tf.Tensor]], *, behaviours: str, target: str, times: str, now: str
) -> list[dict[str, float | None]]:
    """Mean attention times the number of behaviours, by age; 1 is a plain mean.

    Args:
      model: With one sequence.
      batches: Rows.
      behaviours: Column of the behaviours' ids.
      target: Column of the target's id.
      times: Column of the behaviours' times.
      now: Column of the row's own time.

    Returns:
      For each age `up_to_hours`, `alike`, the mean over behaviours that are of the target's id, and `others`; `None`
      where there are none. Nothing if the model attends to nothing.
    """
    found: list[tuple[npt.NDArray[Any], ...]] = []
    for batch in batches:
        weights = _weights(model, batch)
        if weights is None:
            return []
        attention, mask = weights
        age = (batch[now].numpy()[:, np.newaxis] - batch[times].numpy()) / 3600.0
        alike = batch[behaviours].numpy() == batch[target].numpy()[:, np.newaxis]
        relative = attention * mask.sum(axis=1, keepdims=True)
        found.append((relative[mask], age[mask], alike[mask]))
    relative, age, alike = (np.concatenate(parts) for parts in zip(*found, strict=True))
    place = np.searchsorted(AGES_HOURS, age)
    return [
        {
            "up_to_hours": hours,
            "alike": _mean(relative[(place == number) & alike]),
            "others": _mean(relative[(place == number) & ~alike]),
        }
        for number, hours in enumerate(AGES_HOURS)
    ]


def _weights(model: Ranker, batch: Mapping[str, tf.Tensor]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]] | None:
    lookups, elapsed = model.trunk.encoder(batch), elapsed_seconds(batch, schema=model.schema)
    for read in model.trunk.inputs_of_sets.values():
        for weights, mask in read.attention(lookups, elapsed).values():
            return weights.numpy(), mask.numpy()
    return None


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
