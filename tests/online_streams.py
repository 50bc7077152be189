"""Small streams of clicks with late and bursty conversions, and the flags of a model that trains on one in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fullrank.data.events.delay_laws import Bursts, LogNormal
from fullrank.data.events.delayed_events import Delays, delayed_events
from fullrank.data.events.event_files import end_stream, start_stream, write_events
from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.ragged import take_rows
from fullrank.data.schema.schema import Schema

SIZES = {"ad": 40, "advertiser": 8, "user": 30}
SCHEMA = Schema(
    name="clicks",
    features=tuple(Sparse(name=name, ids=IdMap(kind="identity", size=size)) for name, size in SIZES.items()),
    labels=(Label(name="visit", mean=0.5), Label(name="buy", mean=0.15)),
)
SMALL = (
    "--model=single", "--tasks=buy", "--widths=4", "--experts=flat", "--hidden=8", "--tower=", "--dropout=0.1",
    "--keys=ad,advertiser", "--attribution_hours=48", "--batch_size=128", "--minimum=1", "--tensorboard=false",
    "--progress=false",
)  # fmt: skip


def stream_columns(*, clicks: int, seed: int = 0, hide_label: bool = True) -> dict[str, Any]:
    """Clicks over eight days with their conversions; three in ten advertisers report in bulk."""
    draw = np.random.default_rng(seed)
    ad, user = draw.integers(0, SIZES["ad"], clicks), draw.integers(0, SIZES["user"], clicks)
    rate = 1.0 / (1.0 + np.exp(2.0 - np.sin(1.7 * ad) - np.cos(user)))
    rows = {
        "ad": ad,
        "advertiser": ad % SIZES["advertiser"],
        "user": user,
        "visit": np.ones(clicks, np.float32),
        "buy": (draw.random(clicks) < rate).astype(np.float32),
    }
    how = Delays(
        label="buy",
        advertiser="advertiser",
        days=8.0,
        hide_label=hide_label,
        law=LogNormal(median=4 * 3600.0),
        spread=0.5,
        bursts=Bursts(share=0.3, gap=12 * 3600.0),
        seed=seed,
    )
    return dict(delayed_events(rows, SCHEMA, how))


def write_stream(directory: Path, *, clicks: int, files: int = 4, end: bool = True, **how: Any) -> Path:
    """A directory of events, in so many files."""
    columns = stream_columns(clicks=clicks, **how)
    start_stream(directory, schema=SCHEMA)
    rows = len(columns["event_id"])
    edges = np.linspace(0, rows, files + 1).astype(int)
    for file in range(files):
        part = take_rows(columns, np.arange(edges[file], edges[file + 1]))
        write_events(directory / f"events-{file:04d}.tfrecord", schema=SCHEMA, columns=part)
    if end:
        end_stream(directory)
    return directory
