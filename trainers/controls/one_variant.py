"""All runs of one variant of a control: each of its rates in the world of each seed.

The graph is traced once. Every run starts from the weights that a model of its seed is built with and a new optimiser,
whose variables are copied into the traced one.
"""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.planted.world import BLOCK, PlantedWorld
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.controls.plan import Control, Side
from fullrank.trainers.studies.job import Job, config_of

_STATISTICS_SEED: Final = 0
"""Seed of the world whose statistics all runs read numbers with."""
_MEASURED_BLOCKS: Final = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariantJob:
    """The runs to train for one variant of a control.

    Attributes:
      control: The control, with its rows.
      side: The side whose world is used.
      variant: Name of the variant.
      missing: Seeds of worlds and weights, and the rates that are to be trained with each.
    """

    control: Control
    side: Side
    variant: str
    missing: tuple[tuple[int, float], ...]

    def config(self, rate: float) -> RunConfig:
        """The configuration of a training with a rate.

        Raises:
          ValueError: If a flag is unknown or a value is refused.
        """
        job = Job(
            variant=self.variant,
            seed=1,
            data="planted",
            flags=(self.control.flags_of(self.variant, rate=rate),),
            run="unused",
            split="test",
            segments=(),
            duplicates=None,
            abundance=False,
            keep=False,
        )
        return config_of(job)


def run_variant(job: VariantJob) -> list[dict[str, Any]]:
    """Trains and measures all that is missing of a variant.

    Returns:
      A line for each run: names of control, side, variant; `seed`, `rate`, `plan`; `validated`, the value of
      `Control.tuned_by` on validation rows; on test rows the `values` of the trained model, `untrained` ones, and those
      of the `oracle`, who knows the logits; the attention `map`; `steps`, `weights`, `seconds`; or `error` in place of
      the results.
    """
    lines: list[dict[str, Any]] = []
    training: _Training | None = None
    for seed, rate in job.missing:
        line: dict[str, Any] = {"control": job.control.name, "side": job.side, "variant": job.variant, "seed": seed}
        line |= {"rate": rate, "plan": job.control.digest(job.side, job.variant)}
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            training = training or _Training(job)
            line |= training.run(seed=seed, rate=rate)
        except Exception as error:  # one failed run must not end many hours of others; the page shows what failed
            trace = traceback.extract_tb(error.__traceback__)[-1]
            line["error"] = f"{type(error).__name__}: {error} ({Path(trace.filename).name}:{trace.lineno})"
        line["seconds"] = round(time.perf_counter() - wall, 2)
        line["cpu_seconds"] = round(time.process_time() - cpu, 2)
        lines.append(line)
    return lines


class _Training:
    """A traced model of a variant, which each run gives its own start."""

    def __init__(self, job: VariantJob) -> None:
        import tensorflow as tf

        from fullrank.layers.legacy_keras import keras
        from fullrank.trainers.training.records import batch_size_of

        keras.backend.clear_session()
        self._job = job
        control, self._world = job.control, job.control.world(job.side)
        # Statistics are baked into the graph. Those of one world serve all: truths differ, ranges do not.
        rate = control.rates[0]
        self._schema = PlantedWorld(self._world, seed=_STATISTICS_SEED).schema(train_rows=control.rows)
        self._batch_size = batch_size_of(job.config(rate).data)
        self._steps = control.rows // self._batch_size
        self._model = self._built(seed=_STATISTICS_SEED, rate=rate)
        model = self._model
        self._logits = tf.function(lambda batch: model.logits(batch, training=False), reduce_retracing=True)

    def _built(self, *, seed: int, rate: float) -> Any:
        from fullrank.layers.legacy_keras import keras
        from fullrank.trainers.training.build_model import build_model, compile_model
        from fullrank.trainers.training.teachers import give_teacher

        config = self._job.config(rate)
        keras.utils.set_random_seed(seed)
        model = build_model(config.model, self._schema, objective=config.objective, exposure=config.exposure, seed=seed)
        if config.objective.is_taught:
            give_teacher(model, config.objective, self._schema, twin=_no_twin)
        compile_model(model, config.optimizer, total_steps=self._steps)
        model.optimizer.build(model.trainable_variables)
        return model

    def run(self, *, seed: int, rate: float) -> dict[str, Any]:
        """One pass with a seed and a rate, and what it came to."""
        import tensorflow as tf

        from fullrank.trainers.controls.measure import measure, oracle, predictions_scores

        control, model = self._job.control, self._model
        for mine, start in zip(_variables(model), _variables(self._built(seed=seed, rate=rate)), strict=True):
            mine.assign(start)
        world = PlantedWorld(self._world, seed=seed)
        rows = world.rows("test", _MEASURED_BLOCKS * BLOCK)
        spectral = control.field is not None
        untrained = measure(model, rows, logits=self._logits, field=control.field) if spectral else {}

        def batches() -> Iterator[Mapping[str, npt.NDArray[Any]]]:
            yield from world.batches("train", batch_size=self._batch_size)

        signature = {name: tf.TensorSpec((None, *each.shape[1:]), each.dtype) for name, each in rows.items()}
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(4)
        model.fit(dataset, epochs=1, steps_per_epoch=self._steps, verbose=0)
        validation = world.rows("validation", _MEASURED_BLOCKS * BLOCK)
        validated = predictions_scores(model, validation, logits=self._logits)
        return {
            "validated": validated[control.tuned_by],
            "values": measure(model, rows, logits=self._logits, field=control.field),
            "untrained": untrained,
            "map": self._map(rows),
            "oracle": oracle(rows, tasks=model.wiring.tasks),
            "steps": self._steps,
            "weights": int(np.sum([weight.shape.num_elements() for weight in model.trainable_weights])),
        }

    def _map(self, rows: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, float | None]]:
        from fullrank.trainers.controls.attention_map import attention_map
        from fullrank.trainers.controls.measure import batches_of

        if self._job.control.attends is None:
            return []
        behaviours, target, times, now = self._job.control.attends
        return attention_map(
            self._model,
            batches_of(self._model, rows),
            behaviours=behaviours,
            target=target,
            times=times,
            now=now,
        )


def _no_twin() -> Any:
    raise ValueError("a control takes its teacher from a column, not from a moving average")


def _variables(model: Any) -> list[Any]:
    """Every variable of a compiled model and its optimiser, learning rates among them, in the order of tracking."""
    import tensorflow as tf

    found = tf.train.TrackableView(model).descendants()
    return [each for each in found if isinstance(each, tf.Variable)]
