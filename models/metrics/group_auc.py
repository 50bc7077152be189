"""GAUC: the AUC within each key (user, request), averaged over keys."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.factorise import factorise, has_key


class KeyAucs(NamedTuple):
    """AUC of each key, `[K]`: the keys' codes, AUC (NaN with one class), weight of all rows and of positives, rows."""

    key: npt.NDArray[np.int64]
    auc: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    positives: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]


def group_auc(
    *, keys: npt.ArrayLike, labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Computes GAUC = sum_k W_k AUC_k / sum_k W_k over the keys k that have both classes.

    W_k is the weight of the key's rows: its impressions, the usual choice. `key_aucs` returns what the other choices
    need: the mean over keys (each counts the same, however little it shows) or the mean by positives (heavy clickers
    count most).

    Args:
        keys: Integers, bytes or strings, `[N]`; a row with -1 or an empty string has no key and is left out.
        labels: `[N]` in [0, 1]; NaN where not observed.
        scores: `[N]`; only their order within a key matters. Ties count one half.
        weights: `[N]`, not negative; default 1. Rows of weight 0 are left out.

    Returns:
        GAUC, or NaN if no key has both classes.

    Raises:
        ValueError: If lengths differ or keys are not ids.
    """
    _, codes = factorise(values=keys, column="keys")
    label_array, score_array = (np.asarray(values).reshape(-1) for values in (labels, scores))
    weight_array = np.ones(label_array.size) if weights is None else np.asarray(weights).reshape(-1)
    sizes = (codes.size, label_array.size, score_array.size, weight_array.size)
    if len(set(sizes)) > 1:
        raise ValueError(
            "group_auc takes one key, label, score and weight per row; received "
            f"{sizes[0]} keys, {sizes[1]} labels, {sizes[2]} scores, {sizes[3]} weights"
        )
    keyed = has_key(keys)
    return mean_auc(
        key_aucs(keys=codes[keyed], labels=label_array[keyed], scores=score_array[keyed], weights=weight_array[keyed])
    )


def mean_auc(aucs: KeyAucs) -> float:
    """Returns the mean by weight over the keys whose AUC is defined; NaN if there is none."""
    defined = ~np.isnan(aucs.auc)
    weight = aucs.weight[defined]
    return float(np.sum(weight * aucs.auc[defined]) / np.sum(weight)) if weight.size else float("nan")


def key_aucs(
    *,
    keys: npt.NDArray[np.int64],
    labels: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating],
) -> KeyAucs:
    """Computes the AUC of every key with one sort and no loop over keys.

    Args:
        keys: `[N]`.
        labels: `[N]` in [0, 1]; NaN where not observed.
        scores: `[N]`.
        weights: `[N]`, not negative.

    Returns:
        One entry per key that has an observed row of positive weight, in order of key.
    """
    used = ~np.isnan(labels) & (weights > 0.0)
    keys, labels, scores, weights = keys[used], labels[used], scores[used], weights[used]
    order = np.lexsort((scores, keys))
    key, score = keys[order], scores[order]
    weight = weights[order].astype(np.float64)
    positive = weight * labels[order]
    if not key.size:
        empty = np.zeros(0)
        return KeyAucs(key, empty, empty, empty, np.zeros(0, np.int64))
    new_key = np.concatenate(([True], key[1:] != key[:-1]))
    new_run = new_key | np.concatenate(([True], score[1:] != score[:-1]))
    # A run is the rows of one key with one score: its positives win against the key's negatives in earlier runs, and
    # tie with those in it.
    runs = np.flatnonzero(new_run)
    run_positive = np.add.reduceat(positive, runs)
    run_negative = np.add.reduceat(weight - positive, runs)
    first_runs = np.flatnonzero(new_key[runs])
    before = np.cumsum(run_negative) - run_negative
    before -= np.repeat(before[first_runs], np.diff(np.append(first_runs, runs.size)))
    won = np.add.reduceat(run_positive * (before + 0.5 * run_negative), first_runs)
    key_positive = np.add.reduceat(run_positive, first_runs)
    key_negative = np.add.reduceat(run_negative, first_runs)
    pairs = key_positive * key_negative
    auc = np.full(pairs.shape, np.nan)
    np.divide(won, pairs, out=auc, where=pairs > 0.0)
    first_rows = runs[first_runs]
    rows = np.diff(np.append(first_rows, key.size))
    return KeyAucs(key[first_rows], auc, key_positive + key_negative, key_positive, rows)
