"""Answers the five questions of the page, by rules that the page states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.analysis.comparisons.runs import RunComparison
from fullrank.analysis.embeddings.table_spectra import TableSpectrum
from fullrank.analysis.pages.page import Verdict

BETTER: Final = "Is it better than the baseline, on every segment?"
RIGHT: Final = "Are the probabilities right?"
COLLAPSED: Final = "Did the embeddings keep their rank?"
ENTANGLED: Final = "Are the tasks free of conflicts?"
READS: Final = "Which features does it use?"
TOLERANCE: Final = 0.05
"""Relative bias up to which probabilities count as right."""
GROUP_TOLERANCE: Final = 0.15
"""Mean error of groups, beyond chance and relative to the base rate, up to which probabilities count as right."""
LOW_RANK: Final = 0.25
"""IA / min(N, d) below which a table has collapsed."""
CONFLICT: Final = -0.1
"""Cosine of two tasks' gradients below which they conflict."""


def better(found: RunComparison | None, *, run: str) -> Verdict:
    """Whether the run gains on all tasks, and loses on no segment."""
    place: Any = {"question": BETTER, "section": "baseline"}
    if found is None:
        return Verdict(**place, state="unknown", answer="No baseline was given. Add --baseline=RUN to the command.")
    overall = {task: runs[run][""].overall for task, runs in found.gains.items()}
    worse = [task for task, gain in overall.items() if gain.verdict == "worse"]
    gained = [task for task, gain in overall.items() if gain.verdict == "better"]
    lost = [
        f"{column}={entry.segment} of {task}"
        for task in found.gains
        for worst in [found.worst(task, run)]
        if worst is not None and worst[1].verdict_of_all == "worse"
        for column, entry in [worst]
    ]
    first, gain = next(iter(overall.items()))
    numbers = f"NE gain of {first} {gain.gain:+.2f} % [{gain.low:+.2f}, {gain.high:+.2f}]"
    of_tasks = f"{len(gained)} of {len(overall)} tasks gain" if len(overall) > 1 else numbers
    if worse or lost:
        where = " and ".join(filter(None, [_listed(worse), _listed(lost)]))
        return Verdict(**place, state="bad", answer=f"It is worse on {where}. {of_tasks}.")
    if len(gained) == len(overall):
        return Verdict(**place, state="good", answer=f"{of_tasks}, and no segment is known to lose.")
    return Verdict(**place, state="open", answer=f"{of_tasks}; no task and no segment is known to lose.")


def right(biases: Mapping[str, tuple[float, float]] | None, *, errors: Mapping[str, float] | None = None) -> Verdict:
    """Whether totals agree within `TOLERANCE`, and groups of examples within `GROUP_TOLERANCE`.

    Args:
      biases: Task -> predicted / observed, and half the width of its 95 % interval by chance of the labels.
      errors: Task -> error of groups of neighbouring predictions beyond chance, relative to the base rate.
    """
    place: Any = {"question": RIGHT, "section": "calibration"}
    known = {task: found for task, found in (biases or {}).items() if math.isfinite(found[0])}
    if not known:
        return Verdict(**place, state="unknown", answer="The run was not scored on examples with labels.")
    off = {task: b for task, (b, reach) in known.items() if abs(b - 1.0) - reach > TOLERANCE}
    unsure = {task: b for task, (b, reach) in known.items() if abs(b - 1.0) + reach > TOLERANCE and task not in off}
    name, (bias, reach) = max(known.items(), key=lambda item: abs(item[1][0] - 1.0))
    most = f"{name} is predicted {bias:.3f} ± {reach:.3f} times as often as it is observed"
    uneven = {task: error for task, error in (errors or {}).items() if error > GROUP_TOLERANCE}
    if uneven:
        worst = max(uneven, key=uneven.__getitem__)
        groups = (
            f"groups of similar predictions of {worst} are off by {uneven[worst]:.0%} of its base rate, beyond chance"
        )
        return Verdict(**place, state="bad", answer=f"On average, {groups}. In total, {most}.")
    if off:
        others = "" if len(known) == 1 else f" {len(off)} of {len(known)} tasks are off by more than 5 %."
        return Verdict(**place, state="bad", answer=f"{most}.{others}")
    if unsure:
        return Verdict(**place, state="open", answer=f"{most}; there are too few labels to resolve 5 %.")
    return Verdict(**place, state="good", answer=f"At worst, {most}: within 5 %.")


