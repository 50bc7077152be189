"""A small replay: every method on the same streams, a page with intervals, and a command that resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fullrank.trainers import replay_conversions
from fullrank.trainers.streaming.click_platform import Platform

SMALL = ("--clicks=3000", "--days=12", "--settle_days=1", "--seeds=2", "--batch_size=128", "--attribution_hours=48")


def test_the_platform_is_drawn_from_its_seed() -> None:
    platform = Platform(clicks=5000, ads=100, advertisers=10)
    first, again, other = (platform.draw(seed) for seed in (1, 1, 2))
    assert all((np.asarray(first[name]) == np.asarray(again[name])).all() for name in first)
    assert not (np.asarray(first["ad"]) == np.asarray(other["ad"])).all()
    assert (np.diff(np.asarray(first["time"])) >= 0).all()
    assert {column.name for column in platform.schema().columns} == set(first)
    ads, times = (np.asarray(first[name])[::-1].tolist() for name in ("ad", "time"))
    seen = dict(zip(ads, times, strict=True))
    late = sum(time - 1_700_000_000 > 3 * 86_400 for time in seen.values())
    assert late > 20  # ads that start within the stream


@pytest.mark.slow
def test_a_replay_resumes_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = f"--output={tmp_path / 'replay'}"
    replay_conversions.run(["replay", output, *SMALL, "--methods=naive,rule_es_dfm"])
    lines = (tmp_path / "replay" / "results.jsonl").read_text().splitlines()
    assert [(json.loads(line)["method"], json.loads(line)["seed"]) for line in lines] == [
        ("naive", 1), ("rule_es_dfm", 1), ("naive", 2), ("rule_es_dfm", 2),
    ]  # fmt: skip
    replay_conversions.run(["replay", output, *SMALL, "--methods=naive,rule_es_dfm,oracle"])
    again = (tmp_path / "replay" / "results.jsonl").read_text().splitlines()
    assert again[:4] == lines
    assert len(again) == 6
    bias = {json.loads(line)["method"]: json.loads(line)["metrics"]["all"]["bias"] for line in again}
    assert abs(bias["oracle"] - 1) < abs(bias["naive"] - 1)
    page = (tmp_path / "replay" / "report.md").read_text()
    assert all(f"| {method}" in page for method in ("naive", "rule_es_dfm", "oracle"))
    assert (tmp_path / "replay" / "bias.png").stat().st_size > 5000
    assert sorted(path.name for path in (tmp_path / "replay").iterdir()) == [
        "bias.png", "replay.json", "report.md", "results.jsonl",
    ]  # fmt: skip
    capsys.readouterr()
    with pytest.raises(SystemExit):
        replay_conversions.run(["replay", output, *SMALL, "--burst_share=0.5"])
    assert "another --burst_share" in capsys.readouterr().err
