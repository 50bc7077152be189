"""Which tasks share a tower, where there are more tasks than towers."""

from __future__ import annotations

from collections.abc import Mapping


def group_by_volume(volumes: Mapping[str, float], *, towers: int) -> tuple[tuple[str, ...], ...]:
    """Groups tasks of similar volume, so that large tasks keep a tower of their own and small ones share theirs.

    [Tencent] §5.1 groups more than 100 conversion types into 32 towers, but does not say how. Here tasks stand in the
    order of their volumes, largest first, and are cut into runs: a run ends once it holds its fair share of what is
    left, that is the volume left over the towers left.

    Args:
      volumes: Task -> how much it has to learn from, such as the number of its positives; not negative.
      towers: Groups to make, from 1 to the number of tasks.

    Returns:
      The groups, none of them empty. Both the tasks of a group and the groups (by their first task) stand in the order
      of `volumes`, so the first task stays the first.

    Raises:
      ValueError: If `towers` does not fit or a volume is negative or no number.
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