def kept_rank(tables: Sequence[TableSpectrum] | None) -> Verdict:
    """Whether few tables fall below `LOW_RANK`."""
    place: Any = {"question": COLLAPSED, "section": "collapse"}
    shares = {
        f"{t.set}/{t.table}": t.spectrum.measures()["relative_abundance"] for t in tables or () if t.spectrum.rows
    }
    if not shares:
        return Verdict(**place, state="unknown", answer="No table of the run could be read.")
    low = sorted((share, name) for name, share in shares.items() if share < LOW_RANK)
    mean = float(np.mean(list(shares.values())))
    answer = f"Information abundance is {mean:.2f} of what is possible on average over {len(shares)} tables"
    if not low:
        return Verdict(**place, state="good", answer=f"{answer}; none is below {LOW_RANK}.")
    named = _listed([name for _, name in low])
    state: Any = "bad" if len(low) > len(shares) / 3 else "open"
    word = "" if state == "bad" else "Mostly"
    return Verdict(
        **place,
        state=state,
        word=word,
        answer=f"{answer}; {len(low)} {'falls' if len(low) == 1 else 'fall'} below {LOW_RANK}: {named}.",
    )


def apart(conflicts: Mapping[str, Any] | None, *, tasks: int, command: str) -> Verdict:
    """Whether gradients of two tasks point against each other on a set that both train."""
    place: Any = {"question": ENTANGLED, "section": "entanglement"}
    if tasks < 2:
        return Verdict(**place, state="good", word="One task", answer="The run predicts only one task.")
    if conflicts is None:
        return Verdict(**place, state="unknown", answer=f"Not measured yet: {command}")
    cosines = [
        (value, name, first, second)
        for name, matrix in conflicts["cosines"].items()
        for first, row in matrix.items()
        for second, value in row.items()
        if first < second and value is not None
    ]
    if not cosines:
        return Verdict(**place, state="good", answer="No embedding set is trained by two tasks.")
    value, name, first, second = min(cosines)
    least = f"The gradients of {first} and {second} on {name} have a cosine of {value:+.2f}, the smallest of all pairs"
    against = sum(each[0] < CONFLICT for each in cosines)
    if against:
        pairs = f"{against} of {len(cosines)} pairs of tasks conflict"
        return Verdict(**place, state="bad", answer=f"{pairs}. {least}.")
    return Verdict(**place, state="good", answer=f"{least}; below {CONFLICT} they would conflict.")


def reads(importance: Mapping[str, Any] | None, *, command: str) -> Verdict:
    """The features that the model needs most, and those that it does not need."""
    place: Any = {"question": READS, "section": "features"}
    if importance is None:
        return Verdict(**place, state="unknown", answer=f"Not measured yet: {command}")
    tasks = importance["tasks"]
    names = next(iter(tasks.values()))
    most = {n: max(found[n]["increase"] for found in tasks.values()) for n in names}
    idle = [n for n in names if all(found[n]["increase"] <= found[n]["reach"] for found in tasks.values())]
    ranked = sorted(most, key=lambda name: -most[name])
    answer = f"Mostly {_listed([f'{n} ({most[n]:+.1f} % NE without it)' for n in ranked[:3]], most=3)}."
    if idle:
        answer += f" Nothing is lost without {_listed(idle)}."
    share = f"{len(names) - len(idle)} of {len(names)} features"
    return Verdict(**place, state="open" if len(idle) > len(names) / 3 else "good", word=share, answer=answer)


def bias_with_reach(
    labels: npt.NDArray[Any], scores: npt.NDArray[Any], weights: npt.NDArray[Any] | None
) -> tuple[float, float]:
    """Predicted / observed, and half the width of its 95 % interval if labels are drawn by the predictions."""
    seen = ~np.isnan(labels)
    weight = np.ones(int(seen.sum())) if weights is None else weights[seen]
    y, p = labels[seen], scores[seen]
    observed = float((weight * y).sum())
    if observed <= 0:
        return math.nan, math.nan
    bias = float((weight * p).sum()) / observed
    return bias, 1.96 * bias * math.sqrt(float((weight**2 * p * (1 - p)).sum())) / observed


def _listed(names: Sequence[str], *, most: int = 4) -> str:
    shown = list(names[:most])
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown) + rest
