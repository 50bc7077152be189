"""Training by workers on the weights of parameter servers, all of them processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from small_runs import lines
from started import started

from fullrank.trainers.config.flags import run_config
from fullrank.trainers.strategies.local_cluster import free_ports
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.train_model import train_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc"),
]

FLAGS = [
    *("--tasks=click,like", "--widths=8,8", "--expert_width=16", "--hidden=16", "--tower=16", "--batch_size=64"),
    *("--table_learning_rate=0.2", "--learning_rate=0.005", "--epochs=4", "--patience=none", "--progress=none"),
    *("--notensorboard", "--log_steps=6"),
]
"""76 steps."""


def command(records: Path, output: Path) -> list[str]:
    started = [sys.executable, "-m", "fullrank.trainers.cluster", "--workers=2", "--servers=2", "--"]
    of_servers = ["--shard_kib=1", "--overlap_after=2", "--checkpoint_steps=6"]
    return [*started, f"--data={records}", f"--output={output}", *FLAGS, *of_servers]


def kill(output: Path, *, role: str) -> None:
    """Kills the first process of a role that trains into a directory."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line, environment = (entry / "cmdline").read_text(), (entry / "environ").read_text(errors="replace")
        except OSError:
            continue
        found = re.search(r"TF_CONFIG=([^\0]*)", environment)
        if f"--output={output}" in line and found and json.loads(found[1])["task"] == {"type": role, "index": 0}:
            os.kill(int(entry.name), signal.SIGKILL)
            return
    raise AssertionError(f"no {role} is running")


def logged(output: Path) -> list[dict[str, Any]]:
    """The lines of training in the log of a run, which may not have begun."""
    return lines(output, "train") if (output / "metrics.jsonl").exists() else []


def killed(arguments: list[str], output: Path, *, role: str, after: int) -> subprocess.CompletedProcess[str]:
    """Runs a cluster, and kills one of its processes when this many steps are in the log."""
    with started(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        last = time.monotonic() + 400
        while process.poll() is None and time.monotonic() < last:
            if len(logged(output)) >= after:
                kill(output, role=role)
                break
            time.sleep(0.1)
        stdout, stderr = process.communicate(timeout=400)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def shapes(run: Path) -> dict[str, Any]:
    """What a checkpoint holds, except the positions in the data."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    found = reader.get_variable_to_shape_map()
    return {name: shape for name, shape in found.items() if not name.startswith("iterator")}


@pytest.fixture
def one_core() -> Iterator[None]:
    """Processes that the test starts run on one core, where TensorFlow has a single thread by default."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("one_core")
def test_a_run_survives_the_loss_of_a_server_and_of_a_worker(toy_records: Path, tmp_path: Path) -> None:
    output, reference = tmp_path / "run", tmp_path / "reference"
    arguments = command(toy_records, output)
    lost = killed(arguments, output, role="ps", after=2)
    assert lost.returncode != 0
    errors = [line for line in lost.stderr.splitlines() if line.startswith("[chief] error: ")]
    assert len(errors) == 1
    assert "a parameter server has ended or cannot be reached" in errors[0]
    assert not (output / "result.json").exists()
    done = killed(arguments, output, role="worker", after=len(lines(output, "train")) + 2)
    assert done.returncode == 0, done.stderr
    assert f"[chief] {output}: resumes after" in done.stdout
    assert json.loads((output / "result.json").read_text())["steps"] == 76
    best = max(line["val_click_auc"] for line in lines(output, "epoch"))
    assert best > 0.75  # .5 without learning; one process reaches .85
    given = [f"--data={toy_records}", f"--output={reference}", *FLAGS, "--epochs=1", "--steps_per_epoch=1"]
    train_model(run_config(given))
    assert shapes(output) == shapes(reference)
    loaded = load_run(output)
    found = loaded.model(loaded.model.example_batch(3))
    assert all(bool(tf.reduce_all(tf.math.is_finite(values))) for values in found.values())
    (output / "result.json").unlink()
    with pytest.raises(ValueError, match="written with --strategy=parameter_server"):
        train_model(run_config([f"--data={toy_records}", f"--output={output}", *FLAGS]))


def test_a_worker_and_a_chief_that_are_started_again_take_part(toy_records: Path, tmp_path: Path) -> None:
    output, ports = tmp_path / "run", free_ports(3)
    cluster = {role: [f"127.0.0.1:{port}"] for role, port in zip(("chief", "worker", "ps"), ports, strict=True)}
    arguments = [*command(toy_records, output), "--strategy=parameter_server"]
    arguments = [sys.executable, "-m", "fullrank", "train", *arguments[arguments.index("--") + 1 :]]
    with contextlib.ExitStack() as stack:
        written = stack.enter_context(open(tmp_path / "log", "w", encoding="utf-8"))

        def start(role: str) -> subprocess.Popen[str]:
            task = json.dumps({"cluster": cluster, "task": {"type": role, "index": 0}})
            environment = {**os.environ, "TF_CONFIG": task}
            return stack.enter_context(started(arguments, env=environment, stdout=written, stderr=written))

        def wait_for(number: int) -> None:
            last = time.monotonic() + 200
            while len(logged(output)) < number:
                assert time.monotonic() < last, (tmp_path / "log").read_text()
                time.sleep(0.1)

        processes = {role: start(role) for role in cluster}
        for role in ("worker", "chief"):
            wait_for(len(logged(output)) + 2)
            processes[role].kill()
            processes[role].wait()
            processes[role] = start(role)
        # There is no other worker, and the servers are those of the chief before.
        assert processes["chief"].wait(200) == 0, (tmp_path / "log").read_text()
    assert json.loads((output / "result.json").read_text())["steps"] == 76
    assert "resumes after" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_chief_that_waits_for_others_ends_on_a_signal(toy_records: Path, tmp_path: Path, number: int) -> None:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    cluster = dict(zip(("chief", "worker", "ps"), ([address] for address in addresses), strict=True))
    environment = {**os.environ, "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "chief", "index": 0}})}
    arguments = [sys.executable, "-m", "fullrank", "train", f"--data={toy_records}", f"--output={tmp_path / 'run'}"]
    arguments.append("--strategy=parameter_server")
    with started(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("Waits for worker 0 at" in line for line in lines)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == -number
