"""Parameter servers: who serves, and the chief that hands steps to the workers.

A worker takes a step of its own batch on the weights that the servers hold at that moment, and its gradient is applied
to them at once: but for the first ones, steps of several workers overlap, and none waits for another (asynchronous
gradient descent).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import tensorflow as tf

from fullrank.trainers.strategies.tf_config import CHIEF, JOINED, SERVER, WORKER, Task

_PROTOCOL: Final = "grpc"
_BETWEEN_NOTICES: Final = 20.0
_TO_ANSWER: Final = 2.0
"""Seconds in which a process accepts a connection, or is said to be missing."""


def serve(task: Task) -> None:
    """Lets other processes run their graphs in this one, a worker or a server, until SIGTERM."""
    # A worker that waits for a server that is gone for good would never tell the chief.
    os.environ.setdefault("GRPC_FAIL_FAST", "use_caller")
    # A step blocks a thread of each process that it waits in. With no thread left for what it waits for, training
    # would never end its first step, as on a machine of one core with TensorFlow's default of a thread per core.
    threads = (os.cpu_count() or 1) + len(task.cluster[WORKER])
    server = tf.distribute.Server(
        tf.train.ClusterSpec(task.cluster),
        job_name=task.role,
        task_index=task.number,
        protocol=_PROTOCOL,
        config=tf.compat.v1.ConfigProto(inter_op_parallelism_threads=threads),
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    name = "server" if task.role == SERVER else task.role
    print(f"{name} {task.number} listens at {server.target.rpartition('/')[2]}.", flush=True)
    ended.wait()


class Servers:
    """The workers and the parameter servers, seen from the chief, which waits until all of them are there.

    Args:
      task: The part of this process, the chief.
      shard_kib: KiB of a variable for each part of it.

    Attributes:
      strategy: In its scope variables are created on the servers: in turn, and those of more than `shard_kib` by rows
        in parts of equal size, one for each `shard_kib` that they begin, but no more than there are servers.
      coordinator: Hands functions to the workers, and again to another one where a worker was lost.
      workers: Number of workers.
      count: Number of servers.

    Raises:
      ValueError: If a worker has several GPUs, or the cluster cannot be joined.
    """

    def __init__(self, task: Task, *, shard_kib: int) -> None:
        self.workers, self.count = len(task.cluster[WORKER]), len(task.cluster[SERVER])
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(task.cluster), task_type=CHIEF, task_id=0, rpc_layer=_PROTOCOL
        )
        partitioner = tf.distribute.experimental.partitioners.MinSizePartitioner(
            min_shard_bytes=shard_kib * 1024, max_shards=len(task.cluster[SERVER])
        )
        try:
            with _naming_the_missing(task.cluster), ended_by_signals():
                self.strategy: Any = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)
        except (RuntimeError, tf.errors.OpError) as error:
            raise ValueError(f"--strategy=parameter_server cannot join the cluster: {error}") from error
        if self.strategy.num_replicas_in_sync > 1:
            raise ValueError(
                f"--strategy=parameter_server uses one GPU of each worker, but a worker has "
                f"{self.strategy.num_replicas_in_sync}: start more workers, each with CUDA_VISIBLE_DEVICES of its own."
            )
        print(JOINED, flush=True)
        self.coordinator: Any = tf.distribute.coordinator.ClusterCoordinator(self.strategy)
        handle_termination_again()


def handle_termination_again() -> None:
    """Gives SIGTERM back to Python, from which TensorFlow's coordination service has taken it.

    Its handler only notes the signal, so that the process would train on.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Lets SIGINT and SIGTERM end the process at once: while TensorFlow waits, Python's handlers are not called."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _naming_the_missing(cluster: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Prints now and then which processes do not listen yet: TensorFlow waits for them for ever, without a word."""
    ended = threading.Event()

    def notice() -> None:
        while not ended.wait(_BETWEEN_NOTICES):
            absent = missing(cluster)
            if absent:
                print(f"Waits for {', '.join(absent)}.", flush=True)

    thread = threading.Thread(target=notice, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def missing(cluster: Mapping[str, Sequence[str]]) -> list[str]:
    """The workers and servers of a cluster that do not accept a connection, with their addresses."""
    found = []
    for role, name in ((WORKER, WORKER), (SERVER, "server")):
        for number, address in enumerate(cluster[role]):
            host, _, port = address.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=_TO_ANSWER).close()
            except OSError:
                found.append(f"{name} {number} at {address}")
    return found
