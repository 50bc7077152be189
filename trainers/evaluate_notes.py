"""What a table of metrics cannot say: which of them are undefined and why, and which rows they leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def notes(results: Mapping[str, Mapping[str, Any]], *, key: str | None) -> Iterator[str]:
    """A sentence for each reason of each task.

    Args:
      results: Task -> statistics, as an evaluator gives them.
      key: What GAUC is by.
    """
    for task, result in results.items():
        by_reason: dict[str, list[str]] = {}
        for name, reason in result.get("undefined", {}).items():
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            yield f"{task}: {', '.join(names)} undefined: {reason}."
        for segment, values in result["segments"].items():
            without = sum("undefined" in entry for entry in values.values())
            if without:
                yield f"{task}: {without:,} of {len(values):,} values of {segment} have undefined metrics, shown as -."
        left_out = result.get("gauc_rows_without_key", 0)
        if left_out:
            yield (
                f"{task}: GAUC leaves out {left_out:,} of {result['examples']:,} examples, which have no {key}; the "
                f"keys with both classes hold {result['gauc_share']:.1%} of the weight."
            )
