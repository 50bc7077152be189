"""The papers' models as wirings ([Tencent] §4.2, §5), one short function each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from fullrank.models.wirings.readers import Tasks, train_all
from fullrank.models.wirings.wiring import ExpertSpec, SetSpec, Wiring

Gate = Literal["softmax", "mean"]


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
        raise ValueError(f"Experts {outside} read a set that is not there: there are {len(widths)}, counted from 0.")
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
