"""The local cluster with processes that only sleep, write and end."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from started import started

from fullrank.trainers.strategies import local_cluster
from fullrank.trainers.strategies.local_cluster import free_ports, run_cluster
from fullrank.trainers.strategies.servers import missing
from fullrank.trainers.strategies.tf_config import JOINED


def program(text: str) -> list[str]:
    """A Python program that knows its number among the processes as `index`."""
    known = "import json, os, sys, time; task = json.loads(os.environ['TF_CONFIG']); index = task['task']['index']; "
    return [sys.executable, "-c", known + text]


def test_every_process_gets_its_place_and_its_lines_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = f"open({str(tmp_path)!r} + f'/{{index}}', 'w').write(json.dumps(task))"
    text = f"{kept}; print('here', flush=True); time.sleep(1)"
    assert run_cluster(program(text), workers=2) == 0
    tasks = [json.loads((tmp_path / str(index)).read_text()) for index in range(2)]
    assert [task["task"] for task in tasks] == [{"type": "worker", "index": index} for index in range(2)]
    assert tasks[0]["cluster"] == tasks[1]["cluster"]
    assert len(set(tasks[0]["cluster"]["worker"])) == 2
    assert {"[worker 0] here", "[worker 1] here"} == set(capfd.readouterr().out.splitlines())


def test_the_others_end_with_the_chief() -> None:
    began = time.monotonic()
    assert run_cluster(program("time.sleep(60 * index); sys.exit(7)"), workers=3) == 7
    assert time.monotonic() - began < 20


def test_a_worker_that_fails_ends_all() -> None:
    text = "sys.exit(5) if index else time.sleep(60)"
    assert run_cluster(program(text), workers=2, to_report=0.5) == 5


def test_a_killed_worker_has_the_code_of_a_shell() -> None:
    text = "os.kill(os.getpid(), 9) if index else time.sleep(60)"
    assert run_cluster(program(text), workers=2, to_report=0.5) == 137


def test_servers_get_a_chief_and_roles(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept = f"open({str(tmp_path)!r} + '/{{type}} {{index}}'.format(**task['task']), 'w').write(json.dumps(task))"
    text = f"{kept}; print('here', flush=True); time.sleep(2 if task['task']['type'] == 'chief' else 60)"
    assert run_cluster(program(text), workers=2, servers=1) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["chief 0", "ps 0", "worker 0", "worker 1"]
    cluster = json.loads((tmp_path / "ps 0").read_text())["cluster"]
    assert {role: len(hosts) for role, hosts in cluster.items()} == {"chief": 1, "worker": 2, "ps": 1}
    shown = {f"[{name}] here" for name in ("chief", "worker 0", "worker 1", "server 0")}
    assert shown == set(capfd.readouterr().out.splitlines())


def test_with_servers_a_worker_may_fail(capfd: pytest.CaptureFixture[str]) -> None:
    text = (
        f"role = task['task']['type']; role == 'chief' and print({JOINED!r}, flush=True); "
        "time.sleep(1); role == 'worker' and index == 1 and sys.exit(5); time.sleep(3 if role == 'chief' else 60)"
    )
    assert run_cluster(program(text), workers=2, servers=1) == 0
    assert "[worker 1] has ended; training goes on without it." in capfd.readouterr().err


def test_a_worker_that_ends_before_all_have_joined_is_a_failure_whatever_its_code() -> None:
    text = "task['task'] == {'type': 'worker', 'index': 1} or time.sleep(60)"
    assert run_cluster(program(text), workers=2, servers=1, to_report=0.5) == 1


def test_a_worker_that_fails_before_all_have_joined_ends_all(capfd: pytest.CaptureFixture[str]) -> None:
    text = "task['task'] == {'type': 'worker', 'index': 1} and sys.exit(5); time.sleep(60)"
    assert run_cluster(program(text), workers=2, servers=1, to_report=0.5) == 5
    assert capfd.readouterr().err == "[worker 1] has ended with code 5; training needs it.\n"


@pytest.mark.parametrize("role", ["ps", "worker"])
def test_servers_and_the_last_worker_are_needed(role: str) -> None:
    text = f"sys.exit(5) if task['task']['type'] == {role!r} else time.sleep(60)"
    assert run_cluster(program(text), workers=2, servers=2, to_report=0.5) == 5


def test_a_second_signal_leaves_no_process(tmp_path: Path) -> None:
    kept = f"open({str(tmp_path)!r} + f'/{{index}}', 'w').write(str(os.getpid()))"
    text = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {kept}; time.sleep(60)"
    launcher = (
        "from fullrank.data.command.command import new_flags, run_command; "
        "from fullrank.trainers.strategies.local_cluster import run_cluster; "
        f"run_command(lambda: run_cluster({program(text)!r}, workers=3), flag_values=new_flags(), argv=['cluster'])"
    )
    with started([sys.executable, "-c", launcher], stderr=subprocess.PIPE) as process:
        while len(list(tmp_path.iterdir())) < 3:
            time.sleep(0.1)
        process.terminate()
        time.sleep(1)
        process.terminate()
        assert process.communicate(timeout=60)[1] == "error: terminated.\n"
    assert process.returncode == 143
    for file in tmp_path.iterdir():
        assert not Path(f"/proc/{file.read_text()}").exists()


def test_ports_are_distinct_and_none_that_a_connection_could_take() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(15000 <= port < 30000 for port in ports)


def test_taken_ports_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = free_ports(1)
    with socket.socket() as held:
        held.bind(("127.0.0.1", taken))
        held.listen()
        monkeypatch.setattr(local_cluster, "_PORTS", range(taken, taken + 1))
        monkeypatch.setattr(local_cluster, "_TRIES", 50)
        with pytest.raises(ValueError, match=f"1 free ports were not found from {taken} to {taken}"):
            free_ports(1)


def test_the_missing_are_named() -> None:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        here.listen()
        present = f"127.0.0.1:{here.getsockname()[1]}"
        absent = f"127.0.0.1:{free_ports(1)[0]}"
        cluster = {"chief": ["nowhere.invalid:1"], "worker": [present, absent], "ps": [absent, present]}
        assert missing(cluster) == [f"worker 1 at {absent}", f"server 0 at {absent}"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "flags of `fullrank train` are missing"),
        (("--workers=0", "--", "--data=x"), "--workers=0"),
        (("--", "--data=x", "--output=y", "--no_such_flag=1"), "no_such_flag"),
        (("--", "--data=x", "--output=y", "--head=gp"), "--strategy=multi_worker cannot train --head=gp"),
        (("--", "--data=x", "--output=y", "--group_places=user"), "cannot train --group_places=user"),
    ],
)
def test_a_wrong_command_line_starts_nothing(arguments: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "fullrank.trainers.cluster", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
