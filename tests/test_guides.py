"""The guides run as printed, one after the other, and end with the figures that they show."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import run_pages


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guides")


@pytest.mark.slow
@pytest.mark.parametrize("name", run_pages.GUIDES)
def test_a_guide_runs_and_ends_with_its_figure(repository: Path, folder: Path, name: str) -> None:
    figures = run_pages.run_guide(repository, name, folder=folder)
    assert figures
    assert [file for file in figures.values() if not file.stat().st_size] == []


def test_every_guide_is_run_and_shows_what_it_draws(repository: Path) -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (repository / "docs/guides").glob("*.md")}
    assert set(pages) == set(run_pages.GUIDES)
    for name, page in pages.items():
        assert set(run_pages.figures(page)) == set(re.findall(r"\]\((figures/\S+)\)", page)), name
        assert [f for f in run_pages.figures(page) if not (repository / "docs/guides" / f).is_file()] == [], name


def test_a_failure_names_what_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no-such-command"):
        run_pages.run(["bash", "-euc", "no-such-command"], folder=tmp_path)


def test_shell_and_python_of_a_page_are_one_program(tmp_path: Path) -> None:
    page = "\n".join(
        [
            "```python\nname = 'kept'\n```",
            "```console\nexit 1\n```",
            "```bash\ntouch shell\n```",
            "```python keras3\nassert 'name' not in globals()\nopen('alone', 'w')\n```",
            "```python\nopen(name, 'w')\n```",
        ]
    )
    run_pages.run([sys.executable, "-c", run_pages.program(page)], folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"alone", "kept", "shell"}
