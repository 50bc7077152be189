"""Off-policy estimates of a policy's reward from a log with known action probabilities ([Tencent] §6.4)."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from fullrank.analysis.comparisons.key_bootstrap import check_confidence
from fullrank.analysis.comparisons.paired import wilson_interval

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyValue:
    """Mean reward of a policy.

    Attributes:
      value: The estimate.
      low: Lower end of its interval; NaN for fewer than two rows, which have no spread.
      high: Upper end.
      effective: Effective number of rows, `(sum w)^2 / sum w^2`; the estimate is about as precise as from this many
        rows of the policy itself.
    """

    value: float
    low: float
    high: float
    effective: float


def policy_values(
    *,
    rewards: npt.ArrayLike,
    logged: npt.ArrayLike,
    target: npt.ArrayLike,
    model_logged: npt.ArrayLike | None = None,
    model_target: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> dict[str, PolicyValue]:
    """Estimates of the target policy's value V = E_x E_{a ~ pi(.|x)} r(x, a).

    With `w_i = pi(a_i | x_i) / p_i`:

        ips    mean_i w_i r_i                                        unbiased, wide
        snips  sum_i w_i r_i / sum_i w_i                             self-normalised: a little bias, narrower
        dr     mean_i ( q(x_i, pi) + w_i (r_i - q(x_i, a_i)) )       doubly robust: unbiased if p or q is right

    where q is a reward model, not trained on these rows. Intervals are normal ones from the rows' own spread (for snips
    by the delta method), and rows are assumed to be independent. With few rewarded rows of large weight they are too
    narrow: check `effective`.

    Args:
      rewards: `[N]`, r.
      logged: `[N]`, p: probability with which the log's policy took the action that it took.
      target: `[N]`, pi: probability with which the target policy takes that action.
      model_logged: `[N]`, q of the action taken; with `model_target` adds `dr`.
      model_target: `[N]`, mean of q over the target policy's actions.
      confidence: Level of the intervals, in (0, 1).

    Raises:
      ValueError: If lengths differ, there are no rows, a reward or a model value is not finite, a logged probability is
        not in (0, 1], only one of the model values is given, or `confidence` is out of range.
    """
    if (model_logged is None) != (model_target is None):
        raise ValueError("A doubly robust estimate needs both model_logged and model_target.")
    reach = _reach(confidence)
    reward, weights = _weights(rewards, logged, target)
    effective = _effective(weights)
    values = {
        "ips": _estimate(weights * reward, effective, reach),
        "snips": _shifted(*_self_normalised(reward, weights), effective, reach),
    }
    if model_logged is not None and model_target is not None:
        q, q_target = (np.asarray(given, np.float64) for given in (model_logged, model_target))
        if not q.shape == q_target.shape == reward.shape:
            raise ValueError(
                "model_logged and model_target need one value for each row, as rewards do. "
                f"Received: {q.shape} and {q_target.shape} for rewards {reward.shape}."
            )
        _check_finite("model_logged", q)
        _check_finite("model_target", q_target)
        values["dr"] = _estimate(q_target + weights * (reward - q), effective, reach)
    return values


def value_difference(
    *,
    rewards: npt.ArrayLike,
    logged: npt.ArrayLike,
    target: npt.ArrayLike,
    baseline: npt.ArrayLike,
    confidence: float = 0.95,
) -> PolicyValue:
    """Self-normalised value of a policy minus that of another one, from the same rows, whose errors are correlated.

    Args:
      rewards: `[N]`.
      logged: `[N]`, probability with which the log's policy took the action that it took.
      target: `[N]`, probability with which the policy takes that action.
      baseline: `[N]`, probability with which the other one does.
      confidence: Level of the interval, in (0, 1).

    Raises:
      ValueError: As `policy_values`.
    """
    reward, weights = _weights(rewards, logged, target)
    _, others = _weights(rewards, logged, baseline)
    (value, influence), (other, away) = _self_normalised(reward, weights), _self_normalised(reward, others)
    reach = _reach(confidence)
    return _shifted(value - other, influence - away, min(_effective(weights), _effective(others)), reach)


def on_policy_value(*, rewards: npt.ArrayLike, confidence: float = 0.95) -> PolicyValue:
    """The mean reward of the policy that made the log.

    Raises:
      ValueError: If rewards are not `[N]` with N >= 1 or not finite, or `confidence` is not in (0, 1).
    """
    reward = np.asarray(rewards, np.float64)
    if reward.ndim != 1 or not reward.size:
        raise ValueError(f"rewards are [N], N >= 1. Received: {reward.shape}.")
    _check_finite("rewards", reward)
    return _estimate(reward, float(len(reward)), _reach(confidence))


def widened(value: PolicyValue) -> PolicyValue:
    """A value of rewards that are 0 or 1, with an interval that does not collapse if few rewards were observed.

    The rows' own spread is 0 if none of the matching rows was rewarded, however few they are. So each side reaches at
    least as far as Wilson's interval for the effective number of rows.

    Args:
      value: A value with the 95 % interval of its rows' spread.
    """
    if not value.effective or np.isnan(value.value):
        return dataclasses.replace(value, low=float("nan"), high=float("nan"))
    rate = float(np.clip(value.value, 0, 1))
    low, high = wilson_interval(rate=rate, examples=value.effective)
    return dataclasses.replace(
        value,
        low=min(value.low, value.value - (rate - float(low))),
        high=max(value.high, value.value + (float(high) - rate)),
    )


def independent_difference(value: PolicyValue, other: PolicyValue) -> PolicyValue:
    """The difference of two values with independent errors; each side combines the sides that it depends on."""
    gap = value.value - other.value
    return PolicyValue(
        value=gap,
        low=gap - float(np.hypot(value.value - value.low, other.high - other.value)),
        high=gap + float(np.hypot(value.high - value.value, other.value - other.low)),
        effective=min(value.effective, other.effective),
    )


def _weights(rewards: npt.ArrayLike, logged: npt.ArrayLike, target: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Rewards and `pi / p`, checked."""
    reward, p, pi = (np.asarray(given, np.float64) for given in (rewards, logged, target))
    if not reward.shape == p.shape == pi.shape or reward.ndim != 1 or not reward.size:
        raise ValueError(
            f"rewards, logged and target are [N], N >= 1. Received: {reward.shape}, {p.shape}, {pi.shape}."
        )
    _check_finite("rewards", reward)
    if not ((p > 0) & (p <= 1)).all():
        raise ValueError(f"Logged probabilities lie in (0, 1]. Received: {p.min():g} to {p.max():g}.")
    if not ((pi >= 0) & (pi <= 1 + 1e-6)).all():
        raise ValueError(f"Target probabilities lie in [0, 1]. Received: {pi.min():g} to {pi.max():g}.")
    return reward, pi / p


