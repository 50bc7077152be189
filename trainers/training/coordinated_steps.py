"""The loop of a training whose steps a coordinator hands to workers, as `Model.fit` has for one process.

Keras's own loop for parameter servers knows no callbacks between steps, and takes no position to resume from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.strategies.servers import Servers
from fullrank.trainers.training.records import batches_of_readers


class CoordinatedSteps:
    """Takes the place of `Model.fit` for a model whose variables parameter servers hold.

    The chief hands out as many steps as `meet_every` and waits until all are taken; then callbacks see the metrics so
    far, which workers have added up on the servers, and may save. Validation is computed by the chief. A worker that is
    lost takes no more steps, and those it was taking are handed out again; when it is back, it reads the files of
    another share.

    The first steps of a training are taken one at a time: where they overlapped, quality was lost
    (docs/distributed.md). Adaptive rates are largest at the beginning, and two gradients that are computed on the same
    weights add up. Dean et al. (Large Scale Distributed Deep Networks, 2012) also begin with one worker.

    Args:
      model: Compiled, with all its weights, in the scope of the servers' strategy.
      servers: The workers and servers.
      read: Number of an iterator -> endless batches; see `data.reading.read_share`.
      meet_every: Steps of all workers together between two meetings.
      overlap_after: Steps of a training, of all workers together, before some are taken at the same time.

    Attributes:
      parts: What a checkpoint has to hold in addition to the model: how many iterators there have been.
    """

    def __init__(
        self,
        model: Ranker,
        *,
        servers: Servers,
        read: Callable[[tf.Tensor], tf.data.Dataset],
        meet_every: int,
        overlap_after: int,
    ) -> None:
        self._model, self._servers, self._meet_every = model, servers, meet_every
        self._overlap_after = overlap_after
        strategy = servers.strategy
        with strategy.scope():
            iterators = tf.Variable(0, dtype=tf.int64, trainable=False, name="iterators")
        self.parts = {"iterators": iterators}

        @tf.function(autograph=False)
        def batches() -> tf.data.Dataset:
            return read(iterators.assign_add(1) - 1)

        @tf.function(autograph=False)
        def step(iterator: Any) -> None:
            strategy.run(functools.partial(_taken, model), args=(next(iterator),))

        self._batches, self._step = batches, step
        self._test = tf.function(lambda batch: _tested(model, batch), autograph=False)
        self._so_far = tf.function(model.metrics_so_far, autograph=False)

    def fit(
        self,
        *,
        steps_per_epoch: int,
        initial_epoch: int,
        epochs: int,
        validation_data: Iterable[Any] | None,
        validation_steps: int | None,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: int,
    ) -> None:
        """Trains; the arguments are those of `Model.fit`.

        Raises:
          tf.errors.UnavailableError: If a server is lost.
        """
        del validation_steps  # the dataset ends by itself
        model, coordinator = self._model, self._servers.coordinator
        called = keras.callbacks.CallbackList(
            list(callbacks), model=model, verbose=verbose, epochs=epochs, steps=steps_per_epoch
        )
        iterator = iter(coordinator.create_per_worker_dataset(self._batches))
        model.stop_training = False
        called.on_train_begin()
        resumed = model._training_state
        _, first = resumed.maybe_load_initial_counters_from_ckpt(steps_per_epoch, initial_epoch, mode=None)
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            called.on_epoch_begin(epoch)
            logs: dict[str, Any] = {}
            for start in range(first, steps_per_epoch, self._meet_every):
                end = min(start + self._meet_every, steps_per_epoch)
                called.on_train_batch_begin(start)
                for step in range(start, end):
                    coordinator.schedule(self._step, args=(iterator,))
                    if epoch * steps_per_epoch + step < self._overlap_after:
                        coordinator.join()
                coordinator.join()
                logs = self._so_far()
                called.on_train_batch_end(end - 1, logs)
            first = 0
            if validation_data is not None:
                logs = {**logs, **self._validated(validation_data)}
            called.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        called.on_train_end()

    def _validated(self, batches: Iterable[Any]) -> dict[str, Any]:
        self._model.reset_metrics()
        for batch in batches:
            self._test(batch)
        return {f"val_{name}": value for name, value in self._so_far().items()}


# The results of a step would make it read the metrics of all workers.
def _taken(model: Ranker, batch: Any) -> None:
    model.train_step(batch)


def _tested(model: Ranker, batch: Any) -> None:
    model.test_step(batch)


def steps_of_workers(model: Ranker, config: RunConfig, schema: Schema, *, servers: Servers) -> CoordinatedSteps:
    """The steps that a configuration asks for."""
    train = config.train
    return CoordinatedSteps(
        model,
        servers=servers,
        read=batches_of_readers(config, schema, readers=servers.workers),
        meet_every=min(train.log_steps, train.checkpoint_steps or train.log_steps),
        overlap_after=config.distribution.overlap_after,
    )
