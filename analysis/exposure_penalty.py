"""What fewer repeats cost without a weight in training: a penalty on the baseline's scores, for comparison."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from fullrank.analysis.policies.exposure_replay import first_slots

_LARGEST: Final = 20.0
_HALVINGS: Final = 40
_CLIP: Final = 1e-7


class ExposurePenalty(NamedTuple):
    """A constant taken from the logit of every repeat.

    Attributes:
      penalty: The constant; negative where the share asked for is above the baseline's.
      share: Share of repeats it leads to, the nearest one at or below what was asked for.
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
    """The smallest penalty with which the first `slots` of each request hold at most `share` of repeats.

    The share falls as the penalty grows, so halving an interval finds it. A model that shows fewer repeats than its
    baseline is worth its training if its AUC lies above that of this.

    Args:
      requests: `[N]` integers or strings, as of `exposure_replay`.
      repeated: `[N]` bool.
      scores: `[N]` probabilities of the baseline.
      labels: `[N]`, 0 or 1, NaN where not observed.
      share: Share of repeats to come down to, from 0 to 1.
      slots: Candidates shown a request.
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
    observed = ~np.isnan(truth)
    both = len(np.unique(truth[observed])) == 2
    penalised = (logits - high * repeats)[observed]
    auc = float(roc_auc_score(truth[observed], penalised)) if both else float("nan")
    return ExposurePenalty(high, share_of(high), auc)
