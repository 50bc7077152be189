"""The manifests in deploy/ start processes that find each other, with flags that exist."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from absl import flags

from fullrank.data.command.command import new_flags
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.config.flags import define, run_config
from fullrank.trainers.evaluation.configs import ExportConfig
from fullrank.trainers.strategies.tf_config import read_place, read_task

MANIFESTS = (
    "compose.yaml",
    "compose_servers.yaml",
    "kubernetes.yaml",
    "serving.yaml",
    "tfjob.yaml",
    "tfjob_servers.yaml",
)


@pytest.fixture(scope="module")
def deploy(repository: Path) -> Path:
    return repository / "deploy"


def documents(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def check_training(command: Sequence[str], *, mounted: str, strategy: str = "multi_worker") -> None:
    """A command of the manifests trains by several processes, from and to what is mounted."""
    assert command[:2] == ["fullrank", "train"]
    config: RunConfig = run_config(command[2:])
    assert config.distribution.strategy == strategy
    assert config.data.data.startswith(mounted + "/")
    assert config.train.output.startswith(mounted + "/")
    assert (config.data.batch_size or 0) % 2 == 0


def test_every_file_is_tested(deploy: Path) -> None:
    assert {file.name for file in deploy.iterdir()} == {*MANIFESTS, "Dockerfile"}


@pytest.mark.parametrize(
    ("file", "roles", "strategy"),
    [
        ("tfjob.yaml", {"Chief", "Worker"}, "multi_worker"),
        ("tfjob_servers.yaml", {"Chief", "Worker", "PS"}, "parameter_server"),
    ],
)
def test_a_tfjob_trains_with_a_chief_and_others(deploy: Path, file: str, roles: set[str], strategy: str) -> None:
    (job,) = documents(deploy / file)
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    specs = job["spec"]["tfReplicaSpecs"]
    assert set(specs) == roles
    assert specs["Chief"]["replicas"] == 1
    for role in specs.values():
        (container,) = role["template"]["spec"]["containers"]
        # The operator sets TF_CONFIG in the container of this name alone.
        assert container["name"] == "tensorflow"
        (mount,) = container["volumeMounts"]
        command = [*container["command"], *container["args"]]
        check_training(command, mounted=mount["mountPath"], strategy=strategy)


def test_the_pods_of_the_job_know_their_places(deploy: Path, tmp_path: Path) -> None:
    service, job = documents(deploy / "kubernetes.yaml")
    name, spec = job["metadata"]["name"], job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["subdomain"] == service["metadata"]["name"] == name
    assert service["spec"]["selector"] == {"job-name": name}
    assert spec["completions"] == spec["parallelism"]
    told = tmp_path / "fullrank"
    told.write_text('#!/bin/sh\nprintf "%s\\n" "$TF_CONFIG" fullrank "$@"\n')
    told.chmod(0o755)
    for index in range(spec["completions"]):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(index)}
        command = [*container["command"], *container["args"]]
        text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
        described, *started = text.splitlines()
        assert read_place({"TF_CONFIG": described}) == (index, spec["completions"])
        (port,) = container["ports"]
        hosts = [f"{name}-{number}.{name}:{port['containerPort']}" for number in range(spec["completions"])]
        assert yaml.safe_load(described)["cluster"]["worker"] == hosts
        check_training(started, mounted=container["volumeMounts"][0]["mountPath"])


def test_the_containers_of_compose_train_and_serve(deploy: Path) -> None:
    (compose,) = documents(deploy / "compose.yaml")
    services = compose["services"]
    workers = {name: service for name, service in services.items() if name.startswith("worker")}
    assert len(workers) == 2
    for index, (name, service) in enumerate(workers.items()):
        described = service["environment"]["TF_CONFIG"]
        assert read_place({"TF_CONFIG": described}) == (index, len(workers))
        assert [host.split(":")[0] for host in yaml.safe_load(described)["cluster"]["worker"]] == list(workers)
        assert yaml.safe_load(described)["cluster"]["worker"][index].startswith(name)
        check_training(service["command"], mounted=service["volumes"][0].split(":")[1])
        assert (deploy / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    exported = services["export"]["command"]
    assert exported[:2] == ["fullrank", "export"]
    values: flags.FlagValues = new_flags()
    define(ExportConfig, title="Flags", flag_values=values)
    values(exported[1:])
    trained = run_config(workers["worker0"]["command"][2:]).train.output
    assert values["run"].value == trained
    model = services["serving"]["environment"]["MODEL_NAME"]
    host, container, _ = services["serving"]["volumes"][0].split(":")
    assert container == f"/models/{model}"
    assert f"/data{host.removeprefix('./data')}" == values["output"].value


def test_the_containers_with_servers_know_their_roles(deploy: Path) -> None:
    (compose,) = documents(deploy / "compose_servers.yaml")
    for name, service in compose["services"].items():
        task = read_task({"TF_CONFIG": service["environment"]["TF_CONFIG"]})
        assert {host.split(":")[0] for hosts in task.cluster.values() for host in hosts} == set(compose["services"])
        assert task.cluster[task.role][task.number].split(":")[0] == name
        mounted = service["volumes"][0].split(":")[1]
        check_training(service["command"], mounted=mounted, strategy="parameter_server")


def test_the_server_answers_the_request_of_the_comments(deploy: Path) -> None:
    deployment, service = documents(deploy / "serving.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    given = dict(argument.removeprefix("--").split("=") for argument in container["args"])
    (port,) = service["spec"]["ports"]
    assert container["ports"][0]["containerPort"] == port["port"]
    assert container["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{given['model_name']}"
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    for file in ("serving.yaml", "compose.yaml"):
        text = (deploy / file).read_text(encoding="utf-8")
        assert f"localhost:{port['port']}/v1/models/{given['model_name']}:predict" in text
    exported = re.search(r"fullrank export --run=\S+ --output=(\S+)", (deploy / "serving.yaml").read_text())
    assert exported is not None
    assert exported[1] == given["model_base_path"]
