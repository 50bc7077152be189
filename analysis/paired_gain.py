"""NE gain over a baseline, on every segment (Meta §4): where a model that is better on average is worse."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import xlog1py, xlogy

from fullrank.analysis.confidence import check_confidence
from fullrank.analysis.key_bootstrap import percentile_interval, ratio_draws
from fullrank.analysis.tables import format_table

CLIP: Final = 1e-7
"""Probabilities are clipped to [CLIP, 1 - CLIP], as in the evaluation."""

ALL: Final = "(all)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentGain:
    """Two models on the rows of one segment.

    Attributes:
      segment: Its value; `ALL` for all rows.
      examples: Rows with a label and a weight.
      keys: Distinct keys among them.
      ne_baseline: Normalised entropy of the baseline, by the segment's own base rate; NaN with one class.
      ne: The same of the model.
      gain: `100 (ne_baseline - ne) / ne_baseline`, in percent; positive is better. NaN with one class.
      low: Lower end of its interval; NaN with fewer than two keys.
      high: Upper end.
    """

    segment: str
    examples: int
    keys: int
    ne_baseline: float
    ne: float
    gain: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["better", "worse", "not resolved"]:
        """Whether the whole interval lies on one side of zero."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "not resolved"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedGain:
    """The comparison on all rows and on each segment, the largest first."""

    overall: SegmentGain
    segments: tuple[SegmentGain, ...]

    def worst(self, *, min_keys: int = 2) -> SegmentGain | None:
        """The segment with the least gain among those with enough keys; `None` if no gain is defined."""
        known = [s for s in self.segments if s.keys >= min_keys and not np.isnan(s.gain)]
        return min(known, key=lambda s: s.gain, default=None)

    def describe(self, *, min_keys: int = 2) -> str:
        """A table of all, and a line on the worst segment."""
        columns = ("segment", "examples", "keys", "ne_baseline", "ne", "gain", "low", "high", "verdict")
        rows = [{name: getattr(s, name) for name in columns} for s in (self.overall, *self.segments)]
        lines = [format_table(rows=rows, columns=columns)]
        worst = self.worst(min_keys=min_keys)
        if worst is not None:
            lines.append(
                f"worst segment: {worst.segment}, NE gain {worst.gain:+.3f} % [{worst.low:+.3f}, {worst.high:+.3f}], "
                f"{worst.examples:,} examples of {worst.keys:,} keys: {worst.verdict}"
            )
        return "\n".join(lines)


def paired_gain(
    *,
    labels: npt.ArrayLike,
    baseline: npt.ArrayLike,
    predictions: npt.ArrayLike,
    segments: npt.ArrayLike | None = None,
    keys: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> PairedGain:
    """Compares two models' predictions for the same rows.

    Both normalised entropies have the same denominator, so the gain is `1 - sum loss / sum loss of the baseline`. The
    interval is a percentile bootstrap over keys: it tells what other users would give with the same two models, not
    what another training would. Among many segments some are worse by chance; an interval holds one at a time.

    Args:
      labels: `[N]`, 0 or 1; NaN where not observed.
      baseline: `[N]`, probabilities.
      predictions: `[N]`, probabilities of the model that is judged.
      segments: `[N]` integers or strings; one segment for all if `None`.
      keys: `[N]` integers or strings: what is independent, a user or a request; every row for itself if `None`.
      weights: `[N]`, not negative; ones if `None`. Rows of weight 0 are left out.
      confidence: Of the intervals, in (0, 1).
      draws: Of the bootstrap.
      seed: Of the bootstrap.

    Raises:
      ValueError: If lengths differ, nothing was observed, or a number is out of range.
    """
    columns: dict[str, npt.NDArray[Any]] = {
        "labels": np.asarray(labels, np.float64),
        "baseline": np.asarray(baseline, np.float64),
        "predictions": np.asarray(predictions, np.float64),
        "weights": np.ones(np.shape(labels)) if weights is None else np.asarray(weights, np.float64),
        "segments": np.zeros(np.shape(labels), np.int64) if segments is None else np.asarray(segments),
        "keys": np.arange(np.size(labels)) if keys is None else np.asarray(keys),
    }
    if {column.shape for column in columns.values()} != {(columns["labels"].size,)}:
        sizes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise ValueError(f"paired_gain takes columns of one length; received {sizes}")
    check_confidence(confidence)
    if draws < 1:
        raise ValueError(f"paired_gain needs draws >= 1; received {draws}")
    used = ~np.isnan(columns["labels"]) & (columns["weights"] > 0)
    if not used.any():
        raise ValueError(f"paired_gain needs an observed row of positive weight; received none in {used.size}")
    y, old, new, weight, segment_of, key_of = (column[used] for column in columns.values())
    names, segment = np.unique(segment_of, return_inverse=True)
    _, key = np.unique(key_of, return_inverse=True)
    losses = {"old": weight * _loss(y, old), "new": weight * _loss(y, new)}
    drawn = ratio_draws(
        groups=segment, keys=key, numerators=losses["new"], denominators=losses["old"], draws=draws, seed=seed
    )
    high, low = (100.0 * (1.0 - end) for end in percentile_interval(drawn, confidence=confidence))
    number = len(names)

    def sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        by_segment = np.bincount(segment, values, minlength=number)
        return np.append(by_segment, by_segment.sum())

    entropy = _entropy(sums(weight * y), sums(weight * (1.0 - y)))
    examples = sums(np.ones_like(y))
    distinct = np.unique(segment.astype(np.int64) * (key.max() + 1) + key) // (key.max() + 1)
    key_numbers = np.append(np.bincount(distinct, minlength=number), key.max() + 1)
    ne_old, ne_new = (sums(losses[which]) / entropy for which in ("old", "new"))
    found = [
        SegmentGain(
            segment=ALL if place == number else _text(names[place]),
            examples=int(examples[place]),
            keys=int(key_numbers[place]),
            ne_baseline=float(ne_old[place]),
            ne=float(ne_new[place]),
            gain=float(100.0 * (1.0 - ne_new[place] / ne_old[place])),
            low=float(low[place]) if defined else np.nan,
            high=float(high[place]) if defined else np.nan,
        )
        for place in range(number + 1)
        for defined in (key_numbers[place] > 1 and not np.isnan(entropy[place]),)
    ]
    ranked = sorted(found[:-1], key=lambda s: (-s.examples, s.segment))
    return PairedGain(overall=found[-1], segments=tuple(ranked))


def _loss(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    p = np.clip(p, CLIP, 1.0 - CLIP)
    loss: npt.NDArray[np.float64] = -xlogy(y, p) - xlog1py(1.0 - y, -p)
    return loss


def _entropy(positives: npt.NDArray[np.float64], negatives: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Total entropy at the base rate, what NE divides by; NaN with one class."""
    rate = positives / (positives + negatives)
    entropy = -xlogy(positives, rate) - xlog1py(negatives, -rate)
    both: npt.NDArray[np.float64] = np.where((positives > 0) & (negatives > 0), entropy, np.nan)
    return both


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
