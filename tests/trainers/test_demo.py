"""The demonstration runs each of its steps, and leaves what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


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
