"""What a trained model is worth on held-out planted rows, and what the truth itself is worth there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score

from fullrank.analysis.embeddings.spectrum import (
    information_abundance,
    isotropic_abundance,
    output_rank,
    spectrum,
)
from fullrank.data.schema.features import Sequence
from fullrank.models import Ranker
from fullrank.models.part_measures import measure_parts

_STEP: Final = 4096
_CLUSTERED: Final = 16_384
GROUP: Final = "hidden_group"
NEW: Final = "hidden_new"
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
    tasks = model.wiring.tasks
    parts = [{task: each.numpy() for task, each in logits(batch).items()} for batch in _batches(model, rows)]
    found = scores({task: np.concatenate([part[task] for part in parts]) for task in tasks}, rows)
    if field is not None:
        tables = [layer.table(field).numpy()[_RESERVED:] for layer in model.sets.values()]
        joined = np.concatenate(tables, axis=1)
        found["ia"] = information_abundance(spectrum(joined).singular_values)
        found["ia_isotropic"] = isotropic_abundance(rows=joined.shape[0], width=joined.shape[1])
        found |= _output_ranks(model, rows)
    if any(isinstance(feature, Sequence) for feature in model.schema.features):
        measured = measure_parts(model, next(iter(_batches(model, rows))))
        attention = [float(each) for name, each in measured.items() if name.startswith("attention/")]
        found |= {"attention": float(np.mean(attention))} if attention else {}
    if GROUP in rows:
        found["nmi"] = _group_information(model, rows)
    return found


def oracle(rows: Rows, *, tasks: Iterable[str]) -> dict[str, float]:
    """The metrics of the true logits."""
    found = scores({task: rows[f"true_{task}"] for task in tasks}, rows)
    return found | ({"nmi": 1.0} if GROUP in rows else {})


def scores(logits: Rows, rows: Rows) -> dict[str, float]:
    """`auc` and `ne` as means over tasks, `worst_auc`, `last_auc`, and `new_auc` where rows say what is new."""
    aucs = {task: float(roc_auc_score(rows[task], logit)) for task, logit in logits.items()}
    found = {
        "auc": float(np.mean(list(aucs.values()))),
        "worst_auc": min(aucs.values()),
        "last_auc": list(aucs.values())[-1],
        "ne": float(np.mean([normalised_entropy(rows[task], logit) for task, logit in logits.items()])),
    }
    if NEW in rows:
        new = rows[NEW] == 1
        found["new_auc"] = float(np.mean([roc_auc_score(rows[t][new], logit[new]) for t, logit in logits.items()]))
    return found


def normalised_entropy(labels: npt.NDArray[Any], logits: npt.NDArray[Any]) -> float:
    """Cross entropy over the entropy of the base rate of these rows."""
    exact, wanted = logits.astype(np.float64), labels.astype(np.float64)
    loss = np.mean(np.logaddexp(0.0, exact) - wanted * exact)
    rate = wanted.mean()
    return float(loss / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)))


def _batches(model: Ranker, rows: Rows) -> Iterable[dict[str, tf.Tensor]]:
    names = [column.name for column in model.schema.input_columns]
    number = len(next(iter(rows.values())))
    for start in range(0, number, _STEP):
        yield {name: tf.constant(rows[name][start : start + _STEP]) for name in names}


def _output_ranks(model: Ranker, rows: Rows) -> dict[str, float]:
    """`rank_experts`, effective rank of an expert's outputs, mean over experts, and `rank_read`, of what is read."""
    mixed = model.trunk(next(iter(_batches(model, rows))), training=False)
    experts, read = mixed.experts.numpy(), mixed.read.numpy()
    return {
        "rank_experts": float(np.mean([output_rank(experts[:, number]) for number in range(experts.shape[1])])),
        "rank_read": float(np.mean([output_rank(read[:, number]) for number in range(read.shape[1])])),
    }


def _group_information(model: Ranker, rows: Rows) -> float:
    """What the first code, or without learned groups a cluster of the user's fields, tells of the planted group."""
    truth = rows[GROUP][:_CLUSTERED]
    batches = list(_batches(model, {name: each[:_CLUSTERED] for name, each in rows.items()}))
    if model.learns_groups:
        place = next(iter(model.trunk.groups.learners))
        found = np.concatenate([model.group_codes(batch)[place].numpy()[:, 0] for batch in batches])
    else:
        sides = {feature.name: feature.side for feature in model.schema.features}
        places = [k for k, name in enumerate(model.trunk.field_names) if sides.get(name) == "user"]
        fields = np.concatenate([model.inside(batch).fields[0].numpy()[:, places] for batch in batches])
        clusters = KMeans(n_clusters=int(truth.max()) + 1, n_init=3, random_state=0)
        found = clusters.fit_predict(fields.reshape(len(truth), -1))
    return float(normalized_mutual_info_score(truth, found))
