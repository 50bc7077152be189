"""A planted world: mechanisms, and tasks whose logits are weighted sums of their effects.

Rows come in blocks. A block is a function of (seed, split, number) alone, so that any number of rows can be drawn, in
any order, by any number of workers, and nothing is held in memory but the truth:

    logit of a task = bias + sum of weight_e (effect_e - mean_e) / deviation_e        label ~ sigmoid(logit)

with the bias at which the mean rate is the one asked for. A weight is the dial of an effect: the deviation that it adds
to the logit. `true_<task>` is the logit itself, a column of its own that no model reads; its score is the oracle's.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.planted.mechanism import Draw, Drawn, Floats, Mechanism, Planted, SplitName
from fullrank.data.schema.features import Key, Label, Numeric, Vector
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.data.writing.statistics import Moments

BLOCK: Final = 8192
"""Rows of a block."""
_SPLITS: Final[dict[SplitName, int]] = {"train": 0, "validation": 1, "test": 2}
_FIT_BLOCKS: Final = 8
"""Blocks of a stream of their own from which means, deviations, biases and statistics are taken."""
_FIT: Final = 3

Columns = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A binary label.

    Attributes:
      weights: `mechanism/effect` -> the deviation that it adds to the logit.
      rate: Mean of the label.
      observed: Share of training examples on which the label is observed; elsewhere it is NaN.
      teacher_noise: Deviation of the noise on the logit of a teacher, who learned from other rows: its probability is
        the column `teacher_<task>`. `None` for no teacher.
    """

    weights: Mapping[str, float]
    rate: float = 0.2
    observed: float = 1.0
    teacher_noise: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """Mechanisms and tasks, without their truth, which `PlantedWorld` draws from a seed.

    Attributes:
      mechanisms: Name -> mechanism; their columns must differ.
      tasks: Label -> the terms of its logit.
    """

    mechanisms: Mapping[str, Mechanism]
    tasks: Mapping[str, Task]


