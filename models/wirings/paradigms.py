"""The papers' models as wirings ([Tencent] §4.2, §5), one short function each.

In these models all tasks share all experts. A task is a name, or several names that share a gate and a tower (each
keeps a head of its own).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Literal

from fullrank.models.wirings.readers import Tasks, train_all
from fullrank.models.wirings.wiring import ExpertSpec, SetSpec, Wiring

Gate = Literal["softmax", "mean"]


ON_EACH_SET: Final = (("fm", 0), ("flat", 0), ("ipnn", 1), ("flat", 1), ("fm", 2), ("flat", 2))


def single(
    *,
    width: int = 16,
    experts: Sequence[str] = ("crossnet", "flat"),
    tasks: Tasks = ("click",),
    expert_width: int = 64,
    gate: Gate = "softmax",
) -> Wiring:
    """The single-embedding model: one set that all experts share; every task trains all of it.

    Args:
      width: d of the set.
      experts: Interaction kinds.
      tasks: Labels to predict.
      expert_width: H.
      gate: How expert outputs are mixed.
    """
    wiring = multi_embedding(
        widths=(width,), experts=[(kind, 0) for kind in experts], tasks=tasks, expert_width=expert_width, gate=gate
    )
    return dataclasses.replace(wiring, paradigm="single")


def multi_embedding(
    *,
    widths: Sequence[int] = (16, 16),
    experts: Sequence[tuple[str, int]] = (("gwpfm", 0), ("flat", 0), ("ipnn", 1)),
    tasks: Tasks = ("click",),
    expert_width: int = 64,
    gate: Gate = "softmax",
) -> Wiring:
    """ME with heterogeneous experts ([Tencent] §4.2): K sets, one or several experts on each.

    With one set it is the single-embedding model. The default experts are the paper's for Moments: GwPFM and a flat DNN
    on the first set, IPNN on the second.

    Args:
      widths: d of each set; equal in the paper.
      experts: Pairs of interaction kind and the number of the set it reads.
      tasks: Labels to predict; with more than one, every task has a gate of its own over all experts (ME-MMoE).
      expert_width: H.
      gate: How expert outputs are mixed.
    """
    outside = [(kind, place) for kind, place in experts if not 0 <= place < len(widths)]
    if outside:
        raise ValueError(
            f"Experts {outside} read a set that is not there: there are {len(widths)}, counted from 0. "
            "Give one width per set, or experts of these sets."
        )
    return Wiring(
        paradigm="multi-embedding",
        sets=tuple(SetSpec(name=f"set{k}", width=width) for k, width in enumerate(widths)),
        experts=tuple(
            ExpertSpec(name=f"{kind}_{number}", kind=kind, set=f"set{place}")
            for number, (kind, place) in enumerate(experts)
        ),
        readers=train_all(tasks, len(experts)),
        expert_width=expert_width,
        gate=gate,
    )


def shared_bottom(
    *, tasks: Tasks, width: int = 16, experts: Sequence[str] = ("crossnet", "flat"), expert_width: int = 64
) -> Wiring:
    """Shared bottom: one set, one plain mean of all experts, a tower per task.

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
    """MMoE (Ma et al. 2018): one set, experts that all tasks share, a gate per task. With one expert: shared bottom.

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
    """ME-MMoE ([Tencent] §5.1): sets of equal width, one or several experts on each, a gate per task over all of them.

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
