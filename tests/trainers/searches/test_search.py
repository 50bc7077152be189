"""A whole search from the command line: killed, resumed, reported; and what is refused before anything runs."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fullrank.data.command.command import TERMINATED
from fullrank.trainers import export
from fullrank.trainers.search import run

_FLAGS = ("--model=single", "--experts=flat", "--hidden=4", "--tower=", "--batch_size=64", "--epochs=2", "--monitor=ne")
_SPACE = "learning_rate=log:1e-4..1e-1,widths=2|4"


def _command(records: Path, output: Path, *own: str, shared: tuple[str, ...] = _FLAGS) -> list[str]:
    return ["search", f"--data={records}", f"--output={output}", f"--space={_SPACE}", *own, "--", *shared]


@pytest.mark.parametrize(
    ("own", "shared", "message"),
    [
        (("--space=width=1|2",), _FLAGS, "Did you mean 'widths'?"),
        (("--space=epochs=0..2",), _FLAGS, "--epochs has to be at least 1"),
        ((), (*_FLAGS, "--validation_split="), "--validation_split is empty"),
        ((), ("--modell=single",), "modell"),
        ((), ("single",), "'single' is not a flag"),
        ((), ("--model=me",), "--widths=2: Experts [('ipnn', 1)] read a set that is not there"),
        (("--trials=0",), _FLAGS, "--trials has to be at least 1"),
        ((), (*_FLAGS, "--output=elsewhere"), "--data, --output and --overwrite have no place after `--`"),
        ((), (*_FLAGS, "--overwrite"), "--data, --output and --overwrite have no place after `--`"),
        ((), (*_FLAGS, "--monitor=clik_auc"), "--monitor=clik_auc: no such metric"),
        ((), (*_FLAGS, "--start=nowhere"), "nowhere"),
        (
            ("--space=monitor=auc|log_loss",),
            _FLAGS,
            "trials with --monitor=auc and --monitor=log_loss would be compared by different metrics, tasks or rows",
        ),
        (("--space=tasks=click|click,like",), (*_FLAGS, "--monitor=mean_ne"), "take the flag out of the space"),
        (("--space=validation_split=validation|test",), _FLAGS, "take the flag out of the space"),
    ],
)
def test_refused_before_anything_runs(
    own: tuple[str, ...],
    shared: tuple[str, ...],
    message: str,
    toy_records: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run(_command(toy_records, tmp_path / "out", *own, shared=shared))
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def _started(command: list[str], errors: Path) -> subprocess.Popen[bytes]:
    with open(errors, "w", encoding="utf-8") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "fullrank.trainers.search", *command[1:]],
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )


def _ended(search: subprocess.Popen[bytes], *, by: signal.Signals, after: str, output: Path) -> int:
    """Sends a signal to a search, not to its workers, once a file exists; waits until all have ended: its exit code."""
    deadline = time.monotonic() + 300
    while not list(output.glob(after)) and search.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(search.pid, by)
    code = search.wait(timeout=60)
    deadline = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(search.pid, 0)
            assert time.monotonic() < deadline
            time.sleep(0.05)
    return code


@pytest.mark.slow
def test_stopped_killed_resumed_and_the_best_run_is_ready(
    toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, errors = tmp_path / "out", tmp_path / "stderr"
    command = _command(toy_records, output, "--trials=3", "--workers=1")
    first = _started(command, errors)
    assert _ended(first, by=signal.SIGTERM, after="runs/trial-0/checkpoints/*.index", output=output) == TERMINATED
    assert "error: terminated." in errors.read_text(encoding="utf-8")
    # Nothing that TensorFlow logs when it is imported, in the command or in its workers.
    assert "oneDNN" not in errors.read_text(encoding="utf-8")
    second = _started(command, errors)
    assert _ended(second, by=signal.SIGKILL, after="runs/trial-2/checkpoints/*.index", output=output) == -signal.SIGKILL
    begun = (output / "runs/trial-2/config.json").read_text()

    run(command)
    assert "2 of 3 trials to do" in capsys.readouterr().out
    with open(output / "trials.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete"] * 3
    # The run of the killed trial was resumed by the next one, with the same flags.
    taken_up = [row for row in rows if row["trial"] == "3"]
    assert f'"--learning_rate={taken_up[0]["learning_rate"]}"' in begun
    best = json.loads((output / "best.json").read_text())
    assert best["value"] == min(float(row["value"]) for row in rows)
    assert [path.name for path in (output / "runs").iterdir() if not path.name.startswith(".")] == [
        Path(best["run"]).name
    ]
    assert (output / "search.png").stat().st_size > 10_000

    run(command)
    assert "0 of 3 trials to do" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run([*command, "--batch_size=32"])
    assert "holds another search (flags differ)" in capsys.readouterr().err

    export.run(["export", f"--run={best['run']}", f"--output={tmp_path / 'export'}"])


@pytest.mark.slow
def test_failed_trials_are_counted_and_their_reason_is_kept(
    toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    with pytest.raises(SystemExit):
        run(_command(toy_records, output, "--trials=1", "--space=learning_rate=1e30..1e31"))
    assert "no trial succeeded" in capsys.readouterr().err
