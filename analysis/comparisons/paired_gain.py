"""NE gain over a baseline, on every segment ([Meta] §4): where a model that is better on average may be worse."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import xlog1py, xlogy

from fullrank.analysis.comparisons.key_bootstrap import LEAST_KEYS, ratio_intervals
from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.files.printable import text_of

CLIP: Final = 1e-7
"""Probabilities are clipped to [CLIP, 1 - CLIP], as in the evaluation."""

ALL: Final = "(all)"

Verdict = Literal["better", "worse", "not resolved", "too few keys"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentGain:
    """A comparison of two models on the rows of one segment.

    Attributes:
      segment: Its value; `ALL` for all rows.
      examples: Rows with a label and a weight.
      keys: Distinct keys among them.
      ne_baseline: Normalised entropy of the baseline, by the segment's own base rate; NaN with one class.
      ne: That of the model.
      gain: `100 (ne_baseline - ne) / ne_baseline`, in percent; positive is better. NaN with one class.
      low: Lower end of the interval of this segment alone; NaN with fewer than `LEAST_KEYS` keys.
      high: Upper end.
      low_of_all: Lower end of an interval that is valid for all segments at once, and thus for the worst; NaN likewise,
        and for all rows.
      high_of_all: Upper end.
    """

    segment: str
    examples: int
    keys: int
    ne_baseline: float
    ne: float
    gain: float
    low: float
    high: float
    low_of_all: float = float("nan")
    high_of_all: float = float("nan")

    @property
    def verdict(self) -> Verdict:
        """Whether the whole interval lies on one side of zero."""
        return _verdict(self.low, self.high, keys=self.keys)

    @property
    def verdict_of_all(self) -> Verdict:
        """The same, by the interval that is valid for all segments at once."""
        return _verdict(self.low_of_all, self.high_of_all, keys=self.keys)

    def describe_as_worst(self, name: str) -> str:
        """A line about the segment `name`, which was chosen because its gain is the smallest."""
        interval = f"[{self.low_of_all:+.3f}, {self.high_of_all:+.3f}] for all segments at once"
        return (
            f"{name}, NE gain {self.gain:+.3f} % {interval}, {self.examples:,} examples of {self.keys:,} keys: "
            f"{self.verdict_of_all}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedGain:
    """The comparison on all rows and on each segment, the largest first."""

    overall: SegmentGain
    segments: tuple[SegmentGain, ...]

    def worst(self, *, min_keys: int = LEAST_KEYS) -> SegmentGain | None:
        """The segment with the smallest gain among those with an interval and enough keys; `None` if there is none."""
        known = [s for s in self.segments if s.keys >= min_keys and not np.isnan(s.low_of_all)]
        return min(known, key=lambda s: s.gain, default=None)

    def describe(self, *, min_keys: int = LEAST_KEYS) -> str:
        """A table of all segments, and a line about the worst one."""
        columns = ("segment", "examples", "keys", "ne_baseline", "ne", "gain", "low", "high", "verdict")
        rows = [{name: getattr(s, name) for name in columns} for s in (self.overall, *self.segments)]
        lines = [format_table(rows=rows, columns=columns)]
        worst = self.worst(min_keys=min_keys)
        if worst is not None:
            lines.append(f"worst segment: {worst.describe_as_worst(worst.segment)}")
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
    columns: int = 1,
) -> PairedGain:
    """Compares two models' predictions for the same rows.

    Both normalised entropies have the same denominator, so the gain is `1 - sum loss / sum loss of the baseline`. The
    interval is a studentised bootstrap over keys (`ratio_intervals`): it covers the result for other users with the
    same two models, not that of another training. Among many segments some are worse by chance: `low` and `high` are
    valid for a segment chosen in advance, `low_of_all` and `high_of_all` for all of them at once.

    Args:
      labels: `[N]`, 0 or 1; NaN where not observed.
      baseline: `[N]`, probabilities.
      predictions: `[N]`, probabilities of the model that is compared.
      segments: `[N]` integers or strings; one segment for all if `None`.
      keys: `[N]` integers or strings, the independent units, such as users or requests; every row if `None`.
      weights: `[N]`, not negative; ones if `None`. Rows of weight 0 are left out.
      confidence: Confidence of the intervals, in (0, 1).
      draws: Draws of the bootstrap.
      seed: Seed of the bootstrap.
      columns: Number of segment columns among which the worst segment is sought, with one call each: the intervals of
        all segments at once have the confidence `1 - (1 - confidence) / columns`, so that together they have the
        requested confidence.

    Raises:
      ValueError: If lengths differ, nothing was observed, or a number is out of range.
    """
    given: dict[str, npt.NDArray[Any]] = {
        "labels": np.asarray(labels, np.float64),
        "baseline": np.asarray(baseline, np.float64),
        "predictions": np.asarray(predictions, np.float64),
        "weights": np.ones(np.shape(labels)) if weights is None else np.asarray(weights, np.float64),
        "segments": np.zeros(np.shape(labels), np.int64) if segments is None else np.asarray(segments),
        "keys": np.arange(np.size(labels)) if keys is None else np.asarray(keys),
    }
    if {column.shape for column in given.values()} != {(given["labels"].size,)}:
        sizes = ", ".join(f"{name} {column.shape}" for name, column in given.items())
        raise ValueError(f"paired_gain takes columns of one length; received {sizes}")
    used = ~np.isnan(given["labels"]) & (given["weights"] > 0)
    if not used.any():
        raise ValueError(f"paired_gain needs an observed row of positive weight; received none in {used.size}")
    y, old, new, weight, segment_of, key_of = (column[used] for column in given.values())
    names, segment = np.unique(segment_of, return_inverse=True)
    _, key = np.unique(key_of, return_inverse=True)
    losses = {"old": weight * _loss(y, old), "new": weight * _loss(y, new)}
    drawn = ratio_intervals(
        groups=segment,
        keys=key,
        numerators=losses["new"],
        denominators=losses["old"],
        confidence=confidence,
        together=1.0 - (1.0 - confidence) / columns,
        draws=draws,
        seed=seed,
    )
    number = len(names)

    def sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        by_segment = np.bincount(segment, values, minlength=number)
        return np.append(by_segment, by_segment.sum())

    entropy = _entropy(sums(weight * y), sums(weight * (1.0 - y)))
    examples = sums(np.ones_like(y))
    ne_old, ne_new = (sums(losses[which]) / entropy for which in ("old", "new"))
    # A segment with one class has no normalised entropy, and thus no gain.
    gains = np.where(np.isnan(entropy), np.nan, 100.0 * (1.0 - drawn.ratio))
    reach, together = 100.0 * drawn.reach, 100.0 * drawn.together
    found = [
        SegmentGain(
            segment=ALL if place == number else text_of(names[place]),
            examples=int(examples[place]),
            keys=int(drawn.keys[place]),
            ne_baseline=float(ne_old[place]),
            ne=float(ne_new[place]),
            gain=float(gain),
            low=float(gain - reach[place]),
            high=float(gain + reach[place]),
            low_of_all=float(gain - together[place]),
            high_of_all=float(gain + together[place]),
        )
        for place, gain in enumerate(gains)
    ]
    ranked = sorted(found[:-1], key=lambda s: (-s.examples, s.segment))
    return PairedGain(overall=found[-1], segments=tuple(ranked))


def _verdict(low: float, high: float, *, keys: int) -> Verdict:
    if keys < LEAST_KEYS:
        return "too few keys"
    return "better" if low > 0 else "worse" if high < 0 else "not resolved"


def _loss(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    p = np.clip(p, CLIP, 1.0 - CLIP)
    loss: npt.NDArray[np.float64] = -xlogy(y, p) - xlog1py(1.0 - y, -p)
    return loss


def _entropy(positives: npt.NDArray[np.float64], negatives: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Total entropy at the base rate, the denominator of NE; NaN with one class."""
    rate = positives / (positives + negatives)
    entropy = -xlogy(positives, rate) - xlog1py(negatives, -rate)
    both: npt.NDArray[np.float64] = np.where((positives > 0) & (negatives > 0), entropy, np.nan)
    return both
