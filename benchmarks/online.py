"""Online training: events a second against `train` on the same model and rows, and memory over a long stream.

Both sides read files and train the same model in batches of 1,024. Ours reads a stream of clicks and late conversions,
scores every click, joins, decides how long it waits, and takes a step for each batch of released rows; the reference is
`Model.fit` over records of the same clicks, as `train` runs it, shuffled. A round is one pass over the clicks by each
side. Rates count events on our side, clicks and conversions, and examples on the other.

Memory is that of the process, looked at after every 20,000 events of a stream without end, whose clicks are held for as
long as a conversion counts: the largest of the last quarter of the events over the largest of the first.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import report
from fullrank import data
from fullrank.data.events.delay_laws import Bursts, LogNormal
from fullrank.data.events.delayed_events import Delays, write_delayed
from fullrank.data.events.event_columns import Events
from fullrank.data.events.event_directory import EventDirectory
from fullrank.models import Ranker
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.streaming.click_platform import Platform
from fullrank.trainers.streaming.config import OnlineConfig
from fullrank.trainers.streaming.delay_model import build_delay_model
from fullrank.trainers.streaming.join import Join
from fullrank.trainers.streaming.late_training import LateTraining
from fullrank.trainers.streaming.online_setup import build_join
from fullrank.trainers.training.build_model import build_model, compile_model

BATCH = 1024
LOOK = 20_000
KEYS = ("ad", "advertiser")


def config_of(*, small: bool) -> RunConfig:
    sizes: dict[str, Any] = {"hidden": (8,), "widths": (4,)} if small else {"hidden": (128, 64), "widths": (16,)}
    return RunConfig(
        data=DataConfig(data="stream"),
        model=ModelConfig(model="single", experts=("flat",), **sizes),
        train=TrainConfig(output="run"),
    )


def new_model(config: RunConfig, schema: data.Schema) -> Ranker:
    model = build_model(config.model, schema)
    compile_model(model, config.optimizer, total_steps=1)
    return model


class Online:
    """Ours without a run directory: the join and the steps, on any events."""

    def __init__(
        self, config: RunConfig, schema: data.Schema, *, late: Literal["naive", "es_dfm"], hours: float
    ) -> None:
        self.model = new_model(config, schema)
        self._config = OnlineConfig(
            source="stream", output="run", late=late, keys=KEYS, attribution_hours=hours, cap_hours=0.5 * hours
        )
        self._columns = schema.input_columns
        delays = build_delay_model(config, schema, late=late)
        self._training = LateTraining(self.model, delays, late=late, columns=self._columns, weight=None)

    def join(self) -> Join:
        """An empty one, for a new stream."""
        return build_join(self._config, columns=self._columns, label="conversion")

    def take(self, join: Join, events: Events) -> None:
        """Joins events, and takes the steps for which there are rows."""
        join.take(events, self._training.score)
        while join.complete.rows >= BATCH:
            self._training.delay_step(join.complete.take(BATCH))
        while join.rows.rows >= BATCH:
            self._training.step(join.rows.take(BATCH))


def seconds(function: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and by processor time."""
    start, processor_start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - processor_start


def rates(
    directory: Path, *, clicks: int, rounds: int, late: Literal["naive", "es_dfm"], goal: str
) -> list[report.Row]:
    platform = Platform(clicks=clicks, ads=300)
    rows, schema, config = platform.draw(1), platform.schema(), config_of(small=False)
    how = Delays(
        label="conversion", advertiser="advertiser", days=28.0, hide_label=True, law=LogNormal(median=4 * 3600.0),
        spread=0.5, bursts=Bursts(share=0.3, gap=86_400.0), seed=1,
    )  # fmt: skip
    of_clicks, of_conversions = write_delayed(directory / late, rows, schema=schema, how=how)
    records = data.write_records(directory / f"{late}_records", schema=schema, splits={"train": rows}, shards=4)
    online, trained = Online(config, schema, late=late, hours=168.0), new_model(config, records)
    steps = clicks // BATCH
    dataset = data.read_records(records, batch_size=BATCH, seed=1, epochs=None)

    def ours() -> None:
        source, join = EventDirectory(directory / late, schema=schema), online.join()
        while (events := source.read()) is not None:
            online.take(join, events)

    def reference() -> None:
        trained.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0)

    for side in (ours, reference):
        side()  # is traced
    measured = []
    for number in range(rounds):
        first, second = (ours, reference) if number % 2 == 0 else (reference, ours)
        pair = seconds(first), seconds(second)
        measured.append(pair if number % 2 == 0 else pair[::-1])
    found = []
    for index, what in enumerate(("", ", processor time")):
        sides = [report.Sample(tuple(pair[side][index] for pair in measured)) for side in (0, 1)]
        events, examples = of_clicks + of_conversions, steps * BATCH
        ratios = [(events / pair[0][index]) / (examples / pair[1][index]) for pair in measured]
        found.append(
            report.compare(
                name=f"online, {late} and the rule / train{what}",
                ours=sides[0].rate(events),
                reference=sides[1].rate(examples),
                ratio=statistics.median(ratios),
                goal=goal if what else "",
                unit="events/s",
            )
        )
    return found


def endless(platform: Platform, *, rows: int) -> Iterator[Events]:
    """A click a second, ads that come and go, and a conversion of one click in ten within the next hour."""
    draw, columns = np.random.default_rng(1), platform.schema().columns
    start, sizes = 0, {"ad": platform.ads, "advertiser": platform.advertisers}
    while True:
        ids = np.arange(start, start + rows, dtype=np.int64)
        batch = {column.name: draw.integers(0, sizes.get(column.name, 5), rows) for column in columns}
        batch["conversion"] = np.full(rows, np.nan, np.float32)
        batch["ad"] = (ids // 5000 + batch["ad"]) % platform.ads
        kinds, named = np.ones(rows, np.int64), np.full(rows, -1, np.int64)
        late = np.flatnonzero(draw.random(rows) < 0.1)
        kinds[late], named[late] = 2, np.maximum(0, ids[late] - draw.integers(1, 3600, len(late)))
        yield Events(ids, kinds, ids.astype(np.float64), named, batch)
        start += rows


def memory(*, events: int) -> report.Row:
    platform = Platform(ads=5000, advertisers=200)
    online = Online(config_of(small=True), platform.schema(), late="es_dfm", hours=5.0)
    join, sizes, seen, looked = online.join(), [], 0, 0
    for part in endless(platform, rows=1000):
        online.take(join, part)
        seen += len(part.ids)
        if seen - looked >= min(LOOK, events // 20):
            sizes.append(resident())
            looked = seen
        if seen >= events:
            break
    quarter = max(1, len(sizes) // 4)
    first, last = max(sizes[:quarter]), max(sizes[-quarter:])
    return report.compare(
        name=f"peak memory of the last quarter of {events:,} events / of the first",
        ours=report.Sample((last / 1e6,)),
        reference=report.Sample((first / 1e6,)),
        goal="<= 1.05" if events >= 10_000_000 else "",
        unit="MB",
    )


def resident() -> float:
    """Bytes of memory that the process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    options = report.arguments(__doc__.splitlines()[0])
    clicks, rounds = (4000, 1) if options.quick else (200_000, 7)
    with tempfile.TemporaryDirectory() as directory:
        rows = rates(Path(directory), clicks=clicks, rounds=rounds, late="naive", goal=">= 0.5")
        rows += rates(Path(directory), clicks=clicks, rounds=rounds, late="es_dfm", goal="")
    rows.append(memory(events=20_000 if options.quick else 10_000_000))
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
