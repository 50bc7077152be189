"""Who serves and the chief that is served, with stand-ins for TensorFlow's servers and strategy."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from ran_commands import ran

from fullrank.trainers import train
from fullrank.trainers.strategies import servers
from fullrank.trainers.strategies.servers import Servers, serve
from fullrank.trainers.strategies.tf_config import JOINED, Task

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1", "e:1"]}
CHIEF = Task("chief", 0, CLUSTER)


@pytest.fixture(autouse=True)
def _handler_again() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The servers that were started; each gets SIGTERM as soon as it says where it listens."""
    found: list[dict[str, Any]] = []

    class Server:
        def __init__(self, spec: tf.train.ClusterSpec, **options: Any) -> None:
            self._address = spec.job_tasks(options["job_name"])[options["task_index"]]
            found.append({"cluster": spec.as_dict(), **options})

        @property
        def target(self) -> str:
            signal.raise_signal(signal.SIGTERM)
            return f"grpc://{self._address}"

    monkeypatch.setenv("GRPC_FAIL_FAST", "")
    monkeypatch.delenv("GRPC_FAIL_FAST")
    monkeypatch.setattr(tf.distribute, "Server", Server)
    return found


@pytest.mark.parametrize(("role", "name"), [("ps", "server 1 listens at e:1."), ("worker", "worker 1 listens at c:1.")])
def test_a_process_serves_until_it_is_terminated(
    role: str, name: str, started: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(Task(role, 1, CLUSTER))
    (options,) = started
    assert options["cluster"] == CLUSTER
    assert (options["job_name"], options["task_index"], options["protocol"]) == (role, 1, "grpc")
    # A thread for each worker that may wait here, besides those of the cores.
    assert options["config"].inter_op_parallelism_threads == (os.cpu_count() or 1) + 2
    assert capsys.readouterr().out == f"{name}\n"
    assert os.environ["GRPC_FAIL_FAST"] == "use_caller"


def test_the_command_serves_where_the_process_is_no_chief(
    started: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"type": "ps", "index": 0}}))
    flags = (f"--data={tmp_path / 'records'}", f"--output={tmp_path / 'run'}", "--strategy=parameter_server")
    code, out, _ = ran(capsys, train.run, *flags)
    assert code == 0
    assert out == "server 0 listens at d:1.\n"
    assert started[0]["job_name"] == "ps"
    assert not (tmp_path / "run").exists()


class Strategy:
    """Stands in for the strategy of parameter servers."""

    num_replicas_in_sync = 1

    def __init__(self, resolver: Any, *, variable_partitioner: Any) -> None:
        self.resolver, self.partitioner = resolver, variable_partitioner


@pytest.fixture
def strategy(monkeypatch: pytest.MonkeyPatch) -> type[Strategy]:
    class Made(Strategy):
        pass

    monkeypatch.setattr(tf.distribute, "ParameterServerStrategy", Made)
    monkeypatch.setattr(tf.distribute.coordinator, "ClusterCoordinator", lambda strategy: ("coordinates", strategy))
    return Made


@pytest.mark.usefixtures("strategy")
def test_the_chief_joins_and_divides_large_tables(capsys: pytest.CaptureFixture[str]) -> None:
    joined = Servers(CHIEF, shard_kib=1)
    assert (joined.workers, joined.count) == (2, 2)
    assert joined.coordinator == ("coordinates", joined.strategy)
    resolver = joined.strategy.resolver
    assert (resolver.task_type, resolver.task_id, resolver.rpc_layer) == ("chief", 0, "grpc")
    assert resolver.cluster_spec().as_dict() == CLUSTER
    # 256 rows of 4 bytes are 1 KiB: with the next row a second part begins, but there are two servers only.
    parts = {
        rows: joined.strategy.partitioner(shape=tf.TensorShape([rows, 1]), dtype=tf.float32)
        for rows in (256, 257, 100_000)
    }
    assert parts == {256: [1, 1], 257: [2, 1], 100_000: [2, 1]}
    assert capsys.readouterr().out == f"{JOINED}\n"


def test_a_worker_has_one_gpu(strategy: type[Strategy], capsys: pytest.CaptureFixture[str]) -> None:
    strategy.num_replicas_in_sync = 4
    with pytest.raises(ValueError, match="uses one GPU of each worker, but a worker has 4: start more workers"):
        Servers(CHIEF, shard_kib=1)
    assert JOINED not in capsys.readouterr().out


def test_a_cluster_that_cannot_be_joined_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise tf.errors.DeadlineExceededError(None, None, "no answer")

    monkeypatch.setattr(tf.distribute, "ParameterServerStrategy", refuse)
    with pytest.raises(ValueError, match="--strategy=parameter_server cannot join the cluster: no answer"):
        Servers(CHIEF, shard_kib=1)


def test_the_missing_are_named_while_the_chief_waits(
    strategy: type[Strategy], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    often = threading.Event()

    def missing(cluster: Any) -> list[str]:
        asked.append(cluster)
        if len(asked) > 2:
            often.set()
        return ["worker 1 at c:1", "server 0 at d:1"] if len(asked) == 1 else []

    class Waiting(strategy):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            assert often.wait(60)

    monkeypatch.setattr(servers, "missing", missing)
    monkeypatch.setattr(servers, "_BETWEEN_NOTICES", 0.001)
    monkeypatch.setattr(tf.distribute, "ParameterServerStrategy", Waiting)
    before = threading.active_count()
    Servers(CHIEF, shard_kib=1)
    assert threading.active_count() == before
    assert capsys.readouterr().out.splitlines() == ["Waits for worker 1 at c:1, server 0 at d:1.", JOINED]
    assert asked[0] == CLUSTER
