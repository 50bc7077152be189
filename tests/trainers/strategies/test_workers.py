"""What the processes of a training agree on, and how a process finds its devices or the others; nothing is started."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Sequence
from typing import Any

import pytest
import tensorflow as tf

from fullrank.trainers.config.distribution import DistributionConfig
from fullrank.trainers.strategies import workers as joining
from fullrank.trainers.strategies.tf_config import Place, Task
from fullrank.trainers.strategies.workers import ALONE, Workers, join

HERE = tf.distribute.get_strategy()


class Told(Workers):
    """One of two processes, to which the chief says `said`; notes what this process says."""

    def __init__(self, number: int, *, said: float = 1.0) -> None:
        super().__init__(HERE, Place(number, 2))
        self._told = said
        self.says: list[float] = []

    def of_chief(self, value: float) -> float:
        self.says.append(value)
        return value if self.is_chief else self._told


def test_a_process_by_itself_is_the_chief_and_asks_nobody() -> None:
    alone = Workers(HERE)
    assert (alone.is_chief, alone.replicas, alone.count, alone.servers) == (True, 1, 1, None)
    assert alone.of_chief(0.1) == 0.1  # not even rounded to float32
    alone.wait()
    assert alone.led(lambda: None) == (True, None)
    assert alone.led(lambda: "finished") == (False, "finished")


def test_the_number_of_the_chief_counts_and_no_other() -> None:
    # A sum over the replicas, of which this process has the only one: the others add nothing.
    assert Workers(HERE, Place(0, 2)).of_chief(5.0) == 5.0
    assert Workers(HERE, Place(1, 2)).of_chief(5.0) == 0.0


def test_the_others_do_what_the_chief_decides() -> None:
    def never() -> str:
        raise AssertionError("only the chief is asked")

    assert Told(1, said=1.0).led(never) == (True, None)
    assert Told(1, said=2.0).led(never) == (False, None)
    with pytest.raises(ValueError, match="The chief cannot train; its own output says why"):
        Told(1, said=3.0).led(never)


def test_a_chief_that_fails_tells_the_others_before() -> None:
    chief = Told(0)
    assert chief.led(lambda: None) == (True, None)
    assert chief.led(lambda: 7) == (False, 7)

    def fail() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        chief.led(fail)
    assert chief.says == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.UnavailableError(None, None, "connection refused"),
        tf.errors.InternalError(None, None, "Collective ops is aborted by: a peer is gone"),
    ],
)
def test_the_loss_of_a_process_is_explained(error: tf.errors.OpError) -> None:
    with pytest.raises(ValueError, match="another process of this training has ended or cannot be reached"):
        raised(Workers(HERE, Place(0, 2)), error)
    servers: Any = object()
    with pytest.raises(ValueError, match="a parameter server has ended or cannot be reached, and the weights"):
        raised(Workers(HERE, servers=servers), error)
    with pytest.raises(type(error)):
        raised(Workers(HERE), error)


def raised(workers: Workers, error: Exception) -> None:
    with workers.together():
        raise error


def test_other_errors_are_left_as_they_are() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        raised(Workers(HERE, Place(0, 2)), tf.errors.InvalidArgumentError(None, None, "shapes differ"))
    with pytest.raises(KeyError):
        raised(Workers(HERE, Place(0, 2)), KeyError("x"))


def test_without_a_strategy_one_device_trains() -> None:
    workers = join(DistributionConfig())
    assert (workers.strategy, workers.number, workers.count) == (HERE, *ALONE)


def test_a_processor_that_is_in_use_cannot_be_divided() -> None:
    tf.zeros(1)  # TensorFlow has started
    parts = len(tf.config.list_logical_devices("CPU"))
    with pytest.raises(ValueError, match=f"--replicas=64: TensorFlow has divided the processor into {parts} in this"):
        join(DistributionConfig(strategy="mirrored", replicas=64))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """A machine of two GPUs; the devices that strategies are made of."""
    found: list[Sequence[str]] = []
    devices = [tf.config.LogicalDevice(name=f"/device:GPU:{number}", device_type="GPU") for number in range(2)]

    def strategy(names: Sequence[str]) -> tf.distribute.Strategy:
        found.append(names)
        return HERE

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices if kind == "GPU" else [])
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: devices if kind == "GPU" else [])
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", strategy)
    return found


def test_gpus_are_all_used_or_as_many_as_are_asked_for(gpus: list[Sequence[str]]) -> None:
    join(DistributionConfig(strategy="mirrored"))
    join(DistributionConfig(strategy="mirrored", replicas=1))
    assert gpus == [["/device:GPU:0", "/device:GPU:1"], ["/device:GPU:0"]]
    with pytest.raises(ValueError, match=r"--replicas=3: this machine has 2 GPU\(s\)"):
        join(DistributionConfig(strategy="mirrored", replicas=3))


def described(monkeypatch: pytest.MonkeyPatch, role: str, index: int, cluster: dict[str, list[str]]) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": role, "index": index}}))


def test_a_worker_of_several_has_the_place_of_its_description(monkeypatch: pytest.MonkeyPatch) -> None:
    described(monkeypatch, "worker", 1, {"worker": ["a:1", "b:1", "c:1"]})
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda: HERE)
    with kept_handler():
        workers = join(DistributionConfig(strategy="multi_worker"))
    assert (workers.number, workers.count, workers.is_chief) == (1, 3, False)


def test_several_workers_have_to_come_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def late() -> None:
        raise RuntimeError("Collective ops must be configured at program startup")

    described(monkeypatch, "worker", 0, {"worker": ["a:1", "b:1"]})
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", late)
    with pytest.raises(ValueError, match="has to be the first use of TensorFlow in a process: Collective ops must be"):
        join(DistributionConfig(strategy="multi_worker"))


def test_the_chief_alone_trains_with_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Servers:
        strategy = HERE

        def __init__(self, task: Task, *, shard_kib: int) -> None:
            self.task, self.shard_kib = task, shard_kib

    monkeypatch.setattr(joining, "Servers", Servers)
    cluster = {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}
    described(monkeypatch, "chief", 0, cluster)
    workers = join(DistributionConfig(strategy="parameter_server", shard_kib=8))
    servers: Any = workers.servers
    assert (servers.task, servers.shard_kib) == (Task("chief", 0, cluster), 8)
    assert workers.is_chief
    described(monkeypatch, "ps", 0, cluster)
    with pytest.raises(ValueError, match="The process ps 0 serves, and trains only what the chief hands it"):
        join(DistributionConfig(strategy="parameter_server"))


@contextlib.contextmanager
def kept_handler() -> Any:
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) is before
