"""The README's commands and programs run as printed, in its order, in one folder."""

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
    printed = run_pages.blocks((repository / "README.md").read_text(encoding="utf-8"))
    write_clicks(tmp_path / "clicks")
    python = ""
    for language, text in printed:
        if language == "bash":
            for line in text.strip().splitlines():
                run_pages.run(["bash", "-euc", line], folder=tmp_path)
        elif language == "python":
            python += text
        elif language == "python keras3":
            run_pages.run([sys.executable, "-c", text], folder=tmp_path)
    # The three uses build on one another, as a reader would type them.
    run_pages.run([sys.executable, "-c", python], folder=tmp_path)
    assert (tmp_path / "serving/mine/1/saved_model.pb").exists()
    assert (tmp_path / "runs/me/eval.json").exists()
    assert (tmp_path / "predictions.parquet").exists()


def test_files_named_in_the_readme_exist(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:layers|models|data|trainers|analysis|tests|benchmarks)/[^`\s]*)`", text))
    assert named
    missing = [name for name in sorted(named) if not list(repository.glob(name.rstrip("/")))]
    assert not missing


def test_every_public_layer_is_in_the_paper_table_or_named_as_support(repository: Path) -> None:
    from fullrank import layers

    text = (repository / "README.md").read_text(encoding="utf-8")
    support = {"layers.lookup_plan", "layers.sequence_mean", "layers.vector_projection"}
    modules = {value.__module__.removeprefix("fullrank.") for value in vars(layers).values() if isinstance(value, type)}
    assert {m for m in modules if f"{m.replace('.', '/')}.py" not in text} <= support
