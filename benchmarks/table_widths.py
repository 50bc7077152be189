"""Tables narrower than their embedding set (`--table_widths`), against tables as wide as the set.

A `single` model of width 16 on a planted world of a million people and 100,000 ads. Rows: bytes of all tables and their
accumulators, and the time of a training step.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

import report
from fullrank import models
from fullrank.data.planted.affinities import Affinities
from fullrank.data.planted.world import PlantedWorld, Task, World
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.training.build_model import compile_model

WIDTH, NARROW, STEPS = 16, 4, 8
TABLES: Final = ("user_id", "ad_id")


def main() -> None:
    """Runs the benchmark."""
    options = report.arguments(__doc__.splitlines()[0])
    rows = 2_000 if options.quick else 1_000_000
    world = PlantedWorld(
        World(
            mechanisms={"affinities": Affinities(users=rows, ads=rows // 10)},
            tasks={"click": Task(weights={"affinities/chosen": 2.0})},
        ),
        seed=1,
    )
    batch = next(world.batches("train", batch_size=256 if options.quick else 2048))
    narrow, wide = (_trained(world, batch, widths=widths) for widths in (dict.fromkeys(TABLES, NARROW), {}))
    timing = report.alternate(narrow.steps, wide.steps, rounds=2 if options.quick else 20, warmup=1)
    name = f"rows of {NARROW} mapped to {WIDTH} / rows of {WIDTH}"
    found = [
        report.compare(
            name=f"bytes of tables and accumulators: {name}",
            ours=report.Sample((narrow.megabytes,)),
            reference=report.Sample((wide.megabytes,)),
            goal="<= 0.3",
            unit="MB",
        ),
        report.compare(
            name=f"step: {name}",
            ours=timing.ours.scaled(1e3 / STEPS),
            reference=timing.reference.scaled(1e3 / STEPS),
            goal="<= 1.05",
            unit="ms",
        ),
    ]
    report.emit(found, options.json)


@dataclasses.dataclass(frozen=True)
class _Trained:
    """A model to measure.

    Args:
      steps: trains it for `STEPS` steps.
      megabytes: of its tables and their accumulators.
    """

    steps: Callable[[], None]
    megabytes: float


def _trained(world: PlantedWorld, batch: Any, *, widths: dict[str, int]) -> _Trained:
    wiring = models.single(width=WIDTH, experts=("crossnet", "flat"), tasks=("click",))
    model = models.Ranker(
        world.schema(train_rows=100_000), wiring, models.RankerOptions(table_widths=tuple(widths.items()))
    )
    compile_model(model, OptimizerConfig(), total_steps=1000)
    step = model.make_train_function()
    endless = iter(tf.data.Dataset.from_tensors({name: tf.constant(value) for name, value in batch.items()}).repeat())

    def steps() -> None:
        for _ in range(STEPS):
            logs = step(endless)
        for value in logs.values():
            value.numpy()

    steps()
    tables = list(model.table_variables.values())
    rows = {table.shape[0] for table in tables}
    held = [*tables, *(slot for slot in model.optimizer.variables if slot.shape.rank and slot.shape[0] in rows)]
    return _Trained(steps, sum(each.shape.num_elements() * each.dtype.size for each in held) / 1e6)


if __name__ == "__main__":
    main()
