"""The processes of a training, what they have to agree on, and a data set that every one of them reads in full."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import tensorflow as tf

from fullrank.trainers.config.distribution import DistributionConfig
from fullrank.trainers.strategies.servers import Servers, ended_by_signals, handle_termination_again
from fullrank.trainers.strategies.tf_config import CHIEF, Place, read_place, read_task

Answer = TypeVar("Answer")

ALONE: Final = Place(0, 1)
_WENT_WELL, _DONE, _FAILED = 1.0, 2.0, 3.0
_LOST: Final = "Collective ops is aborted"
_CPU: Final = "CPU"


class Workers:
    """The processes that train one model together, seen from one of them.

    `of_chief`, `wait` and `led` wait for the other processes, which have to call them as well.

    Args:
      strategy: What shares a step among their devices.
      place: The place of this process.
      servers: Where the chief hands steps to workers that have no place; `None` where each process takes them itself.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, place: Place = ALONE, *, servers: Servers | None = None
    ) -> None:
        self.strategy, self.servers = strategy, servers
        self.number, self.count = place
        # One trace per process: a number given as a tensor does not make another one.
        self._sum = tf.function(self._sum_of_replicas)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run directory, and says what happens."""
        return self.number == 0

    @property
    def replicas(self) -> int:
        """Devices of all processes."""
        return int(self.strategy.num_replicas_in_sync)

    def of_chief(self, value: float) -> float:
        """The number that the chief calls this with; those of the others do not count."""
        if self.count == 1:
            return value
        given = tf.constant(value if self.is_chief else 0.0, tf.float32)
        return float(self.strategy.experimental_local_results(self._sum(given))[0])

    def _sum_of_replicas(self, given: tf.Tensor) -> Any:
        def share() -> Any:
            context = tf.distribute.get_replica_context()
            first = tf.equal(context.replica_id_in_sync_group, 0)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, given, 0.0))

        return self.strategy.run(share)

    def wait(self) -> None:
        """Waits until every process is here."""
        self.of_chief(0.0)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Explains an error that comes from the loss of another process.

        Raises:
          ValueError: Instead of such an error.
        """
        try:
            yield
        except tf.errors.OpError as error:
            lost = isinstance(error, tf.errors.UnavailableError) or _LOST in str(error)
            if not lost or (self.count == 1 and self.servers is None):
                raise
            if self.servers is not None:
                raise ValueError(
                    "a parameter server has ended or cannot be reached, and the weights that it held are lost. Start "
                    "all processes again with the same commands: training resumes from the last checkpoint."
                ) from error
            raise ValueError(
                "another process of this training has ended or cannot be reached; its own output says why. Start all "
                "of them again with the same commands: training resumes from the last checkpoint."
            ) from error

    def led(self, first: Callable[[], Answer | None]) -> tuple[bool, Answer | None]:
        """Lets the chief do something that may end the training, before the others go on.

        Args:
          first: Called by the chief alone; a result other than `None` ends the training.

        Returns:
          Whether to go on, and the result of `first` at the chief.

        Raises:
          ValueError: At the others, if the chief failed; at the chief, whatever `first` raises.
        """
        answer: Answer | None = None
        said = _WENT_WELL
        if self.is_chief:
            try:
                answer = first()
            except BaseException:
                self.of_chief(_FAILED)
                raise
            said = _WENT_WELL if answer is None else _DONE
        said = self.of_chief(said)
        if said == _FAILED:
            raise ValueError("The chief cannot train; its own output says why.")
        return said == _WENT_WELL, answer


def join(config: DistributionConfig) -> Workers:
    """Finds the devices or the other processes; has to come before the first operation of TensorFlow.

    Raises:
      ValueError: If there are not as many devices, or TF_CONFIG does not describe a cluster.
    """
    if config.strategy == "none":
        return Workers(tf.distribute.get_strategy())
    if config.strategy == "mirrored":
        return Workers(tf.distribute.MirroredStrategy(_devices(config.replicas)))
    if config.strategy == "parameter_server":
        task = read_task()
        if task.role != CHIEF:
            raise ValueError(f"The process {task.role} {task.number} serves, and trains only what the chief hands it.")
        servers = Servers(task, shard_kib=config.shard_kib)
        return Workers(servers.strategy, servers=servers)
    place = read_place()
    try:
        with ended_by_signals():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(
            f"--strategy=multi_worker has to be the first use of TensorFlow in a process: {error}"
        ) from error
    handle_termination_again()
    return Workers(strategy, place)


def _devices(replicas: int | None) -> list[str]:
    if tf.config.list_physical_devices("GPU"):
        gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
        if replicas is not None and replicas > len(gpus):
            raise ValueError(f"--replicas={replicas}: this machine has {len(gpus)} GPU(s).")
        return gpus[:replicas]
    wanted = replicas or 1
    # Once TensorFlow has started in this process, the parts of the processor are fixed.
    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices(_CPU)[0], [tf.config.LogicalDeviceConfiguration()] * wanted
        )
    parts = [device.name for device in tf.config.list_logical_devices(_CPU)]
    if len(parts) < wanted:
        raise ValueError(
            f"--replicas={replicas}: TensorFlow has divided the processor into {len(parts)} in this process already."
        )
    return parts[:wanted]


class WholeDataset(tf.distribute.DistributedDataset):
    """Keeps Keras from dividing batches, which `Ranker.test_step` does: every replica takes its rows of each batch.

    So metrics are over every example once, whatever the number of files, and all processes take equally many steps.

    Args:
      dataset: Batches.
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        self._dataset = dataset

    def __iter__(self) -> Iterator[object]:
        """A new pass."""
        return iter(self._dataset)
