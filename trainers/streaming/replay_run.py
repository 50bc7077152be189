"""Replays streams with late and bursty conversions under several methods, and compares the results over seeds."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tqdm import tqdm

from fullrank.data.events.delay_laws import Bursts, delay_law
from fullrank.data.events.delayed_events import Delays, read_rows, write_delayed
from fullrank.data.events.event_files import END
from fullrank.data.schema.json import read_schema
from fullrank.data.sources import hillstrom
from fullrank.data.writing.build import build_records
from fullrank.layers.legacy_keras import keras
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.streaming.click_platform import Platform
from fullrank.trainers.streaming.config import OnlineConfig
from fullrank.trainers.streaming.dashboard import read_dashboard
from fullrank.trainers.streaming.online_run import train_online
from fullrank.trainers.streaming.replay_config import ReplayConfig
from fullrank.trainers.streaming.replay_page import write_page
from fullrank.trainers.studies.pool import appended_to, read_results

SETTINGS: Final = "replay.json"
RESULTS: Final = "results.jsonl"
HOW: Final[dict[str, tuple[str, str]]] = {
    "naive": ("naive", "none"),
    "fixed": ("naive", "fixed"),
    "rule": ("naive", "rule"),
    "fnw": ("fnw", "none"),
    "fnc": ("fnc", "none"),
    "es_dfm": ("es_dfm", "fixed"),
    "dfm": ("dfm", "fixed"),
    "rule_es_dfm": ("es_dfm", "rule"),
    "oracle": ("oracle", "none"),
}
"""Method -> `--late` and `--wait`."""
_MODEL: Final[dict[str, Any]] = {"model": "single", "widths": (8,), "experts": ("flat",), "hidden": (32,), "tower": ()}


class _Stream(NamedTuple):
    """A function that writes the stream of a seed, the columns of ad and advertiser, and the label."""

    write: Callable[[Path, int], None]
    keys: tuple[str, ...]
    label: str


def replay(config: ReplayConfig) -> list[dict[str, Any]]:
    """Trains the missing runs, and writes the page.

    Returns:
      One line per method and seed.

    Raises:
      ValueError: If the output holds a replay with other settings.
    """
    output = Path(config.output)
    _claim(output, config)
    stream = _platform(config) if config.dataset == "platform" else _hillstrom(config)
    file = output / RESULTS
    done = {(line["method"], line["seed"]) for line in read_results(file)}
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    missing = [(seed, method) for seed in seeds for method in config.methods if (method, seed) not in done]
    with appended_to(file) as append, tqdm(missing, unit="run", mininterval=1.0) as progress:
        for seed, method in progress:
            progress.set_description(f"{method}, seed {seed}")
            events = output / f"events-{seed}"
            if not (events / END).exists():
                for old in output.glob("events-*"):
                    shutil.rmtree(old)
                stream.write(events, seed)
            append([{"method": method, "seed": seed, **_run(config, stream, events, method=method, seed=seed)}])
    for old in output.glob("events-*"):
        shutil.rmtree(old)
    lines = [line for line in read_results(file) if line["seed"] in seeds and line["method"] in config.methods]
    print(write_page(config, lines, directory=output))
    return lines


def _claim(output: Path, config: ReplayConfig) -> None:
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if not field.metadata["operational"] and field.name != "first_seed"
    }
    file = output / SETTINGS
    if file.exists():
        stored = json.loads(file.read_text(encoding="utf-8"))
        different = [name for name, value in settings.items() if stored.get(name) != value]
        if different:
            raise ValueError(f"{output} holds a replay with another --{different[0]}: choose another --output.")
    else:
        write_json(settings, file)


def _run(config: ReplayConfig, stream: _Stream, events: Path, *, method: str, seed: int) -> dict[str, Any]:
    """Trains with one method on one stream; returns metrics, counters, decisions and stretches of time."""
    late, wait = HOW[method]
    run = Path(config.output) / "run"
    online: dict[str, Any] = {
        "source": str(events),
        "output": str(run),
        "late": late,
        "wait": wait,
        "wait_hours": config.wait_hours if method == "fixed" else config.short_hours,
        "keys": stream.keys,
        "attribution_hours": config.attribution_hours,
        "settle_days": config.settle_days,
        "batch_size": config.batch_size,
        "seed": seed,
    }
    quiet: dict[str, Any] = {"progress": False, "tensorboard": False, "checkpoint_minutes": 60.0, "overwrite": True}
    keras.backend.clear_session()
    result = train_online(
        OnlineConfig(**online, **quiet),
        model=ModelConfig(**_MODEL, tasks=(stream.label,)),
        optimizer=OptimizerConfig(),
    )
    windows = read_dashboard(run)
    shutil.rmtree(run)
    kept = {name: result[name] for name in ("steps", "metrics", "counters", "decisions", "waits")}
    return {**kept, "windows": windows}


def _delays(config: ReplayConfig, *, label: str, advertiser: str, seed: int) -> Delays:
    bursts = Bursts(share=config.burst_share, gap=3600.0 * config.burst_hours)
    return Delays(
        label=label,
        advertiser=advertiser,
        days=config.days,
        hide_label=False,
        law=delay_law(config.law, median=3600.0 * config.median_hours, sigma=config.sigma, file=None),
        spread=config.spread,
        bursts=bursts if bursts.share else None,
        seed=seed,
    )


def _platform(config: ReplayConfig) -> _Stream:
    platform = Platform(clicks=config.clicks, days=config.days)

    def write(directory: Path, seed: int) -> None:
        how = _delays(config, label="conversion", advertiser="advertiser", seed=seed)
        write_delayed(directory, platform.draw(seed), schema=platform.schema(), how=how)

    return _Stream(write, ("ad", "advertiser"), "conversion")


def _hillstrom(config: ReplayConfig) -> _Stream:
    """Customers in a random order over the days; the treatment serves as the ad, the segment as the advertiser."""
    records = Path(config.output) / "records"
    if not records.exists():
        source = hillstrom.load(raw_dir=Path(str(config.raw_dir)))
        build_records(splits=source.splits, schema=source.schema, output=records, progress=False)

    def write(directory: Path, seed: int) -> None:
        schema = read_schema(records)
        rows = read_rows(schema, splits=("train", "validation", "test"))
        how = _delays(config, label=config.label, advertiser="history_segment", seed=seed)
        write_delayed(directory, rows, schema=schema, how=how)

    return _Stream(write, ("treatment", "history_segment"), config.label)
