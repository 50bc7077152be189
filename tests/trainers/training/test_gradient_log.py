"""What a run writes down of its objective: gradients of negatives, and the use of learned groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fullrank.trainers import evaluate, train

FLAGS = (
    "--batch_size=64", "--model=single", "--widths=4", "--experts=flat", "--hidden=8", "--tower=", "--epochs=2",
    "--progress=none", "--tensorboard=false", "--log_gradients",
)  # fmt: skip


def epochs(records: Path, output: Path, *flags: str) -> list[dict[str, Any]]:
    train.run(["train", f"--data={records}", f"--output={output}", *FLAGS, *flags])
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "epoch"]


def test_gradients_by_cross_entropy_and_by_the_objective(toy_records: Path, tmp_path: Path) -> None:
    lines = epochs(toy_records, tmp_path / "run", "--ranking=pairwise", "--ranking_weight=0.9")
    for line in lines:
        alone, joined = (line[f"negative_gradient/{name}"] for name in ("cross_entropy", "objective"))
        # Cross entropy leaves a negative its own probability, which is near the base rate of .4; of the ranking loss,
        # n / N sigma(z_- - z_+) is less than 1 / (1 - .4).
        assert 0.1 < alone < 0.6
        assert 0.0 < joined < 0.1 * alone + 0.9 / 0.6
        assert joined != alone
    evaluate.run(["evaluate", f"--run={tmp_path}/run", f"--output={tmp_path}/figures"])
    assert (tmp_path / "figures" / "click_negative_gradients.png").stat().st_size > 5_000


def test_cross_entropy_alone_has_one_line_and_no_log_no_figure(
    toy_records: Path, toy_run: Path, tmp_path: Path
) -> None:
    lines = epochs(toy_records, tmp_path / "run")
    assert [name for name in lines[-1] if name.startswith("negative_gradient/")] == ["negative_gradient/cross_entropy"]
    evaluate.run(["evaluate", f"--run={toy_run}", f"--output={tmp_path}/figures"])
    assert not (tmp_path / "figures" / "click_negative_gradients.png").exists()


def test_groups_in_use_at_each_level(toy_records: Path, tmp_path: Path) -> None:
    flags = ("--group_places=user,representation", "--group_levels=2", "--group_codes=4")
    for line in epochs(toy_records, tmp_path / "run", *flags):
        for place in ("user", "representation"):
            for level in (1, 2):
                assert 0.0 < line[f"groups/{place}/usage_{level}"] <= 1.0
                assert 1.0 <= line[f"groups/{place}/perplexity_{level}"] <= 4.0 + 1e-4


def test_gradients_need_a_binary_task(toy_records: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (toy_records / "schema.json").read_text()
    records = tmp_path / "records"
    records.mkdir()
    for path in toy_records.rglob("*"):
        if path.is_file():
            target = records / path.relative_to(toy_records)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    content = json.loads(text)
    for label in content["labels"]:
        label["type"] = "value"
    (records / "schema.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        epochs(records, tmp_path / "run", "--monitor=rmse")
    assert "--log_gradients needs a binary task" in capfd.readouterr().err
