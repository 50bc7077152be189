"""`fullrank` and `python -m fullrank` list the commands and start them."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys

import pytest

from fullrank.trainers import commands


def test_every_command_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    commands.run(["fullrank"])
    lines = capsys.readouterr().out.splitlines()
    for name in commands.command_modules():
        (line,) = (line for line in lines if line.startswith(f"  {name} "))
        assert line.endswith("."), line
        assert len(line) <= 140


def test_the_list_is_what_help_prints(capsys: pytest.CaptureFixture[str]) -> None:
    commands.run(["fullrank"])
    listed = capsys.readouterr().out
    commands.run(["fullrank", "--help"])
    assert capsys.readouterr().out == listed


def test_the_version_needs_no_tensorflow() -> None:
    script = (
        "import sys; from fullrank.trainers import commands; commands.run(['fullrank', '--version']); "
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found["python"] == platform.python_version()
    distributions = ["tensorflow", "tf-keras", "tensorflow-probability", "tensorflow-recommenders", "duckdb"]
    assert list(found) == ["fullrank", "python", *distributions]
    assert all(found[name] == importlib.metadata.version(name) for name in ["fullrank", *distributions])


def test_the_help_of_no_command_needs_tensorflow() -> None:
    script = (
        "import sys; from fullrank.trainers import commands\n"
        "for name in commands.command_modules():\n"
        "    commands.run(['fullrank', name, '--help']); assert 'tensorflow' not in sys.modules, name"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_REPORTED", ("fullrank", "no-such-distribution"))
    assert commands.versions().splitlines()[-1] == "no-such-distribution not installed"


@pytest.mark.parametrize("name", ["inspect", "fullrank-inspect"])
def test_a_command_gets_its_arguments(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    commands.run(["fullrank", name, "--help"])
    shown = capsys.readouterr().out
    assert "--data" in shown
    assert "--validate" in shown


def test_a_mistake_in_the_flags_of_a_command_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        commands.run(["fullrank", "inspect", "--dta=records"])
    assert stopped.value.code == 2
    assert "--data" in capsys.readouterr().err


def test_an_unknown_command_is_named_with_the_closest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        commands.run(["fullrank", "tain", "--data=records"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message == "error: there is no command 'tain'. Did you mean 'train'? `fullrank` alone lists all of them.\n"
