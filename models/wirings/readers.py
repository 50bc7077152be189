"""Readers and further levels of experts that belong to a task or are shared, as PLE and STEM have them."""

from __future__ import annotations

from collections.abc import Sequence

from fullrank.models.wirings.wiring import Access, Level, Reader, StackedExpert

Tasks = Sequence[str | Sequence[str]]
"""Each entry a task, or several tasks that share a gate and a tower, each with a head of its own."""

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
    """A reader a task that trains every expert."""
    train: Access = "train"
    return tuple(reader(task, (train,) * experts) for task in tasks)


def own_and_shared(tasks: Tasks, owners: Sequence[int], *, others: Access) -> tuple[Reader, ...]:
    """A reader a task that trains the shared experts and its own.

    Args:
      tasks: T of them.
      owners: One an expert: 0 for shared, k for the k-th task.
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
      owners: One an expert: 0 for shared, k for the k-th task.
      levels: All levels, the first one included.
      others: A task's access to other tasks' experts.
      shared: Access of the readers that feed shared experts to the tasks' experts.

    Raises:
      ValueError: If there is not one level at least.
    """
    if levels < 1:
        raise ValueError(f"A model has one level of experts at least. Received: levels={levels}.")
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
    """Refuses an expert of an owner that is not there.

    Raises:
      ValueError: It names the experts and the owners.
    """
    outside = [(kind, owner) for kind, owner in experts if not 0 <= owner < len(owners)]
    if outside:
        known = ", ".join(f"{number} ({name})" for number, name in enumerate(owners))
        raise ValueError(f"Experts {outside} belong to nobody: owners are {known}.")
