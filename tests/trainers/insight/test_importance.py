"""Permutation importance of a run's features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fullrank.trainers.importance import run


def test_what_clicks_depend_on_is_found(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clicks depend on user and item most, on age a little, and not on tags."""
    run(["importance", f"--run={toy_run}", f"--output={tmp_path / 'out'}", "--examples=300"])
    found = json.loads((tmp_path / "out" / "importance.json").read_text())
    assert found["examples"] == 300
    assert set(found["tasks"]) == {"click", "like"}
    click = {name: entry["increase"] for name, entry in found["tasks"]["click"].items()}
    assert min(click["user"], click["item"]) > max(click["age"], click["tags"])
    assert click["user"] > found["tasks"]["click"]["user"]["reach"] > 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"importance.json", "click.png", "like.png"}
    assert "increase of NE in percent" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(["importance", f"--run={toy_run}", f"--output={tmp_path / 'out'}"])
    assert "overwrite" in capsys.readouterr().err
