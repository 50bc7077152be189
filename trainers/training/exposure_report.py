"""What the repetitive exposure weight did in a run, and whether it left the model unbiased ([Tencent] §6.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def exposure_report(metrics: Mapping[str, Any], *, tasks: Sequence[str]) -> str:
    """One line on the weights, and one on the bias of each task.

    Args:
      metrics: Those of an epoch, as `metrics.jsonl` has them.
      tasks: Binary tasks.
    """
    share, weight = metrics.get("repeat_share"), metrics.get("repeat_weight")
    if share is None or weight is None:
        return ""
    mean = 1.0 + share * (weight - 1.0)
    lines = [
        f"Repetition weight: {share:.1%} of the rows repeat an exposure, their mean w_rep is {weight:.3f}; of all rows "
        f"{mean:.3f}."
    ]
    for task in tasks:
        debias, before, after = (metrics.get(name) for name in (f"{task}_debias", f"{task}_bias", f"val_{task}_bias"))
        shown = [f"w_debias {_shown(debias)}", f"predicted / observed {_shown(before)} in training"]
        shown += [f"{_shown(after)} in validation"] if f"val_{task}_bias" in metrics else []
        lines.append(f"  {task}: {', '.join(shown)}.")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
