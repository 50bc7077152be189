"""What a control measures of a model, by hand: a stand-in answers with known logits, doubts and groups."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data.schema.features import IdMap, Label, Sparse, Vector
from fullrank.data.schema.schema import Schema
from fullrank.trainers.controls.measure import batches_of, measure, oracle, scores

LABELS = np.array([1, 0, 1, 0, 1, 0], np.float32)
ROWS: dict[str, Any] = {
    "x": np.array([[3], [-2], [2], [-1], [0.5], [1]], np.float32),
    "trait": np.array([0, 1, 2, 0, 1, 2]),
    "click": LABELS,
    "true_click": np.array([1, -1, 2, -2, 3, 0.5], np.float32),
}
SCHEMA = Schema(
    name="known",
    features=(Vector(name="x", length=1), Sparse(name="trait", side="user", ids=IdMap(kind="identity", size=3))),
    labels=(Label(name="click", mean=0.5),),
)


class Known:
    """A ranker whose logit is x, whose variance is that of `variances`, and whose codes are the trait plus one."""

    schema = SCHEMA
    wiring = types.SimpleNamespace(tasks=("click",))

    def __init__(self, *, is_uncertain: bool = False, learns_groups: bool = False) -> None:
        self.is_uncertain, self.learns_groups = is_uncertain, learns_groups
        self.trunk = types.SimpleNamespace(
            field_names=("trait",), groups=types.SimpleNamespace(learners={"user": object()})
        )

    def logits(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"click": batch["x"][:, 0]}

    def __call__(self, batch: Mapping[str, tf.Tensor], *, training: bool) -> dict[str, tf.Tensor]:
        assert not training
        return {task: tf.sigmoid(each) for task, each in self.logits(batch).items()}

    def logit_distributions(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        return {task: (each, tf.square(each)) for task, each in self.logits(batch).items()}

    def group_codes(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"user": tf.stack([batch["trait"] + 1, tf.zeros_like(batch["trait"])], axis=1)}


def measured(model: Known, **hidden: Any) -> dict[str, float]:
    rows = {**ROWS, **{f"hidden_{name}": np.asarray(values) for name, values in hidden.items()}}
    return measure(model, rows, logits=model.logits, field=None)  # type: ignore[arg-type]


def test_only_what_rows_can_tell_is_measured() -> None:
    found = measured(Known())
    assert set(found) == {"auc", "worst_auc", "first_auc", "last_auc", "ne"}
    # Of nine pairs, the positive with .5 is below the negative with 1.
    assert found["auc"] == pytest.approx(8 / 9)
    losses = np.logaddexp(0, np.where(LABELS == 1, -1, 1) * ROWS["x"][:, 0].astype(np.float64))
    assert found["ne"] == pytest.approx(losses.mean() / np.log(2))
    assert "far_auc" not in measured(Known(), far=np.ones(6))


def test_rows_come_in_batches_of_what_the_model_reads() -> None:
    rows = {name: np.concatenate([values] * 1000) for name, values in ROWS.items()}
    first, second = batches_of(Known(), rows)  # type: ignore[arg-type]
    assert set(first) == {"x", "trait"}
    assert (first["x"].shape, second["trait"].shape) == ((4096, 1), (6000 - 4096,))
    np.testing.assert_array_equal(tf.concat([first["x"], second["x"]], axis=0), rows["x"])


def test_doubt_is_the_variance_of_a_head_that_has_one() -> None:
    # Three rows are far: those with the largest |x|. Their variance x^2 is the largest, p (1 - p) the smallest.
    far = [1, 1, 1, 0, 0, 0]
    assert measured(Known(is_uncertain=True), far=far)["far_auc"] == 1.0
    assert measured(Known(), far=far)["far_auc"] == 0.0


def test_groups_are_the_first_codes_or_clusters_of_the_users_values() -> None:
    same, none = [2, 0, 1, 2, 0, 1], [0, 0, 0, 1, 1, 1]
    for learns in (True, False):
        assert measured(Known(learns_groups=learns), group=same)["nmi"] == pytest.approx(1.0)
    assert measured(Known(learns_groups=True), group=none)["nmi"] == pytest.approx(0.0, abs=1e-9)


def test_rows_inside_and_first_exposures_count_by_themselves() -> None:
    rows = {**ROWS, "hidden_inside": np.array([1, 1, 0, 0, 0, 0]), "hidden_fresh": np.array([1, 0, 1, 0, 0, 0])}
    found = scores({"click": ROWS["x"][:, 0]}, rows)
    inside = (np.logaddexp(0, -3.0) + np.logaddexp(0, -2.0)) / 2 / np.log(2)
    assert found["inside_ne"] == pytest.approx(inside)
    assert found["fresh_auc"] == 1.0  # 3 and 2 are the largest


def test_the_oracle_knows_the_logit_and_the_hidden_truth() -> None:
    assert "nmi" not in oracle(ROWS, tasks=("click",))
    found = oracle({**ROWS, "hidden_group": np.arange(6), "hidden_far": LABELS}, tasks=("click",))
    assert (found["nmi"], found["far_auc"]) == (1.0, 1.0)
    assert found["auc"] == 1.0
    assert found["ne"] == pytest.approx(
        np.logaddexp(0, np.where(LABELS == 1, -1, 1) * ROWS["true_click"].astype(np.float64)).mean() / np.log(2)
    )