class PlantedWorld:
    """A world with its truth.

    Args:
      world: Mechanisms and tasks.
      seed: Seed of the truth and of all rows.

    Raises:
      ValueError: If a task names an effect that no mechanism has, or a rate is not in (0, 1).
    """

    def __init__(self, world: World, *, seed: int) -> None:
        self.world, self.seed = world, seed
        self._extras: dict[str, None] = {}
        self._planted: dict[str, Planted] = {
            name: mechanism.plant(np.random.Generator(np.random.PCG64([seed, place])))
            for place, (name, mechanism) in enumerate(world.mechanisms.items())
        }
        fit = [self._draw("train", number, stream=_FIT) for number in range(_FIT_BLOCKS)]
        effects = {name: np.concatenate([block[name] for _, block in fit]) for name in fit[0][1]}
        self._check(effects)
        self._scales = {name: (float(each.mean()), float(each.std()) or 1.0) for name, each in effects.items()}
        self._biases = {
            task: _bias(self._sum(each.weights, effects), rate=each.rate) for task, each in world.tasks.items()
        }
        self._fit_columns = [columns for columns, _ in fit]

    def _check(self, effects: Mapping[str, Floats]) -> None:
        for task, each in self.world.tasks.items():
            unknown = [name for name in each.weights if name not in effects]
            if unknown:
                raise ValueError(f"Task {task!r}: there is no effect {unknown[0]!r}. Effects: {', '.join(effects)}.")
            if not 0 < each.rate < 1 or not 0 < each.observed <= 1:
                given = f"rate={each.rate}, observed={each.observed}"
                raise ValueError(f"Task {task!r}: rate lies between 0 and 1, observed too, or is 1. Received: {given}.")

    def _draw(self, split: SplitName, number: int, *, stream: int) -> tuple[dict[str, Any], dict[str, Floats]]:
        columns: dict[str, Any] = {}
        effects: dict[str, Floats] = {}
        for place, (name, planted) in enumerate(self._planted.items()):
            random = np.random.Generator(np.random.SFC64([self.seed, stream, number, place]))
            drawn: Drawn = planted(Draw(random=random, rows=BLOCK, split=split))
            twice = [column for column in drawn.columns if column in columns and column != "timestamp"]
            if twice:
                raise ValueError(f"Two mechanisms draw the column {twice[0]!r}.")
            columns |= {**drawn.columns, **drawn.extras}
            self._extras |= dict.fromkeys(drawn.extras)
            columns |= {f"hidden_{key}": value.astype(np.int64) for key, value in drawn.hidden.items()}
            effects |= {f"{name}/{effect}": value for effect, value in drawn.effects.items()}
        return columns, effects

    def _sum(self, weights: Mapping[str, float], effects: Mapping[str, Floats]) -> Floats:
        total: Floats = np.zeros(BLOCK if not effects else len(next(iter(effects.values()))))
        for name, weight in weights.items():
            mean, deviation = self._scales[name]
            total += weight * (effects[name] - mean) / deviation
        return total

    def block(self, split: SplitName, number: int) -> dict[str, npt.NDArray[Any]]:
        """Block `number` of a split: `BLOCK` rows of every column of the schema, `true_<task>` among them."""
        columns, effects = self._draw(split, number, stream=_SPLITS[split])
        random = np.random.Generator(np.random.SFC64([self.seed, _SPLITS[split], number, len(self._planted)]))
        for task, each in self.world.tasks.items():
            logit = self._biases[task] + self._sum(each.weights, effects)
            columns[task] = (random.random(BLOCK) < _sigmoid(logit)).astype(np.float32)
            columns[f"true_{task}"] = logit.astype(np.float32)
            if each.observed < 1 and split == "train":
                columns[task][random.random(BLOCK) >= each.observed] = np.nan
            if each.teacher_noise is not None:
                taught = _sigmoid(logit + each.teacher_noise * random.normal(size=BLOCK))
                columns[f"teacher_{task}"] = taught.astype(np.float32)
        return columns

    def blocks(self, split: SplitName, *, worker: int = 0, workers: int = 1) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Endless blocks; workers share them out by number."""
        number = worker
        while True:
            yield self.block(split, number)
            number += workers

    def rows(self, split: SplitName, rows: int) -> dict[str, npt.NDArray[Any]]:
        """The first rows of a split, in memory."""
        blocks = [self.block(split, number) for number in range(-(-rows // BLOCK))]
        return {name: np.concatenate([block[name] for block in blocks])[:rows] for name in blocks[0]}

    def batches(self, split: SplitName, *, batch_size: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Endless batches, of a size that divides `BLOCK`.

        Raises:
          ValueError: If it does not.
        """
        if batch_size < 1 or BLOCK % batch_size:
            raise ValueError(f"A batch of a planted world divides a block of {BLOCK} rows. Received: {batch_size}.")
        for block in self.blocks(split):
            for start in range(0, BLOCK, batch_size):
                yield {name: values[start : start + batch_size] for name, values in block.items()}

    def schema(self, *, train_rows: int) -> Schema:
        """The schema, with statistics of a sample, for `train_rows` training rows."""
        return self._schema_of(train_rows)

    @functools.cached_property
    def _fitted(self) -> dict[str, Any]:
        given = {name: np.concatenate([block[name] for block in self._fit_columns]) for name in self._fit_columns[0]}
        fitted: dict[str, Any] = {}
        for mechanism in self.world.mechanisms.values():
            for feature in mechanism.features:
                if isinstance(feature, Numeric):
                    fitted[feature.name] = _statistics(given[feature.name])
                elif isinstance(feature, Vector) and feature.pair is not None:
                    products = np.einsum("nk,nk->n", given[feature.name], given[feature.pair])
                    fitted[feature.name] = _statistics(products.astype(np.float32))
        return fitted

    def _schema_of(self, train_rows: int) -> Schema:
        features = tuple(
            dataclasses.replace(feature, statistics=self._fitted[feature.name])
            if feature.name in self._fitted
            else feature
            for mechanism in self.world.mechanisms.values()
            for feature in mechanism.features
        )
        first = self._fit_columns[0]
        shard = Shard(file="planted", examples=train_rows)
        return Schema(
            name="planted",
            features=features,
            labels=tuple(
                Label(name=task, mean=each.rate, observed=each.observed) for task, each in self.world.tasks.items()
            ),
            segments=tuple(Key(name=name) for name in first if name.startswith("hidden_")),
            time="timestamp" if "timestamp" in first else None,
            extras=(
                *self._extras,
                *(f"true_{task}" for task in self.world.tasks),
                *(f"teacher_{task}" for task, each in self.world.tasks.items() if each.teacher_noise is not None),
            ),
            splits=(Split(name="train", shards=(shard,)),),
        )


def _statistics(values: npt.NDArray[np.float32]) -> Any:
    moments = Moments(seed=0)
    moments.add(values[np.isfinite(values)])
    return moments.statistics(len(values))


def _bias(logit: Floats, *, rate: float) -> float:
    """The number that brings the mean of sigmoid(logit + bias) to the rate, by bisection."""
    low, high = -30.0 - float(logit.max()), 30.0 - float(logit.min())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(logit + middle).mean() < rate else (low, middle)
    return (low + high) / 2


def _sigmoid(logit: Floats) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * logit))
