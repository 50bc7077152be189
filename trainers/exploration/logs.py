"""Logs of bandits: context, action, its probability, and the reward."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.sources import hillstrom, obd
from fullrank.data.sources.source import Source

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_AMPLITUDE: Final = 1.0
"""Prior standard deviation of a cell's logit."""
_BETWEEN_ACTIONS: Final = 1.28
_BETWEEN_CONTEXTS: Final = 0.4
"""Squared distance of two contexts that have nothing in common."""
_HILLSTROM: Final = ("mens", "womens", "newbie", "history_segment")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BanditLog:
    """Rows of one policy. A cell is a context and an action, numbered `context * actions + action`.

    Attributes:
      actions: Names, `[A]`.
      contexts: `[K, P]`, the parts of each context, as codes.
      context: `[N]`.
      action: `[N]`.
      reward: `[N]`, 0 or 1.
      propensity: `[N]`, probability with which the action was taken.
    """

    actions: Sequence[str]
    contexts: Ints
    context: Ints
    action: Ints
    reward: Floats
    propensity: Floats

    @property
    def cells(self) -> Ints:
        """`[N]`: the cell of each row."""
        return self.context * len(self.actions) + self.action

    def offered(self, contexts: Ints) -> Ints:
        """`[R, A]`: cells of all actions in each of `[R]` contexts."""
        found: Ints = contexts[:, np.newaxis] * len(self.actions) + np.arange(len(self.actions))
        return found

    def prior_covariance(self) -> Floats:
        """`[K A, K A]` of the cells: an RBF kernel over their actions and over the parts in which contexts differ."""
        parts = self.contexts.shape[1]
        apart = np.sum(self.contexts[:, np.newaxis] != self.contexts, axis=2) * _BETWEEN_CONTEXTS / max(parts, 1)
        actions = len(self.actions)
        squared = np.kron(apart, np.ones((actions, actions)))
        squared += np.kron(np.ones_like(apart), _BETWEEN_ACTIONS * (1 - np.eye(actions)))
        found: Floats = _AMPLITUDE**2 * np.exp(-0.5 * squared) + 1e-6 * np.eye(len(squared))
        return found


def read_hillstrom(raw_dir: Path) -> BanditLog:
    """The e-mail campaign: the treatment is the action, a visit the reward; history and interests are the context."""
    table = _everything(hillstrom.load(raw_dir=raw_dir))
    columns = [_codes(table[name])[0] for name in _HILLSTROM]
    contexts, context = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    action, names = _codes(table["treatment"])
    return BanditLog(
        actions=names,
        contexts=contexts,
        context=context.reshape(-1).astype(np.int64),
        action=action,
        reward=table["visit"].to_numpy().astype(np.float64),
        propensity=table["propensity"].to_numpy().astype(np.float64),
    )


def read_obd(raw_dir: Path) -> dict[str, dict[str, BanditLog]]:
    """Campaign -> policy -> its log: the item is the action, a click the reward, the position the context.

    Raises:
      ValueError: If a campaign lacks one of the two policies.
    """
    table = _everything(obd.load(raw_dir=raw_dir))
    policies, campaigns = (np.array(table[name].to_pylist()) for name in ("policy", "campaign"))
    items = np.array([int(name.rsplit("-", 1)[1]) for name in table["item_id"].to_pylist()], np.int64)
    position = table["position"].to_numpy().astype(np.int64)
    logs: dict[str, dict[str, BanditLog]] = {}
    for campaign in np.unique(campaigns).tolist():
        places = np.unique(position[campaigns == campaign])
        for policy in obd.POLICIES:
            rows = np.flatnonzero((policies == policy) & (campaigns == campaign))
            if not len(rows):
                raise ValueError(f"obd: {raw_dir} has no log of {policy} for {campaign}: both policies are needed.")
            logs.setdefault(campaign, {})[policy] = BanditLog(
                actions=[str(number) for number in range(obd.ITEMS[campaign])],
                contexts=places[:, np.newaxis],
                context=np.searchsorted(places, position[rows]),
                action=items[rows],
                reward=table["click"].to_numpy()[rows].astype(np.float64),
                propensity=table["propensity"].to_numpy()[rows].astype(np.float64),
            )
    return logs


def _everything(source: Source) -> pa.Table:
    return pa.concat_tables([source.table(split) for split in source.splits])


def _codes(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Values as sorted codes, and their names."""
    values = [value.decode() if isinstance(value, bytes) else str(value) for value in column.to_pylist()]
    names, codes = np.unique(values, return_inverse=True)
    return codes.astype(np.int64), names.tolist()
