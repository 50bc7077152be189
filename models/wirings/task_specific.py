"""Multi-task paradigms with task-specific experts ([Tencent] §5), one short function each.

A task is a name, or several names that share a gate and a tower (each keeps a head of its own). An expert is a pair of
interaction kind and owner: 0 for shared, k for the k-th task.
"""

from __future__ import annotations

from collections.abc import Sequence

from fullrank.models.wirings.paradigms import Gate
from fullrank.models.wirings.readers import Tasks, check_owners, further_levels, own_and_shared, reader
from fullrank.models.wirings.wiring import ExpertSpec, SetSpec, Wiring


def ple(
    *,
    tasks: Tasks,
    width: int = 16,
    experts: Sequence[tuple[str, int]] | None = None,
    levels: int = 1,
    expert_width: int = 64,
    gate: Gate = "softmax",
) -> Wiring:
    """PLE (Tang et al. 2020): one set; a task reads the shared experts and its own, never another task's.

    One level is CGC; without own experts it is MMoE. At a further level an expert is a dense layer over the output of
    its owner's gate below, and a gate reads that same output. The gate that feeds shared experts reads every expert
    below, as in the paper, so there tasks do train each other's lower experts.

    Args:
      tasks: Labels to predict.
      width: d of the set.
      experts: Pairs of kind and owner; by default `crossnet` and `flat` shared, and a `flat` for each task.
      levels: Levels of experts.
      expert_width: H.
      gate: How expert outputs are mixed.
    """
    if experts is None:
        experts = [("crossnet", 0), ("flat", 0), *(("flat", place) for place in range(1, len(tasks) + 1))]
    check_owners(experts, owners=_owners(tasks))
    owners = [owner for _, owner in experts]
    return Wiring(
        paradigm="PLE",
        sets=(SetSpec(name="set0", width=width),),
        experts=_named(experts, ["set0"] * (len(tasks) + 1)),
        levels=further_levels(tasks, owners, levels=levels, others="off", shared="train"),
        readers=own_and_shared(tasks, owners, others="off"),
        expert_width=expert_width,
        gate=gate,
    )


def stem(
    *,
    tasks: Tasks,
    widths: Sequence[int] = (16,),
    experts: Sequence[tuple[str, int]] | None = None,
    levels: int = 1,
    expert_width: int = 64,
    gate: Gate = "softmax",
) -> Wiring:
    """STEM (Su et al. 2023; [Tencent] §5.1): a shared set and one per task.

    A task trains the shared set and its own; it reads other tasks' experts without training them, so `dL_i/dE_j = 0`
    for j != i. That holds for several levels too: the gates that feed shared experts read every task's experts
    detached, where the authors' code lets task i train task j's set by way of the shared experts of the second level.

    Args:
      tasks: Labels to predict.
      widths: d of the shared set and of each task's; one number for all of them.
      experts: Pairs of kind and owner, each on its owner's set; by default `crossnet` and `flat` for every owner.
      levels: Levels of experts; at a further one an expert is a dense layer over the output of its owner's gate below.
      expert_width: H.
      gate: How expert outputs are mixed.
    """
    names = _owners(tasks)
    if experts is None:
        experts = [(kind, owner) for owner in range(len(names)) for kind in ("crossnet", "flat")]
    check_owners(experts, owners=names)
    owners = [owner for _, owner in experts]
    return Wiring(
        paradigm="STEM",
        sets=_sets(names, widths),
        experts=_named(experts, names),
        levels=further_levels(tasks, owners, levels=levels, others="detached", shared="detached"),
        readers=own_and_shared(tasks, owners, others="detached"),
        expert_width=expert_width,
        gate=gate,
    )


def stem_al(
    *,
    main: str,
    auxiliary: Sequence[str],
    widths: Sequence[int] = (16, 16),
    experts: Sequence[tuple[str, int]] | None = None,
    expert_width: int = 64,
    gate: Gate = "softmax",
) -> Wiring:
    """STEM-AL ([Tencent] §5.2): a set that the main task alone trains, and one that auxiliary tasks train as well.

    The main tower reads and trains every expert. The tower of an auxiliary task reads its own experts only, and its
    gate does not see the main set, so `dL_aux/dE_main = 0` while `dL_main/dE_aux != 0`. An export leaves the auxiliary
    towers out. With several auxiliary tasks the paper has "an additional embedding updated by multiple tasks": two
    widths give that, more give each auxiliary task a set. In deployment they are the clicks of other scenarios
    (`wiring.domain_tasks`): a scenario's examples train its own towers alone, and the main tower is served for requests
    of any scenario.

    Args:
      main: Label to predict.
      auxiliary: Auxiliary labels; at least one.
      widths: d of the main set and of the auxiliary one; or of the main set and of each auxiliary task's.
      experts: Pairs of kind and owner: 0 for the main task, k for the k-th auxiliary one; by default `crossnet` and
        `flat` for each.
      expert_width: H.
      gate: How expert outputs are mixed.
    """
    if not auxiliary:
        raise ValueError("STEM-AL needs at least one auxiliary task; without any it is the single-embedding model.")
    owners = (main, *auxiliary)
    if experts is None:
        experts = [(kind, owner) for owner in range(len(owners)) for kind in ("crossnet", "flat")]
    check_owners(experts, owners=owners)
    if len(widths) not in (2, len(owners)):
        raise ValueError(
            f"STEM-AL of {len(auxiliary)} auxiliary task(s) takes 2 widths, or {len(owners)} for sets of their own. "
            f"Received: {tuple(widths)}."
        )
    names = ["main", "auxiliary"] if len(widths) == 2 else ["main", *auxiliary]
    return Wiring(
        paradigm="STEM-AL",
        sets=_sets(names, widths),
        experts=_named(experts, names if len(widths) > 2 else ["main", *["auxiliary"] * len(auxiliary)]),
        readers=tuple(
            reader(task, ["train" if place in (0, owner) else "off" for _, owner in experts])
            for place, task in enumerate(owners)
        ),
        expert_width=expert_width,
        gate=gate,
        auxiliary=tuple(auxiliary),
    )


def _owners(tasks: Tasks) -> list[str]:
    return ["shared", *(reader(task, ()).task for task in tasks)]


def _named(experts: Sequence[tuple[str, int]], sets: Sequence[str]) -> tuple[ExpertSpec, ...]:
    return tuple(ExpertSpec(name=f"{kind}_{n}", kind=kind, set=sets[owner]) for n, (kind, owner) in enumerate(experts))


def _sets(names: Sequence[str], widths: Sequence[int]) -> tuple[SetSpec, ...]:
    if len(widths) == 1:
        widths = [widths[0]] * len(names)
    if len(widths) != len(names):
        raise ValueError(
            f"The sets are {', '.join(names)}: give {len(names)} widths, or one for all. Received: {tuple(widths)}."
        )
    return tuple(SetSpec(name=name, width=width) for name, width in zip(names, widths, strict=True))
