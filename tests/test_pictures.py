"""The pictures of the documentation are drawn by functions of their names, and every page shows one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pictures


def test_every_picture_is_kept_and_shown(repository: Path) -> None:
    kept = {path.stem for path in (repository / "docs/pictures").glob("*.svg")}
    assert kept == set(pictures.PICTURES)
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (repository / "docs").rglob("*.md"))
    assert set(re.findall(r"pictures/(\w+)\.svg", pages)) == kept


@pytest.mark.parametrize("name", ["flow", "stem", "numeral_systems", "residual_target"])
def test_a_picture_is_the_same_every_time(tmp_path: Path, name: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        pictures.draw(name, folder)
    assert (first / f"{name}.svg").read_bytes() == (second / f"{name}.svg").read_bytes()


def test_an_unknown_picture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pictures.main(tmp_path, ["flwo"]) == 2
    assert "'flwo'" in capsys.readouterr().err