def _check_finite(name: str, values: Floats) -> None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite. Received: {values[wrong[0]]} in row {wrong[0]}, and {wrong.size} such rows in all."
        )


def _reach(confidence: float) -> float:
    """The number of standard errors that a normal interval reaches to either side."""
    check_confidence(confidence)
    return float(ndtri(0.5 + confidence / 2))


def _effective(weights: Floats) -> float:
    squares = float(np.sum(weights**2))
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def _self_normalised(reward: Floats, weights: Floats) -> tuple[float, Floats]:
    """The value, and the influence of each row on it times the number of rows; NaN without weight."""
    total = float(weights.sum())
    if not total:
        return float("nan"), np.full_like(weights, np.nan)
    value = float(np.sum(weights * reward)) / total
    return value, weights * (reward - value) * (len(reward) / total)


def _estimate(terms: Floats, effective: float, reach: float) -> PolicyValue:
    return _shifted(float(terms.mean()), terms - terms.mean(), effective, reach)


def _shifted(value: float, influence: Floats, effective: float, reach: float) -> PolicyValue:
    number = len(influence)
    error = float(np.sqrt(np.mean(influence**2) / (number - 1))) if number > 1 else float("nan")
    return PolicyValue(value=value, low=value - reach * error, high=value + reach * error, effective=effective)
