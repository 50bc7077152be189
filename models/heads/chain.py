"""Checks which tasks a conversion chain may join."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fullrank.data.schema.features import Label
from fullrank.models.options import ValueLoss


def check_chain(
    chain: Sequence[str], *, labels: Sequence[Label], value_loss: ValueLoss, auxiliary: Collection[str]
) -> None:
    """Rejects a chain that is invalid, or that an export would break.

    Args:
      chain: Tasks in order; empty for no chain.
      labels: One per task.
      value_loss: As in `RankerOptions`.
      auxiliary: Tasks that an export leaves out.

    Raises:
      ValueError: If the chain is rejected; the message names the chain and the task.
    """
    if not chain:
        return
    shown = ",".join(chain)
    types = {label.name: label.type for label in labels}
    if len(chain) < 2 or len(set(chain)) != len(chain):
        raise ValueError(f"A chain joins two or more different tasks. Received: {shown}.")
    unknown = [task for task in chain if task not in types]
    if unknown:
        raise ValueError(f"The chain {shown} names {', '.join(unknown)}, but the tasks are {', '.join(types)}.")
    if any(types[task] == "value" for task in chain[:-1]):
        raise ValueError(f"In the chain {shown} only the last task can be a value, as nothing can be given a value.")
    if types[chain[-1]] == "value" and value_loss != "ziln":
        raise ValueError(
            f"The chain {shown} ends in a value, whose probability of being above 0 it needs: take --value_loss=ziln."
        )
    chain_without(chain, tasks=auxiliary)


def chain_without(chain: Sequence[str], *, tasks: Collection[str]) -> tuple[str, ...]:
    """Returns the chain that remains without some tasks; empty if fewer than two remain.

    Raises:
      ValueError: If a task would remain whose predecessor is removed, which its probability depends on.
    """
    left = tuple(task for task in chain if task not in tasks)
    if left != tuple(chain[: len(left)]):
        kept = next(task for task, own in zip(left, chain, strict=False) if task != own)
        gone = next(task for task in chain if task in tasks)
        raise ValueError(
            f"{kept!r} cannot be predicted without {gone!r}, which precedes it in the chain {','.join(chain)}."
        )
    return left if len(left) > 1 else ()
