"""The cluster that the environment variable TF_CONFIG describes, as Kubeflow's TFJob and others set it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

VARIABLE: Final = "TF_CONFIG"
CHIEF: Final = "chief"
WORKER: Final = "worker"
SERVER: Final = "ps"
ROLES: Final = (CHIEF, WORKER)
"""The roles that train together, in the order in which `tf.distribute` numbers their processes."""
JOINED: Final = "All workers and servers have joined."
"""What a chief of workers and servers prints then."""
_EXAMPLE: Final = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
_EXAMPLE_WITH_SERVERS: Final = (
    '{"cluster": {"chief": ["host1:2222"], "worker": ["host2:2222", "host3:2222"], "ps": ["host4:2222"]}, '
    '"task": {"type": "chief", "index": 0}}'
)


class Place(NamedTuple):
    """The place of this process among those that train together.

    Attributes:
      number: From 0, which is the chief.
      processes: How many there are.
    """

    number: int
    processes: int


class Task(NamedTuple):
    """The part of this process in a cluster.

    Attributes:
      role: `chief`, `worker` or `ps`.
      number: Among those of the same role, from 0.
      cluster: Role -> addresses, host:port.
    """

    role: str
    number: int
    cluster: dict[str, list[str]]


def read_place(environment: Mapping[str, str] | None = None) -> Place:
    """Reads TF_CONFIG.

    Args:
      environment: Environment variables; `None` for those of the process.

    Raises:
      ValueError: If it is missing, is not such a description, or names roles that do not train together.
    """
    role, index, hosts = _read(environment, strategy="multi_worker", roles=ROLES, example=_EXAMPLE)
    before = len(hosts.get(CHIEF, ())) if role == WORKER else 0
    return Place(before + index, sum(len(each) for each in hosts.values()))


def read_task(environment: Mapping[str, str] | None = None) -> Task:
    """Reads TF_CONFIG of a cluster with parameter servers.

    Args:
      environment: Environment variables; `None` for those of the process.

    Raises:
      ValueError: If it is missing, is not such a description, or lacks a role.
    """
    roles = (CHIEF, WORKER, SERVER)
    task = _read(environment, strategy="parameter_server", roles=roles, example=_EXAMPLE_WITH_SERVERS)
    missing = [role for role in roles if not task.cluster.get(role)]
    if missing:
        raise ValueError(
            f"--strategy=parameter_server needs a chief, workers and servers, but {VARIABLE} names no "
            f"{' and no '.join(missing)}: expected {_EXAMPLE_WITH_SERVERS}."
        )
    return task


def _read(environment: Mapping[str, str] | None, *, strategy: str, roles: tuple[str, ...], example: str) -> Task:
    text = (os.environ if environment is None else environment).get(VARIABLE)
    if not text:
        raise ValueError(f"--strategy={strategy} needs the environment variable {VARIABLE}, such as {example}.")
    try:
        found: Any = json.loads(text)
        cluster: Any = found["cluster"]
        hosts = {str(role): [str(host) for host in cluster[role]] for role in cluster}
        role, index = str(found["task"]["type"]), int(found["task"]["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The environment variable {VARIABLE} describes no cluster: expected {example}. Received: {text[:200]}"
        ) from error
    others = [name for name in hosts if name not in roles]
    if others or role not in roles:
        raise ValueError(
            f"--strategy={strategy} has the roles {', '.join(roles[:-1])} and {roles[-1]}, but {VARIABLE} names "
            f"{', '.join(others or [role])}: start no such process."
        )
    if len(hosts.get(CHIEF, ())) > 1:
        raise ValueError(f"{VARIABLE} names {len(hosts[CHIEF])} processes of the role chief: there can be one.")
    if not 0 <= index < len(hosts.get(role, ())):
        raise ValueError(f"{VARIABLE} says that this process is {role} {index}, of {len(hosts.get(role, ()))}.")
    return Task(role, index, hosts)
