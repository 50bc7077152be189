"""The demonstration runs each of its steps, and leaves what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ran_commands import ran

from fullrank.trainers import demo

Steps = list[list[str]]


@pytest.fixture
def steps_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Steps]:
    """Replaces the commands by stand-ins, of which one fails with code 3; gives the steps that were started."""

    def replace(*, failing: str | None = None) -> Steps:
        found: Steps = []

        def run(step: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
            assert options.pop("check") is False
            found.append(step)
            if "score_request.py" in step[1]:
                assert Path(step[3]).exists()
                assert options == {"stderr": subprocess.PIPE, "text": True}
            else:
                assert not options
            code = 3 if failing is not None and failing in " ".join(step) else 0
            return subprocess.CompletedProcess(step, code, stderr="words of TensorFlow\n")

        monkeypatch.setattr(demo, "subprocess", types.SimpleNamespace(run=run, PIPE=subprocess.PIPE))
        return found

    return replace


def test_the_steps_are_shown_and_come_in_order(
    toy_records: Path, tmp_path: Path, steps_of: Callable[..., Steps], capsys: pytest.CaptureFixture[str]
) -> None:
    steps, output = steps_of(), tmp_path / "demo"
    code, out, err = ran(capsys, demo.run, f"--records={toy_records}", f"--output={output}", "--seed=5")
    assert code == 0
    fullrank = [sys.executable, "-m", "fullrank"]
    scoring = steps.pop(3)
    assert all(step[:3] == fullrank for step in steps)
    assert [step[3] for step in steps] == [
        "train", "evaluate", "export", "importance", "correlation", "inspect-run", "report",
    ]  # fmt: skip
    assert {f"--data={toy_records}", f"--output={output}", "--seed=5", "--overwrite"} <= set(steps[0])
    assert scoring[2:] == [str(output / "export" / "1"), str(output / "request.json")]
    shown = [line.split()[1:4] for line in out.splitlines() if line.startswith("\N{BLACK RIGHT-POINTING TRIANGLE}")]
    assert shown[0][:2] == ["fullrank", "train"]
    assert shown[3] == [Path(sys.executable).name, scoring[1], scoring[2]]
    assert out.splitlines()[-1] == str(output / "report.html")
    assert "words of TensorFlow" not in err


def test_the_request_is_the_first_examples_of_the_test_split(
    toy_records: Path, tmp_path: Path, steps_of: Callable[..., Steps], capsys: pytest.CaptureFixture[str]
) -> None:
    steps_of()
    ran(capsys, demo.run, f"--records={toy_records}", f"--output={tmp_path / 'demo'}")
    inputs = json.loads((tmp_path / "demo" / "request.json").read_text())["inputs"]
    assert set(inputs) == {"user", "item", "tags", "age"}  # what a model reads: neither labels nor segments
    assert {name: len(values) for name, values in inputs.items()} == dict.fromkeys(inputs, demo.CANDIDATES)
    assert all(item.startswith("item") for item in inputs["item"])
    assert all(len(tags) == 3 for tags in inputs["tags"])
    assert all(isinstance(age, float) for age in inputs["age"])


def test_records_are_prepared_where_there_are_none_and_a_failure_ends_it(
    tmp_path: Path, steps_of: Callable[..., Steps], capsys: pytest.CaptureFixture[str]
) -> None:
    steps = steps_of(failing="prepare")
    flags = (f"--output={tmp_path / 'demo'}", "--dataset=synthetic", "--raw_dir=there")
    code, out, _ = ran(capsys, demo.run, *flags)
    assert code == 3
    (step,) = steps
    assert step[3:] == ["prepare", "--dataset=synthetic", f"--output={tmp_path / 'demo-records'}", "--raw_dir=there"]
    assert "Everything is in" not in out


def test_what_scoring_says_is_shown_if_it_fails(
    toy_records: Path, tmp_path: Path, steps_of: Callable[..., Steps], capsys: pytest.CaptureFixture[str]
) -> None:
    steps = steps_of(failing="score_request.py")
    code, _, err = ran(capsys, demo.run, f"--records={toy_records}", f"--output={tmp_path / 'demo'}")
    assert code == 3
    assert "score_request.py" in steps[-1][1]
    assert "words of TensorFlow" in err


@pytest.mark.slow
def test_every_step_runs(toy_records: Path, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    command = [sys.executable, "-m", "fullrank.trainers.demo", f"--records={toy_records}", f"--output={output}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert json.loads((output / "eval.json").read_text(encoding="utf-8"))
    assert (output / "export" / "1" / "saved_model.pb").exists()
    assert "score_request.py" in run.stdout
    assert f"Everything is in {output}" in run.stdout
    assert run.stdout.splitlines()[-1] == str(output / "report.html")
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "of 4 features" in page
    assert "Rank correlation" not in page  # the toy records have no behaviours
