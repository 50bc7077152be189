"""The second model, of delays, which ES-DFM and DFM need: it reads the same features and the waiting time."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import tensorflow as tf

from fullrank.data.events.event_columns import Batch
from fullrank.data.schema.features import Label, Numeric, NumericStatistics
from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.models.objectives import es_dfm_targets
from fullrank.models.objectives.losses import binary_cross_entropy
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.streaming.join import Late
from fullrank.trainers.training.build_model import build_model, compile_model

WAITED: Final = "waited_log_hours"
DELAYED: Final = "delayed_positive"
REAL: Final = "real_negative"
LOG_RATE: Final = "log_rate"
_TASKS: Final[dict[str, tuple[Label, ...]]] = {
    # Before anything is known about delays, ES-DFM has nearly the weights of naive, and DFM assumes a mean of a day.
    "es_dfm": (Label(name=DELAYED, mean=0.01), Label(name=REAL, mean=0.99)),
    "dfm": (Label(name=LOG_RATE, mean=0.5),),
}
_LONGEST: Final = np.log1p(24.0 * 64.0)


def delay_schema(schema: Schema, *, late: Late) -> Schema:
    """The schema of the second model: the same features, the waiting time, and its targets as labels."""
    quantiles = tuple(float(q) for q in np.linspace(0.0, _LONGEST, 65))
    waited = Numeric(
        name=WAITED,
        side="context",
        statistics=NumericStatistics(
            mean=_LONGEST / 2, std=_LONGEST / 4, minimum=0.0, maximum=_LONGEST, missing=0.0, quantiles=quantiles
        ),
    )
    return dataclasses.replace(schema, features=(*schema.features, waited), labels=_TASKS[late])


def build_delay_model(config: RunConfig, schema: Schema, *, late: Late) -> Ranker | None:
    """The second model, compiled; `None` if none is needed.

    It has one embedding set of the first width and one flat expert, with the encoders and optimisers of the first one.
    """
    if late not in _TASKS:
        return None
    tasks = tuple(label.name for label in _TASKS[late])
    own = dataclasses.replace(
        config.model,
        model="shared_bottom",
        tasks=tasks,
        task_weights=(),
        widths=config.model.widths[:1],
        experts=("flat",),
        levels=1,
    )
    model = build_model(own, delay_schema(schema, late=late), seed=config.train.seed + 1)
    compile_model(model, config.optimizer, total_steps=1)
    return model


def with_wait(batch: Batch, *, waited_days: tf.Tensor) -> dict[str, tf.Tensor]:
    """The batch with the waiting time as the second model reads it."""
    return {**batch, WAITED: tf.math.log1p(24.0 * tf.cast(waited_days, tf.float32))}


def delay_loss(model: Ranker, batch: Batch, rows: dict[str, tf.Tensor]) -> tf.Tensor:
    """Cross entropy of the two classifiers of ES-DFM on clicks with complete labels, and the penalty.

    Args:
      model: The second model.
      batch: Columns.
      rows: `row/<field>` of `TrainingRows`, of role `COMPLETE`.
    """
    logits, penalty = model.logits_and_penalty(with_wait(batch, waited_days=rows["row/waited"]))
    converted = rows["row/label"] > 0.5
    in_time = converted & tf.math.is_nan(rows["row/silent"])
    delayed, real = es_dfm_targets(converted=converted, in_time=in_time)
    return (
        binary_cross_entropy(labels=delayed, logits=logits[DELAYED])
        + binary_cross_entropy(labels=real, logits=logits[REAL])
        + penalty
    )
