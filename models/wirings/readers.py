"""Readers and further levels of experts, shared or owned by a task, for PLE and STEM.

Where there are more tasks than towers, tasks share one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fullrank.models.wirings.wiring import Access, Level, Reader, StackedExpert

Tasks = Sequence[str | Sequence[str]]
"""Each entry is a task, or several tasks that share a gate and a tower, each with a head of its own."""

SHARED = "shared"


def reader(task: str | Sequence[str], access: Sequence[Access]) -> Reader:
    """The reader of a task, or of a group, which is named after its first task and the number of the others."""
    if isinstance(task, str):
        return Reader(task=task, access=tuple(access))
    if not task:
        raise ValueError("A group of tasks that share a tower is empty: leave it out.")
    name = task[0] if len(task) == 1 else f"{task[0]}+{len(task) - 1}"
    return Reader(task=name, access=tuple(access), group=tuple(task) if len(task) > 1 else ())


def train_all(tasks: Tasks, experts: int) -> tuple[Reader, ...]:
    """A reader per task that trains every expert."""
    train: Access = "train"
    return tuple(reader(task, (train,) * experts) for task in tasks)


def own_and_shared(tasks: Tasks, owners: Sequence[int], *, others: Access) -> tuple[Reader, ...]:
    """A reader per task that trains the shared experts and its own.

    Args:
      tasks: T of them.
      owners: One per expert: 0 for shared, k for the k-th task.
      others: Access to other tasks' experts.
    """
    return tuple(
        reader(task, ["train" if owner in (0, place) else others for owner in owners])
        for place, task in enumerate(tasks, 1)
    )


def further_levels(
    tasks: Tasks, owners: Sequence[int], *, levels: int, others: Access, shared: Access
) -> tuple[Level, ...]:
    """The levels above the first one; each has as many experts of every owner as the first.

    Args:
      tasks: T of them.
      owners: One per expert: 0 for shared, k for the k-th task.
      levels: All levels, the first one included.
      others: A task's access to other tasks' experts.
      shared: Access of the readers that feed shared experts to the tasks' experts.

    Raises:
      ValueError: If there is not at least one level.
    """
    if levels < 1:
        raise ValueError(f"A model has at least one level of experts. Received: levels={levels}.")
    of_shared = reader(SHARED, ["train" if owner == 0 else shared for owner in owners])
    readers = (of_shared, *own_and_shared(tasks, owners, others=others))
    return tuple(
        Level(
            readers=readers,
            experts=tuple(
                StackedExpert(name=f"{readers[owner].task}_{level}_{number}", reads=readers[owner].task)
                for number, owner in enumerate(owners)
            ),
        )
        for level in range(2, levels + 1)
    )


def check_owners(experts: Sequence[tuple[str, int]], *, owners: Sequence[str]) -> None:
    """Rejects an expert whose owner does not exist.

    Raises:
      ValueError: If there is one; the message names the experts and the owners.
    """
    outside = [(kind, owner) for kind, owner in experts if not 0 <= owner < len(owners)]
    if outside:
        known = ", ".join(f"{number} ({name})" for number, name in enumerate(owners))
        raise ValueError(f"Experts {outside} have an unknown owner: owners are {known}.")


def group_by_volume(volumes: Mapping[str, float], *, towers: int) -> tuple[tuple[str, ...], ...]:
    """Groups tasks of similar volume, so that large tasks keep a tower of their own and small ones share theirs.

    [Tencent] §5.1 groups more than 100 conversion types into 32 towers, but does not say how. Here tasks are sorted by
    volume, largest first, and cut into runs: a run ends once it holds its fair share of the rest, which is the
    remaining volume divided by the remaining towers.

    Args:
      volumes: Task -> the amount of its training data, such as the number of its positives; not negative.
      towers: Groups to make, from 1 to the number of tasks.

    Returns:
      The groups, none of them empty. Both the tasks of a group and the groups (by their first task) keep the order of
      `volumes`, so the first task stays the first.

    Raises:
      ValueError: If `towers` is out of range, or a volume is negative or not a number.
    """
    if not 1 <= towers <= len(volumes):
        raise ValueError(f"{len(volumes)} tasks make 1 to {len(volumes)} groups. Received: towers={towers}.")
    for task, volume in volumes.items():
        if not volume >= 0:
            raise ValueError(f"The volume of task {task!r} is not a number of at least 0. Received: {volume}.")
    order = {task: place for place, task in enumerate(volumes)}
    tasks = sorted(volumes, key=lambda task: -volumes[task])
    left = sum(volumes.values())
    groups: list[list[str]] = [[]]
    held = 0.0
    for place, task in enumerate(tasks):
        groups[-1].append(task)
        held += volumes[task]
        to_make = towers - len(groups)
        if to_make and (held * (to_make + 1) >= left or len(tasks) - place - 1 == to_make):
            groups.append([])
            left, held = left - held, 0.0
    ordered = (tuple(sorted(group, key=order.__getitem__)) for group in groups)
    return tuple(sorted(ordered, key=lambda group: order[group[0]]))
