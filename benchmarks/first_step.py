"""What a training run costs before its second step, in processor time and by part.

The parts are measured in one process, one after the other: importing TensorFlow, importing what training uses, building
the model (`me`: three experts, two tasks, 12 ids), then the functions that `fit` calls, on a batch of 2,048: the first
training step and the first validation step, which trace and optimise a graph, each beside a second one, which an epoch
is made of. Reading records, checkpoints and logs are not part of it. Each measurement is a child process, whose peak of
memory is its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import report

IMPORTS, OWN_IMPORTS, BUILDING = "importing TensorFlow", "importing fullrank", "building the model"
STEPS = ("training step", "validation step")


class Parts:
    """Seconds of processor time of one part after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.process_time()

    def end(self, part: str) -> None:
        """Ends a part."""
        now = time.process_time()
        self.seconds[part], self._last = now - self._last, now


def child(batch_size: int) -> None:
    """Measures in this process, and prints the figures as JSON."""
    parts = Parts()
    import tensorflow as tf

    parts.end(IMPORTS)
    from fullrank.trainers.config.optimizer import OptimizerConfig
    from fullrank.trainers.training.build_model import compile_model
    from fullrank.trainers.training.train_model import train_model

    del train_model
    parts.end(OWN_IMPORTS)
    model = _model()
    compile_model(model, OptimizerConfig(), total_steps=100)
    parts.end(BUILDING)
    batches = iter(tf.data.Dataset.from_tensors(_batch(model, batch_size)).repeat())
    parts.end("data")
    for step, function in zip(STEPS, (model.make_train_function(), model.make_test_function()), strict=True):
        for which in ("first", "second"):
            tf.nest.map_structure(lambda value: value.numpy(), function(batches))
            parts.end(f"{which} {step}")
    print(json.dumps({**parts.seconds, "peak memory": report.peak_memory() / 1e9}))


def _model() -> Any:
    from fullrank import models
    from fullrank.data import IdMap, Label, Schema, Sparse

    ids = tuple(Sparse(name=f"C{k}", ids=IdMap(kind="identity", size=1000)) for k in range(12))
    labels = tuple(Label(name=task, mean=0.3, observed=1.0) for task in ("click", "like"))
    wiring = models.multi_embedding(tasks=("click", "like"))
    return models.Ranker(Schema(name="first_step", features=ids, labels=labels), wiring)


def _batch(model: Any, size: int) -> dict[str, Any]:
    import numpy as np
    import tensorflow as tf

    draw = np.random.default_rng(1)
    batch = {column.name: tf.constant(draw.integers(0, 1000, size)) for column in model.schema.input_columns}
    labels = {label.name: tf.constant(draw.integers(0, 2, size).astype(np.float32)) for label in model.schema.labels}
    return {**batch, **labels}


def main() -> None:
    """Runs the benchmark."""
    options = report.arguments(__doc__.splitlines()[0])
    rounds = 1 if options.quick else 3
    found = [report.in_child(__file__, 64 if options.quick else 2048) for _ in range(rounds)]

    def sample(*parts: str) -> report.Sample:
        return report.Sample(tuple(sum(each[part] for part in parts) for each in found))

    once = (IMPORTS, OWN_IMPORTS, BUILDING, *(f"first {step}" for step in STEPS))
    rows = [report.compare(name=part, ours=sample(part), reference=None, unit="s") for part in once[:3]]
    rows += [
        report.compare(
            name=f"first {step} / second", ours=sample(f"first {step}"), reference=sample(f"second {step}"), unit="s"
        )
        for step in STEPS
    ]
    rows.append(report.compare(name="all before the second steps", ours=sample(*once), reference=None, unit="s"))
    rows.append(report.compare(name="peak memory", ours=sample("peak memory"), reference=None, unit="GB"))
    report.emit(rows, options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]))
    else:
        main()
