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
    (line,) = run_variant(VariantJob(control=control, side="positive", variant=variant, missing=((1, rate),)))
    assert "error" not in line, line["error"]
    return line


def test_tim_finds_decaying_interest() -> None:
    values = {
        variant: trained("tim", variant, rate=rate)["values"]
        for variant, rate in (("tim", 0.002), ("din", 0.002), ("mean", 0.006))
    }
    assert values["tim"]["auc"] > values["mean"]["auc"] + 0.06
    assert values["tim"]["auc"] > values["din"]["auc"] + 0.01
    assert values["tim"]["attention"] < 0.9  # of log n: it looks at some behaviours, where 1 is a plain mean


def test_a_hash_id_knows_new_ads() -> None:
    assert trained("hash_id", "hash id", rate=0.002)["values"]["new_auc"] > 0.7


def test_projections_keep_more_directions_than_fm() -> None:
    fm, projected = (trained("projection", kind, rate=0.006)["values"] for kind in ("fm", "fmfm"))
    assert projected["ia"] > 1.1 * fm["ia"]
    assert fm["ia"] < 0.5 * fm["ia_isotropic"]
