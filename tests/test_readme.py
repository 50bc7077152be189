"""The README's commands and programs run as printed, in its order, in one folder; it is one screen, then links."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import run_pages


def write_clicks(folder: Path) -> None:
    """What a reader's own CSV may look like."""
    draw = np.random.default_rng(0)
    folder.mkdir()
    for part in range(2):
        lines = ["user_id,ad_id,price,site,time,click"]
        for row in range(1000):
            user, ad = draw.integers(1, 80), draw.integers(1, 40)
            click = int(draw.random() < (0.5 if (user + ad) % 3 == 0 else 0.1))
            site = "abc"[draw.integers(3)]
            lines.append(f"{user},{ad},{draw.gamma(2.0):.3f},{site},{1_700_000_000 + 1000 * part + row},{click}")
        (folder / f"part-{part}.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_everything_printed_runs(repository: Path, tmp_path: Path) -> None:
    write_clicks(tmp_path / "clicks")
    page = (repository / "README.md").read_text(encoding="utf-8")
    run_pages.run([sys.executable, "-c", run_pages.program(page)], folder=tmp_path)
    assert (tmp_path / "serving/mine/1/saved_model.pb").exists()
    assert (tmp_path / "runs/mine/eval.json").exists()
    assert list((tmp_path / "runs/mine/figures").glob("*.png"))


def test_it_is_one_screen(repository: Path) -> None:
    lines = (repository / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 90
    assert max(len(line) for line in lines if not line.startswith("|")) <= 130


def test_it_leads_to_every_guide_and_chapter_in_one_click(repository: Path) -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+\.md)", (repository / "README.md").read_text(encoding="utf-8")))
    chapters = {f"docs/{path.name}" for path in (repository / "docs").glob("*.md")}
    assert chapters | {f"docs/guides/{name}.md" for name in run_pages.GUIDES} <= linked
