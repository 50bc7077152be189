"""The place of a process in the cluster that TF_CONFIG describes, and what cannot be trained by several."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fullrank.trainers.config.distribution import DistributionConfig
from fullrank.trainers.config.flags import run_config
from fullrank.trainers.strategies.tf_config import Place, Task, read_place, read_task


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


def test_a_process_of_a_cluster_with_servers_knows_its_role() -> None:
    cluster = {"chief": HOSTS[:1], "worker": HOSTS[1:2], "ps": HOSTS[2:]}
    assert read_task(environment(cluster, "ps")) == Task("ps", 0, cluster)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "--strategy=parameter_server needs the environment variable TF_CONFIG"),
        (environment({"worker": HOSTS}), "names no chief and no ps"),
        (environment({"chief": HOSTS[:1], "worker": [], "ps": HOSTS}, "ps"), "names no worker"),
        (environment({"chief": HOSTS[:1], "ps": HOSTS, "evaluator": HOSTS}, "ps"), "names evaluator"),
        (environment({"chief": HOSTS[:1], "worker": HOSTS, "ps": HOSTS}, "ps", 3), "ps 3, of 3"),
    ],
)
def test_a_cluster_with_servers_has_three_roles(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_task(given)


@pytest.mark.parametrize("name", ["shard_kib", "overlap_after"])
def test_what_is_about_servers_needs_them(name: str) -> None:
    given: dict[str, Any] = {name: 1}
    with pytest.raises(ValueError, match=f"--{name}=1 takes effect only with --strategy=parameter_server"):
        DistributionConfig(**given)
    assert getattr(DistributionConfig(**given, strategy="parameter_server"), name) == 1


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--deterministic", "the order in which workers take steps"),
        ("--steps_per_execution=2", "steps one by one"),
        ("--log_collapse", "whole tables"),
        ("--start=runs/yesterday", "whole tables"),
        ("--ema_decay=0.9", "step by step"),
        ("--teacher=runs/large", "second model"),
        ("--log_gradients", "weights of one process"),
        ("--on_bad_record=skip", "files as they are"),
    ],
)
def test_what_needs_all_steps_or_all_weights_is_refused_with_servers(flag: str, said: str) -> None:
    given = ["--data=x", "--output=y", flag]
    with pytest.raises(ValueError, match=f"--strategy=parameter_server cannot be combined with {flag[:7]}.*{said}"):
        run_config([*given, "--strategy=parameter_server"])
    run_config(given)


def test_a_number_of_devices_needs_the_strategy_that_uses_them() -> None:
    with pytest.raises(ValueError, match="--replicas=2 takes effect only with --strategy=mirrored"):
        DistributionConfig(replicas=2)


@pytest.mark.parametrize("flag", ["--head=gp", "--head=rff_gp", "--head=laplace", "--group_places=user"])
@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker", "parameter_server"])
def test_what_learns_from_whole_batches_is_refused(flag: str, strategy: str) -> None:
    with pytest.raises(ValueError, match=f"--strategy={strategy} cannot train {flag}"):
        run_config(["--data=x", "--output=y", flag, f"--strategy={strategy}"])
    run_config(["--data=x", "--output=y", flag])
