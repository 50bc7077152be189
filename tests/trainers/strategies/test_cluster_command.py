"""The command that starts a cluster: what its processes are started with, and the end of those that do not end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ran_commands import ran

from fullrank.trainers import cluster
from fullrank.trainers.strategies import local_cluster
from fullrank.trainers.strategies.local_cluster import run_cluster

TRAIN = ("--data=records", "--output=run", "--model=single")


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, int]]]:
    """The clusters that were asked for; each ends with code 4."""
    found: list[tuple[list[str], dict[str, int]]] = []

    def run(command: list[str], **numbers: int) -> int:
        found.append((command, numbers))
        return 4

    monkeypatch.setattr(cluster, "run_cluster", run)
    return found


@pytest.mark.parametrize(
    ("own", "strategy", "numbers"),
    [
        ((), "multi_worker", {"workers": 2, "servers": 0}),
        (("--workers=3", "--servers=1"), "parameter_server", {"workers": 3, "servers": 1}),
    ],
)
def test_every_process_trains_with_the_same_flags(
    own: tuple[str, ...],
    strategy: str,
    numbers: dict[str, int],
    clusters: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, _ = ran(capsys, cluster.run, *own, "--", *TRAIN, "--debug")
    assert code == 4
    given = [sys.executable, "-m", "fullrank", "train", *TRAIN, "--debug", f"--strategy={strategy}"]
    assert clusters == [(given, numbers)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "flags of `fullrank train` are missing: fullrank cluster -- --data=records --output=run"),
        (("--", *TRAIN, "--no_such_flag=1"), "no_such_flag"),
        (("--servers=1", "--", *TRAIN, "--ema_decay=0.9"), "--strategy=parameter_server cannot be combined with"),
        (("--workers=0", "--", *TRAIN), "--workers=0"),
    ],
)
def test_what_no_process_could_read_starts_none(
    given: tuple[str, ...], message: str, clusters: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ran(capsys, cluster.run, *given)
    assert code == 2
    assert message in err
    assert not clusters


def test_a_process_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster, "_TO_END", 0.5)
    ready = tmp_path / "ready"
    text = (
        "import json, os, pathlib, signal, sys, time\n"
        f"ready = pathlib.Path({str(ready)!r})\n"
        "if json.loads(os.environ['TF_CONFIG'])['task']['index']:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    ready.write_text(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "while not ready.exists() or not ready.read_text():\n"
        "    time.sleep(0.01)\n"
    )
    assert run_cluster([sys.executable, "-c", text], workers=2) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(ready.read_text()), 0)
