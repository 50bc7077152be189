"""The share of repeated exposures in what a model would show, from ranking logged candidates again ([Tencent] §6.2).

A penalty on the scores of the baseline, without weights in training, serves as a comparison.
"""

from __future__ import annotations

import dataclasses
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from fullrank.analysis.comparisons.key_bootstrap import check_confidence, ratio_intervals

_LARGEST: Final = 20.0
_HALVINGS: Final = 40
_CLIP: Final = 1e-7


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExposureReplay:
    """Two models' choices among the same candidates.

    Attributes:
      requests: Number of requests.
      shown: Number of candidates that each model shows.
      share_baseline: Share of repeated exposures in what the baseline shows.
      share: That of the model.
      change: `100 (share / share_baseline - 1)`, in percent; negative is fewer repeats. NaN if the baseline has none.
      low: Lower end of its bootstrap interval over keys; NaN with too few of them, see `ratio_intervals`.
      high: Upper end.
      auc_baseline: AUC of the baseline over all candidates with a label; NaN without labels of both classes.
      auc: That of the model: the aim is fewer repeats at an equal AUC; a lower AUC is their price.
    """

    requests: int
    shown: int
    share_baseline: float
    share: float
    change: float
    low: float
    high: float
    auc_baseline: float
    auc: float


def exposure_replay(
    *,
    requests: npt.ArrayLike,
    repeated: npt.ArrayLike,
    baseline: npt.ArrayLike,
    scores: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    keys: npt.ArrayLike | None = None,
    slots: int = 1,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> ExposureReplay:
    """Ranks each request's candidates by either score and counts repeats among the first `slots`.

    The history behind `repeated` stays as logged: it does not depend on what a model would have shown earlier, so the
    effect of a model over time may be larger or smaller than in the replay. Equal scores keep the order of the rows.

    Args:
      requests: `[N]` integers or strings; rows of one request are its candidates.
      repeated: `[N]` bool, whether the user had seen the ad or a similar one before, as `exposure_history` counts.
      baseline: `[N]` scores of the baseline.
      scores: `[N]` scores of the model that is compared.
      labels: `[N]`, 0 or 1, NaN where not observed; only AUC needs them.
      keys: `[N]` integers or strings, the independent units, such as users; requests if `None`. A request belongs to
        one key.
      slots: Candidates shown per request, or all of them if there are fewer.
      confidence: Confidence of the interval.
      draws: Draws of the bootstrap.
      seed: Seed of the bootstrap.

    Raises:
      ValueError: If lengths differ, there is no candidate, a score is NaN, or `slots` < 1.
    """
    check_confidence(confidence)
    request_ids, old, new = np.asarray(requests), np.asarray(baseline, np.float64), np.asarray(scores, np.float64)
    repeats = np.asarray(repeated, bool)
    key_ids = request_ids if keys is None else np.asarray(keys)
    truth = np.full(old.shape, np.nan) if labels is None else np.asarray(labels, np.float64)
    shapes = [values.shape for values in (request_ids, repeats, old, new, key_ids, truth)]
    if len(set(shapes)) > 1 or old.ndim != 1 or not old.size:
        raise ValueError(f"exposure_replay takes columns of one length, at least one row; received {shapes}")
    if np.isnan(old).any() or np.isnan(new).any() or slots < 1:
        broken = int(np.isnan(old).sum() + np.isnan(new).sum())
        raise ValueError(f"exposure_replay needs scores and slots >= 1; received {broken} NaN and slots={slots}")
    names, request = np.unique(request_ids, return_inverse=True)
    _, key = np.unique(key_ids, return_inverse=True)
    shown_old, shown_new = (first_slots(request, values, slots) for values in (old, new))
    repeats_old, repeats_new = ((repeats & shown).astype(np.float64) for shown in (shown_old, shown_new))
    found = ratio_intervals(
        groups=np.zeros_like(key),
        keys=key,
        numerators=repeats_new,
        denominators=repeats_old,
        confidence=confidence,
        draws=draws,
        seed=seed,
    )
    change, reach = 100.0 * (float(found.ratio[-1]) - 1.0), 100.0 * float(found.reach[-1])
    shown = int(shown_old.sum())
    total_old, total_new = float(repeats_old.sum()), float(repeats_new.sum())
    return ExposureReplay(
        requests=len(names),
        shown=shown,
        share_baseline=total_old / shown,
        share=total_new / shown,
        change=change,
        low=change - reach,
        high=change + reach,
        auc_baseline=_auc(truth, old),
        auc=_auc(truth, new),
    )


def first_slots(request: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], slots: int) -> npt.NDArray[np.bool_]:
    """Marks the rows among the `slots` best of their request; equal scores keep the order of the rows."""
    order = np.lexsort((-scores, request))
    sorted_request = request[order]
    place = np.arange(request.size)
    starts = np.ones(request.size, bool)
    starts[1:] = sorted_request[1:] != sorted_request[:-1]
    rank = place - np.maximum.accumulate(np.where(starts, place, 0))
    first = np.zeros(request.size, bool)
    first[order[rank < slots]] = True
    return first


def _auc(labels: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score  # takes long to load

    observed = ~np.isnan(labels)
    if len(np.unique(labels[observed])) < 2:
        return float("nan")
    return float(roc_auc_score(labels[observed], scores[observed]))


class ExposurePenalty(NamedTuple):
    """A constant subtracted from the logit of every repeat.

    Attributes:
      penalty: The constant; negative if the requested share is above the baseline's.
      share: Resulting share of repeats, the nearest one at or below the requested share.
      auc: AUC of the scores; NaN without labels of both classes.
    """

    penalty: float
    share: float
    auc: float


def equal_share_penalty(
    *,
    requests: npt.ArrayLike,
    repeated: npt.ArrayLike,
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    share: float,
    slots: int = 1,
) -> ExposurePenalty:
    """Finds the smallest penalty with which the first `slots` of each request hold at most `share` of repeats.

    The share falls as the penalty grows, so bisection finds it. A model that shows fewer repeats than its baseline is
    worth its training if its AUC is above that of the penalty.

    Args:
      requests: `[N]` integers or strings, as in `exposure_replay`.
      repeated: `[N]` bool.
      scores: `[N]` probabilities of the baseline.
      labels: `[N]`, 0 or 1, NaN where not observed.
      share: Requested share of repeats, from 0 to 1.
      slots: Candidates shown per request.
    """
    _, request = np.unique(np.asarray(requests), return_inverse=True)
    repeats, truth = np.asarray(repeated, bool), np.asarray(labels, np.float64)
    logits = logit(np.clip(np.asarray(scores, np.float64), _CLIP, 1 - _CLIP))

    def share_of(penalty: float) -> float:
        return float(repeats[first_slots(request, logits - penalty * repeats, slots)].mean())

    low, high = -_LARGEST, _LARGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if share_of(middle) <= share else (middle, high)
    return ExposurePenalty(high, share_of(high), _auc(truth, logits - high * repeats))
