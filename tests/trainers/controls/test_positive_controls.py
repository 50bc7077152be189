"""The main parts are awake: each beats what it must beat where its mechanism is planted, by a wide margin.

Bounds are about half of what `docs/studies/controls.md` shows, so that chance of one seed does not decide.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fullrank.trainers.controls.catalogue import CONTROLS
from fullrank.trainers.controls.one_variant import VariantJob, run_variant

pytestmark = pytest.mark.slow


def trained(name: str, variant: str, *, rate: float, rows: int | None = None) -> dict[str, Any]:
    """The line of one run, with a rate that needs no tuning."""
    control = CONTROLS[name]
    control = dataclasses.replace(control, rates=(rate,), rows=rows or control.rows)
    (line,) = run_variant(VariantJob(control=control, side="positive", variant=variant, seeds=(1,), tuned={rate: 0.5}))
    assert "error" not in line, line["error"]
    return line


def test_tim_finds_decaying_interest() -> None:
    auc = {
        variant: trained("tim", variant, rate=rate)["values"]["auc"]
        for variant, rate in (("tim", 0.006), ("din", 0.002), ("mean", 0.006))
    }
    assert auc["tim"] > auc["mean"] + 0.06
    assert auc["tim"] > auc["din"] + 0.02
