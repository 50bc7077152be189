"""Interest in a category that decays with the age of behaviours: what TIM is made for ([Tencent] §3.1)."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Planted
from fullrank.data.schema.features import BehaviourColumn, Feature, IdMap, Sequence, Sparse

_NOW: Final = 1_704_067_200
_MINUTE: Final = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interest:
    """A target category c, and a history of categories c_j with ages a_j.

    Effects: `decay`, sum_j [c_j = c] exp(-a_j / tau), which needs the target and the time; `count`, sum_j [c_j = c],
    which needs the target alone; `taste`, the mean over behaviours of a number for each category, for which a mean of
    embeddings is enough.

    A history has a few topics, of which the target often is one. Ages are log-uniform, up to a longest age that differs
    between rows: the position of a behaviour does not tell its age.

    Attributes:
      categories: Number of categories.
      length: Most behaviours of a history; the least is half of it.
      topics: Categories that make up most of a history.
      tau_hours: Time constant of the decay.
    """

    categories: int = 20
    length: int = 20
    topics: int = 4
    tau_hours: float = 2.0

    @property
    def features(self) -> tuple[Feature, ...]:
        """The target's category and the history."""
        return (
            Sparse(name="category", side="ad", ids=IdMap(kind="identity", size=self.categories)),
            Sequence(
                name="history",
                behaviour=(BehaviourColumn(name="history_category", table="category", target="category"),),
                times="history_time",
                max_length=self.length,
            ),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws a taste for each category."""
        taste = random.normal(size=self.categories)

        def draw(asked: Draw) -> Drawn:
            rows, generator = asked.rows, asked.random
            shape = (rows, self.length)
            topics = generator.integers(self.categories, size=(rows, self.topics))
            category = np.where(
                generator.random(rows) < 0.7, topics[:, 0], generator.integers(self.categories, size=rows)
            )
            topic = np.take_along_axis(topics, generator.integers(self.topics, size=shape), axis=1)
            past = np.where(generator.random(shape) < 0.8, topic, generator.integers(self.categories, size=shape))
            longest = np.exp(generator.uniform(np.log(3600.0), np.log(14 * 86400.0), size=(rows, 1)))
            age = np.exp(np.log(_MINUTE) + generator.random(shape) * (np.log(longest) - np.log(_MINUTE)))
            age = np.floor(-np.sort(-age, axis=1))  # the oldest first
            there = np.arange(self.length) < generator.integers(self.length // 2, self.length + 1, size=(rows, 1))
            match = there & (past == category[:, np.newaxis])
            return Drawn(
                columns={
                    "category": category,
                    "history_category": np.where(there, past, -1),
                    "history_time": np.where(there, _NOW - age.astype(np.int64), -1),
                    "timestamp": np.full(rows, _NOW, np.int64),
                },
                effects={
                    "decay": (match * np.exp(-age / (3600.0 * self.tau_hours))).sum(axis=1),
                    "count": match.sum(axis=1).astype(np.float64),
                    "taste": np.where(there, taste[past], 0.0).sum(axis=1) / there.sum(axis=1),
                },
            )

        return draw
