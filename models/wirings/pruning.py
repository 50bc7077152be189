"""Removes tasks from a wiring, together with the parts that are no longer read."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection
from typing import cast

from fullrank.models.wirings.wiring import ExpertSpec, Level, Reader, StackedExpert, Wiring


def without_tasks(wiring: Wiring, *, tasks: Collection[str]) -> Wiring:
    """Returns the wiring that predicts the other tasks, with equal values.

    Towers without a task are removed, then every expert, reader and set that no remaining tower reaches. Names are
    kept.

    Args:
      wiring: Any wiring.
      tasks: The tasks to leave out.

    Raises:
      ValueError: If a task is unknown, or none would be left.
    """
    unknown = [task for task in tasks if task not in wiring.tasks]
    if unknown or set(tasks) == set(wiring.tasks):
        raise ValueError(f"Some of the tasks {list(wiring.tasks)} can be left out, not all. Received: {list(tasks)}.")
    if wiring.domains and wiring.tasks[0] in tasks:
        raise ValueError(f"{wiring.tasks[0]!r} is the main task, which the others only help: it cannot be left out.")
    heads = wiring.head_scenarios
    ended = [f"{task}@{s}" for task in tasks for s in heads] if heads else list(tasks)
    needed = {reader.task for reader in wiring.readers if not set(reader.tasks) <= set(ended)}
    stages: list[tuple[tuple[Reader, ...], tuple[ExpertSpec | StackedExpert, ...]]] = []
    for readers, experts in reversed(wiring.stages):
        kept = [reader for reader in readers if reader.task in needed]
        read = [any(reader.access[place] != "off" for reader in kept) for place in range(len(experts))]
        left: tuple[ExpertSpec | StackedExpert, ...]
        left = tuple(expert for expert, is_read in zip(experts, read, strict=True) if is_read)
        stages.insert(0, (tuple(_narrowed(reader, read) for reader in kept), left))
        needed = {reader.task for reader in kept} | {e.reads for e in left if isinstance(e, StackedExpert)}
    specs = cast(tuple[ExpertSpec, ...], stages[0][1])
    sets_read = {spec.set for spec in specs}
    kept_tasks = {task for task in wiring.tasks if task not in tasks}
    auxiliary = tuple(task for task in wiring.auxiliary if task in kept_tasks)
    scenarios = wiring.scenarios
    if wiring.domains:
        scenarios = tuple(s for task, s in wiring.domains.items() if task in kept_tasks) if auxiliary else ()
    return dataclasses.replace(
        wiring,
        sets=tuple(spec for spec in wiring.sets if spec.name in sets_read),
        experts=specs,
        levels=tuple(
            Level(readers=below, experts=cast(tuple[StackedExpert, ...], experts))
            for (below, _), (_, experts) in itertools.pairwise(stages)
        ),
        readers=tuple(_without(reader, ended) for reader in stages[-1][0]),
        auxiliary=() if kept_tasks == set(auxiliary) else auxiliary,
        scenarios=scenarios,
    )


def _narrowed(reader: Reader, read: list[bool]) -> Reader:
    access = tuple(entry for entry, is_read in zip(reader.access, read, strict=True) if is_read)
    return dataclasses.replace(reader, access=access)


def _without(reader: Reader, tasks: Collection[str]) -> Reader:
    return dataclasses.replace(reader, group=tuple(task for task in reader.group if task not in tasks))
