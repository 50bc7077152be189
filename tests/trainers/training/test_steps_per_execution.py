"""Several steps per call of the compiled function give what single steps give, apart from moving averages."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import lines, small

from fullrank.trainers.training.train_model import train_model


def test_the_results_are_those_of_single_steps(toy_records: Path, tmp_path: Path) -> None:
    for number in (1, 3):
        output = tmp_path / str(number)
        train_model(small(toy_records, output, tasks=("click",), steps_per_execution=number, deterministic=True))
    single, several = (lines(tmp_path / name, "epoch") for name in ("1", "3"))
    assert [line["step"] for line in several] == [line["step"] for line in single]
    for name in ("val_click_ne", "val_loss", "loss"):
        assert [line[name] for line in several] == pytest.approx([line[name] for line in single], rel=1e-5)
