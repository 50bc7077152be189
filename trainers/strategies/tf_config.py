"""The cluster that the environment variable TF_CONFIG describes, as Kubeflow's TFJob and others set it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

VARIABLE: Final = "TF_CONFIG"
ROLES: Final = ("chief", "worker")
"""The roles that train, in the order in which `tf.distribute` numbers their processes."""
_EXAMPLE: Final = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


class Place(NamedTuple):
    """The place of this process among those that train together.

    Attributes:
      number: From 0, which is the chief.
      processes: How many there are.
    """

    number: int
    processes: int


def read_place(environment: Mapping[str, str] | None = None) -> Place:
    """Reads TF_CONFIG.

    Args:
      environment: Environment variables; `None` for those of the process.

    Raises:
      ValueError: If it is missing, is not such a description, or names roles that do not train together.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE)
    if not text:
        raise ValueError(f"--strategy=multi_worker needs the environment variable {VARIABLE}, such as {_EXAMPLE}.")
    try:
        found: Any = json.loads(text)
        cluster: Any = found["cluster"]
        hosts = {role: list(cluster[role]) for role in cluster}
        role, index = str(found["task"]["type"]), int(found["task"]["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The environment variable {VARIABLE} describes no cluster: expected {_EXAMPLE}. Received: {text[:200]}"
        ) from error
    others = [name for name in hosts if name not in ROLES]
    if others or role not in ROLES:
        raise ValueError(
            f"--strategy=multi_worker has the roles {' and '.join(ROLES)}, but {VARIABLE} names "
            f"{', '.join(others or [role])}: start no such process."
        )
    if len(hosts.get("chief", ())) > 1:
        raise ValueError(f"{VARIABLE} names {len(hosts['chief'])} processes of the role chief: there can be one.")
    if not 0 <= index < len(hosts.get(role, ())):
        raise ValueError(f"{VARIABLE} says that this process is {role} {index}, of {len(hosts.get(role, ()))}.")
    before = len(hosts.get("chief", ())) if role == "worker" else 0
    return Place(before + index, sum(len(each) for each in hosts.values()))
