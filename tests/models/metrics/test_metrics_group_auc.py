"""GAUC: by hand, and against scikit-learn key by key."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fullrank.models.metrics import group_auc
from fullrank.models.metrics.group_auc import key_aucs
from fullrank.models.metrics.key_rows import key_codes


def slow_group_auc(keys: Any, labels: Any, scores: Any, weights: Any) -> float:
    total, norm = 0.0, 0.0
    for key in set(keys.tolist()) - {-1}:  # -1 is not a key
        rows = (keys == key) & ~np.isnan(labels) & (weights > 0)
        if np.unique(labels[rows]).size == 2:
            weight = weights[rows].sum()
            total += weight * roc_auc_score(labels[rows], scores[rows], sample_weight=weights[rows])
            norm += weight
    return total / norm if norm else math.nan


def test_three_keys_by_hand() -> None:
    # Key 7: .9 beats .1 and loses to nothing, AUC 1, 2 rows. Key 3: positive .5 ties with one negative and beats the
    # other, AUC .75, 3 rows. Key 5 has no positive. (2 * 1 + 3 * .75) / 5 = .85
    keys = [7, 3, 3, 5, 7, 3]
    labels = [1, 1, 0, 0, 0, 0]
    scores = [0.9, 0.5, 0.5, 0.7, 0.1, 0.2]
    assert group_auc(keys=keys, labels=labels, scores=scores) == pytest.approx(0.85, abs=1e-12)


def test_key_aucs_name_every_key() -> None:
    aucs = key_aucs(
        keys=np.array([2, 1, 2]), labels=np.array([1.0, 1.0, 0.0]), scores=np.array([0.1, 0.2, 0.3]), weights=np.ones(3)
    )
    np.testing.assert_array_equal(aucs.key, [1, 2])
    np.testing.assert_array_equal(aucs.auc, [math.nan, 0.0])
    np.testing.assert_array_equal(aucs.weight, [1.0, 2.0])
    np.testing.assert_array_equal(aucs.positives, [1.0, 1.0])


def test_one_key_is_the_plain_auc() -> None:
    generator = np.random.default_rng(0)
    labels, scores = generator.integers(0, 2, 500), generator.random(500).round(2)
    plain = roc_auc_score(labels, scores)
    assert group_auc(keys=np.zeros(500, int), labels=labels, scores=scores) == pytest.approx(plain, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-2, 3),
            st.sampled_from([0.0, 1.0, math.nan]),
            st.sampled_from([0.1, 0.2, 0.2, 0.7]),
            st.sampled_from([0.0, 0.5, 2.0]),
        ),
        max_size=60,
    )
)
def test_agrees_with_a_loop_over_keys(rows: list[tuple[int, float, float, float]]) -> None:
    table = np.array(rows, np.float64).reshape(-1, 4)
    keys, labels, scores, weights = table[:, 0].astype(np.int64), *table[:, 1:].T
    found = group_auc(keys=keys, labels=labels, scores=scores, weights=weights)
    assert found == pytest.approx(slow_group_auc(keys, labels, scores, weights), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    "keys",
    [
        np.array([b"a", b"b", b"a"], object),
        np.array(["a", "b", "a"]),
        np.array([b"a", b"b", b"a"]),
        np.array([2**63 + 1, 5, 2**63 + 1], np.uint64),
        [[1], [0], [1]],
    ],
)
def test_any_kind_of_id_is_a_key(keys: Any) -> None:
    assert group_auc(keys=keys, labels=[1, 1, 0], scores=[0.9, 0.1, 0.2]) == 1.0


def test_hashed_keys_are_the_same_for_text_and_bytes_in_every_process() -> None:
    # blake2b with 8 bytes of output, read as a little-endian signed integer.
    expected = np.array([int.from_bytes(bytes.fromhex("40f89e395b66422f"), "little", signed=True)])
    for keys in (np.array([b"a"], object), np.array(["a"])):
        np.testing.assert_array_equal(key_codes(keys=keys, column="user"), expected)


def test_no_key_with_both_classes_gives_nan() -> None:
    assert math.isnan(group_auc(keys=[1, 2], labels=[0, 1], scores=[0.1, 0.2]))
    assert math.isnan(group_auc(keys=[], labels=[], scores=[]))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="received 2 keys, 1 labels, 2 scores, 1 weights"):
        group_auc(keys=[1, 2], labels=[0], scores=[0.1, 0.2])


@pytest.mark.parametrize("keys", [[0.5, 1.5], np.array([b"a", 3], object)])
def test_other_keys_are_refused(keys: Any) -> None:
    with pytest.raises(ValueError, match="give integers, bytes or strings; received"):
        group_auc(keys=keys, labels=[0, 1], scores=[0.1, 0.2])
