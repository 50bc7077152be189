"""Multi-task paradigms whose tasks share all experts ([Tencent] §5.1), one short function each.

A task is a name, or several names that share a gate and a tower (each keeps a head of its own).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from fullrank.models.wirings.paradigms import Gate, multi_embedding
from fullrank.models.wirings.readers import Tasks
from fullrank.models.wirings.wiring import Wiring

ON_EACH_SET: Final = (("fm", 0), ("flat", 0), ("ipnn", 1), ("flat", 1), ("fm", 2), ("flat", 2))


def shared_bottom(
    *, tasks: Tasks, width: int = 16, experts: Sequence[str] = ("crossnet", "flat"), expert_width: int = 64
) -> Wiring:
    """Shared bottom: one set, one plain mean of all experts, a tower a task.

    Args:
      tasks: Labels to predict.
      width: d of the set.
      experts: Interaction kinds.
      expert_width: H.
    """
    wiring = mmoe(tasks=tasks, width=width, experts=experts, expert_width=expert_width, gate="mean")
    return dataclasses.replace(wiring, paradigm="shared bottom")


def omoe(
    *, tasks: Tasks, width: int = 16, experts: Sequence[str] = ("crossnet", "flat"), expert_width: int = 64
) -> Wiring:
    """One-gate mixture of experts: as `mmoe`, but all tasks share the gate.

    Args:
      tasks: Labels to predict.
      width: d of the set.
      experts: Interaction kinds.
      expert_width: H.
    """
    wiring = mmoe(tasks=tasks, width=width, experts=experts, expert_width=expert_width)
    return dataclasses.replace(wiring, paradigm="OMoE", gate="shared")


def mmoe(
    *,
    tasks: Tasks,
    width: int = 16,
    experts: Sequence[str] = ("crossnet", "flat"),
    expert_width: int = 64,
    gate: Gate = "softmax",
) -> Wiring:
    """MMoE (Ma et al. 2018): one set, experts that all tasks share, a gate a task. With one expert: shared bottom.

    Args:
      tasks: Labels to predict.
      width: d of the set.
      experts: Interaction kinds.
      expert_width: H.
      gate: How expert outputs are mixed.
    """
    pairs = [(kind, 0) for kind in experts]
    wiring = me_mmoe(tasks=tasks, widths=(width,), experts=pairs, expert_width=expert_width, gate=gate)
    return dataclasses.replace(wiring, paradigm="MMoE")


def me_mmoe(
    *,
    tasks: Tasks,
    widths: Sequence[int] = (16, 16),
    experts: Sequence[tuple[str, int]] = (("gwpfm", 0), ("flat", 0), ("ipnn", 1)),
    expert_width: int = 64,
    gate: Gate = "softmax",
) -> Wiring:
    """ME-MMoE ([Tencent] §5.1): sets of equal width, one or several experts on each, a gate a task over all of them.

    Args:
      tasks: Labels to predict.
      widths: d of each set.
      experts: Pairs of interaction kind and the number of the set it reads.
      expert_width: H.
      gate: How expert outputs are mixed.
    """
    wiring = multi_embedding(widths=widths, experts=experts, tasks=tasks, expert_width=expert_width, gate=gate)
    return dataclasses.replace(wiring, paradigm="ME-MMoE")


def ame(
    *,
    tasks: Tasks,
    widths: Sequence[int] = (16, 32, 64),
    experts: Sequence[tuple[str, int]] = ON_EACH_SET,
    expert_width: int = 64,
    gate: Gate = "softmax",
) -> Wiring:
    """AME ([Tencent] §5.1): as `me_mmoe`, but the sets differ in width, so that they do not stay symmetric.

    The gates can route small tasks to narrow sets and large ones to wide sets; the number of sets is free of that of
    tasks. The non-linear projection of each expert brings every set to the width H that the gates mix.

    Args:
      tasks: Labels to predict.
      widths: d of each set.
      experts: Pairs of interaction kind and the number of the set it reads.
      expert_width: H.
      gate: How expert outputs are mixed.
    """
    wiring = me_mmoe(tasks=tasks, widths=widths, experts=experts, expert_width=expert_width, gate=gate)
    return dataclasses.replace(wiring, paradigm="AME")
