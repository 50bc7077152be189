"""The place of a process in the cluster that TF_CONFIG describes, and what cannot be trained by several."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fullrank.trainers.config.distribution import DistributionConfig
from fullrank.trainers.config.flags import run_config
from fullrank.trainers.strategies.tf_config import Place, read_place


def environment(cluster: Any, role: str = "worker", index: int = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": role, "index": index}})}


HOSTS = ["a:1", "b:1", "c:1"]


@pytest.mark.parametrize(
    ("cluster", "role", "index", "place"),
    [
        ({"worker": HOSTS}, "worker", 2, Place(2, 3)),
        ({"worker": HOSTS[1:], "chief": HOSTS[:1]}, "chief", 0, Place(0, 3)),
        ({"chief": HOSTS[:1], "worker": HOSTS[1:]}, "worker", 1, Place(2, 3)),
    ],
)
def test_the_chief_is_number_0(cluster: Any, role: str, index: int, place: Place) -> None:
    assert read_place(environment(cluster, role, index)) == place


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "needs the environment variable TF_CONFIG"),
        ({"TF_CONFIG": "{"}, "describes no cluster"),
        ({"TF_CONFIG": "[]"}, "describes no cluster"),
        ({"TF_CONFIG": json.dumps({"cluster": {"worker": HOSTS}})}, "describes no cluster"),
        (environment({"worker": HOSTS, "ps": HOSTS}), "names ps"),
        (environment({"worker": HOSTS}, "evaluator"), "names evaluator"),
        (environment({"worker": HOSTS}, index=3), "worker 3, of 3"),
        (environment({"chief": HOSTS}, "chief"), "there can be one"),
    ],
)
def test_another_description_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_place(given)


def test_a_number_of_devices_needs_the_strategy_that_uses_them() -> None:
    with pytest.raises(ValueError, match="--replicas=2 takes effect only with --strategy=mirrored"):
        DistributionConfig(replicas=2)


@pytest.mark.parametrize("flag", ["--head=gp", "--head=rff_gp", "--head=laplace", "--group_places=user"])
@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker"])
def test_what_learns_from_whole_batches_is_refused(flag: str, strategy: str) -> None:
    with pytest.raises(ValueError, match=f"--strategy={strategy} cannot train {flag}"):
        run_config(["--data=x", "--output=y", flag, f"--strategy={strategy}"])
    run_config(["--data=x", "--output=y", flag])
