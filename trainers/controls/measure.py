"""Metrics of a trained model, and of the truth itself, on held-out planted rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from fullrank.analysis.embeddings.spectrum import (
    information_abundance,
    isotropic_abundance,
    output_rank,
    spectrum,
)
from fullrank.data.schema.features import Sequence
from fullrank.models import Ranker
from fullrank.models.metrics.normalised_entropy import normalised_entropy
from fullrank.models.part_measures import measure_parts

_STEP: Final = 4096
_CLUSTERED: Final = 16_384
GROUP: Final = "hidden_group"
NEW: Final = "hidden_new"
INSIDE: Final = "hidden_inside"
FRESH: Final = "hidden_fresh"
FAR: Final = "hidden_far"
_RESERVED: Final = 2
"""Rows at the head of a table that no planted id has: missing, and unknown."""

Rows = Mapping[str, npt.NDArray[Any]]


def measure(
    model: Ranker, rows: Rows, *, logits: Callable[[Any], Mapping[str, tf.Tensor]], field: str | None
) -> dict[str, float]:
    """The metrics of a control that a model has, and `attention`, the entropy of its sequences' attention over log n.

    Args:
      model: The model.
      rows: Held-out rows with their labels.
      logits: The model's logits of a batch, traced.
      field: Table whose information abundance is measured over all sets; `None` for none.
    """
    found = predictions_scores(model, rows, logits=logits)
    if field is not None:
        tables = [layer.table(field).numpy()[_RESERVED:] for layer in model.sets.values()]
        joined = np.concatenate(tables, axis=1)
        found["ia"] = information_abundance(spectrum(joined).singular_values)
        found["ia_isotropic"] = isotropic_abundance(rows=joined.shape[0], width=joined.shape[1])
        found |= _output_ranks(model, rows)
    if any(isinstance(feature, Sequence) for feature in model.schema.features):
        measured = measure_parts(model, next(iter(batches_of(model, rows))))
        attention = [float(each) for name, each in measured.items() if name.startswith("attention/")]
        found |= {"attention": float(np.mean(attention))} if attention else {}
    if GROUP in rows:
        found["nmi"] = _group_information(model, rows)
    if _tells(rows, FAR):
        doubts = np.concatenate([_doubt(model, batch, model.wiring.tasks[0]) for batch in batches_of(model, rows)])
        found["far_auc"] = float(roc_auc_score(rows[FAR], doubts))
    return found


def predictions_scores(
    model: Ranker, rows: Rows, *, logits: Callable[[Any], Mapping[str, tf.Tensor]]
) -> dict[str, float]:
    """The `scores` of a model's logits of all rows."""
    parts = [{task: each.numpy() for task, each in logits(batch).items()} for batch in batches_of(model, rows)]
    return scores({task: np.concatenate([part[task] for part in parts]) for task in model.wiring.tasks}, rows)


def oracle(rows: Rows, *, tasks: Iterable[str]) -> dict[str, float]:
    """The metrics of the true logits, and 1 where an oracle knows the hidden truth that is asked for."""
    found = scores({task: rows[f"true_{task}"] for task in tasks}, rows)
    known = {"nmi": GROUP, "far_auc": FAR, "fresh_auc": FRESH}
    return found | {metric: 1.0 for metric, column in known.items() if column in rows}


def scores(logits: Rows, rows: Rows) -> dict[str, float]:
    """`auc` and `ne` as means over tasks, `worst_auc`, `first_auc`, `last_auc`, and what hidden truths allow.

    `new_auc` is the AUC among new ads, `inside_ne` the NE of rows inside, `fresh_auc` the probability that a first
    exposure scores higher than a repeat.
    """
    aucs = {task: float(roc_auc_score(rows[task], logit)) for task, logit in logits.items()}
    found = {
        "auc": float(np.mean(list(aucs.values()))),
        "worst_auc": min(aucs.values()),
        "first_auc": next(iter(aucs.values())),
        "last_auc": list(aucs.values())[-1],
        "ne": float(np.mean([normalised_entropy(rows[task], logit) for task, logit in logits.items()])),
    }
    if _tells(rows, NEW):
        new = rows[NEW] == 1
        found["new_auc"] = float(np.mean([roc_auc_score(rows[t][new], logit[new]) for t, logit in logits.items()]))
    if _tells(rows, INSIDE):
        inside = rows[INSIDE] == 1
        parts = [normalised_entropy(rows[task][inside], logit[inside]) for task, logit in logits.items()]
        found["inside_ne"] = float(np.mean(parts))
    if _tells(rows, FRESH):
        found["fresh_auc"] = float(np.mean([roc_auc_score(rows[FRESH], logit) for logit in logits.values()]))
    return found


def _tells(rows: Rows, column: str) -> bool:
    """Whether rows hold a hidden truth, and both of its values."""
    return column in rows and 0.0 < float(np.mean(rows[column])) < 1.0


def _doubt(model: Ranker, batch: Mapping[str, tf.Tensor], task: str) -> npt.NDArray[Any]:
    """The variance of the logit with a head that has one, else that of a label with the predicted probability."""
    if model.is_uncertain:
        variance: npt.NDArray[Any] = model.logit_distributions(batch)[task][1].numpy()
        return variance
    probability = model(batch, training=False)[task].numpy()
    doubt: npt.NDArray[Any] = probability * (1.0 - probability)
    return doubt


def batches_of(model: Ranker, rows: Rows) -> Iterable[dict[str, tf.Tensor]]:
    """Rows as batches of what a model reads."""
    names = [column.name for column in model.schema.input_columns]
    number = len(next(iter(rows.values())))
    for start in range(0, number, _STEP):
        yield {name: tf.constant(rows[name][start : start + _STEP]) for name in names}


def _output_ranks(model: Ranker, rows: Rows) -> dict[str, float]:
    """`rank_experts`, effective rank of an expert's outputs, mean over experts, and `rank_read`, of what is read."""
    mixed = model.trunk(next(iter(batches_of(model, rows))), training=False)
    experts, read = mixed.experts.numpy(), mixed.read.numpy()
    return {
        "rank_experts": float(np.mean([output_rank(experts[:, number]) for number in range(experts.shape[1])])),
        "rank_read": float(np.mean([output_rank(read[:, number]) for number in range(read.shape[1])])),
    }


def _group_information(model: Ranker, rows: Rows) -> float:
    """Information of the first code, or of a cluster of the user's values, about the planted group."""
    truth = rows[GROUP][:_CLUSTERED]
    batches = list(batches_of(model, {name: each[:_CLUSTERED] for name, each in rows.items()}))
    if model.learns_groups:
        place = next(iter(model.trunk.groups.learners))
        found = np.concatenate([model.group_codes(batch)[place].numpy()[:, 0] for batch in batches])
    else:
        sides = {feature.name: feature.side for feature in model.schema.features}
        names = [name for name in model.trunk.field_names if sides.get(name) == "user"]
        given = np.stack([rows[name][:_CLUSTERED] for name in names], axis=1)
        shown = OneHotEncoder(dtype=np.float32).fit_transform(given)
        found = KMeans(n_clusters=int(truth.max()) + 1, n_init=3, random_state=0).fit_predict(shown)
    return float(normalized_mutual_info_score(truth, found))
