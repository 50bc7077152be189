"""Training on a log of requests: records that hold each user once per request, against one row for each candidate.

A request has 20 candidates and a user with a history of 100 behaviours: item, shop and time of each. Both sides are
converted from one table, `--group_by=request` being the only difference, and read in the order of the files, so that
batches hold the same rows. The model is `single` with TIM over the history (`flat` expert, tables of width 16), without
dropout and unknown ids, which would draw other numbers on each side.

Rows: bytes on disk; examples per second of `fit` on the batches that `train` reads, by the clock and by processor time;
and the largest difference between the losses that `fullrank train` wrote on the two sides, of its steps and of its
validation, divided by 1e-6.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import report
from fullrank import data
from fullrank.data import convert
from fullrank.trainers import train
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.training.build_model import build_model, compile_model

CANDIDATES, LENGTH, ITEMS, SHOPS = 20, 100, 20_000, 500
HISTORIES: dict[str, Literal["per_row", "per_request"]] = {"grouped": "per_request", "flat": "per_row"}
EXACT = ["--dropout=0", "--unknown_share=0", "--noshuffle", "--epochs=1", "--progress=none", "--log_steps=1"]
SIZES = ["--model=single", "--experts=flat", "--widths=16", "--hidden=64"]


def schema() -> data.Schema:
    def ids(name: str, size: int, side: Literal["user", "ad"]) -> data.Sparse:
        return data.Sparse(name=name, ids=data.IdMap(kind="identity", size=size), side=side)

    behaviour = (
        data.BehaviourColumn(name="past_item", table="item", target="item"),
        data.BehaviourColumn(name="past_shop", table="shop", target="shop"),
    )
    history = data.Sequence(name="history", behaviour=behaviour, times="past_time", max_length=LENGTH, side="user")
    of_user = (ids("user", 10_000, "user"), ids("city", 200, "user"))
    of_ad = (ids("item", ITEMS, "ad"), ids("shop", SHOPS, "ad"), ids("position", CANDIDATES, "ad"))
    return data.Schema(
        name="log", features=(*of_user, *of_ad, history), labels=(data.Label(name="click"),), time="time"
    )


def table(requests: int, *, seed: int) -> pa.Table:
    """One row for each candidate; all columns of the user are repeated."""
    draw = np.random.default_rng(seed)
    owner = np.repeat(np.arange(requests), CANDIDATES)
    now = np.sort(draw.integers(1_700_000_000, 1_700_600_000, requests))
    ages = np.sort(draw.integers(1, 10_000_000, (requests, LENGTH)))[:, ::-1]
    items = draw.integers(0, ITEMS, (requests, LENGTH))
    shown = draw.integers(0, ITEMS, len(owner))

    def lists(values: np.ndarray[Any, Any]) -> pa.Array:
        offsets = np.arange(len(owner) + 1, dtype=np.int32) * LENGTH
        return pa.ListArray.from_arrays(offsets, values[owner].reshape(-1))

    columns: dict[str, Any] = {
        "request": owner + seed * requests,
        "user": draw.integers(0, 10_000, requests)[owner],
        "city": draw.integers(0, 200, requests)[owner],
        "item": shown,
        "shop": shown % SHOPS,
        "position": np.tile(np.arange(CANDIDATES), requests),
        "past_item": lists(items),
        "past_shop": lists(items % SHOPS),
        "past_time": lists(now[:, np.newaxis] - ages),
        "time": now[owner],
        "click": (draw.random(len(owner)) < 0.1 + 0.3 * (shown % 7 == 0)).astype(np.int64),
    }
    return pa.table(columns)


def convert_both(directory: Path, *, requests: int) -> dict[str, data.Schema]:
    """The data sets `grouped` and `flat`, each in one file per split."""
    data.write_schema(schema(), directory / "schema.json")
    for number, (name, share) in enumerate((("train", 1.0), ("validation", 0.25))):
        pq.write_table(table(max(2, round(requests * share)), seed=number), directory / f"{name}.parquet")
    inputs = [f"--input={directory}/train.parquet", f"--validation_input={directory}/validation.parquet"]
    for name, flags in (("grouped", ["--group_by=request"]), ("flat", [])):
        given = [*inputs, f"--schema={directory}/schema.json", f"--output={directory}/{name}", "--shards=1"]
        with contextlib.redirect_stdout(io.StringIO()):
            convert.run(["convert", *given, "--noprogress", *flags])
    return {name: data.read_schema(directory / name) for name in HISTORIES}


def size_of(records: data.Schema) -> float:
    return float(sum(shard.size or 0 for shard in records.split("train").shards))


def losses(directory: Path, name: str, *, batch_size: int) -> list[float]:
    """The losses of every step, and of the validation at the end, that the command `train` writes."""
    output = directory / f"run_{name}"
    with contextlib.redirect_stdout(io.StringIO()):
        train.run(
            ["train", f"--data={directory}/{name}", f"--output={output}", f"--batch_size={batch_size}", *EXACT, *SIZES]
        )
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [value for line in map(json.loads, lines) for key, value in line.items() if key in ("loss", "val_loss")]


def fitted(records: data.Schema, name: str, *, batch_size: int, steps: int) -> Callable[[], None]:
    """A function that trains for some steps on the batches that `train` reads."""
    model_config = ModelConfig(
        model="single", experts=("flat",), widths=(16,), hidden=(64,), dropout=0.0, unknown_share=0.0
    )
    model = build_model(model_config, records)
    compile_model(model, OptimizerConfig(), total_steps=steps)
    batches = data.read_records(records, batch_size=batch_size, seed=1, epochs=None, histories=HISTORIES[name])

    def fit() -> None:
        model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0)

    return fit


def compared(
    what: str, sides: dict[str, Callable[[], None]], *, examples: int, rounds: int, goal: str
) -> list[report.Row]:
    """Rates of both sides in turns, by the clock and by processor time."""
    for side in sides.values():
        side()  # is traced
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            start, processor_start = time.perf_counter(), time.process_time()
            sides[name]()
            measured[name].append((time.perf_counter() - start, time.process_time() - processor_start))
    rows = []
    for index, clock in enumerate(("", ", processor time")):
        ours, reference = ([each[index] for each in measured[name]] for name in ("grouped", "flat"))
        rows.append(
            report.compare(
                name=f"{what}, grouped / flat{clock}",
                ours=report.Sample(tuple(ours)).rate(examples),
                reference=report.Sample(tuple(reference)).rate(examples),
                ratio=statistics.median(b / a for a, b in zip(ours, reference, strict=True)),
                goal=goal,
                unit="examples/s",
            )
        )
    return rows


def main() -> None:
    options = report.arguments(__doc__.splitlines()[0])
    requests, batch_size, rounds = (60, 200, 1) if options.quick else (1_500, 1_000, 5)
    steps = requests * CANDIDATES // batch_size
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        records = convert_both(directory, requests=requests)
        rows = [
            report.compare(
                name=f"{CANDIDATES} candidates per request, histories of {LENGTH}: bytes, grouped / flat",
                ours=report.Sample((size_of(records["grouped"]),)),
                reference=report.Sample((size_of(records["flat"]),)),
                goal="<= 0.2",
                unit="bytes",
            )
        ]
        sides = {name: fitted(each, name, batch_size=batch_size, steps=steps) for name, each in records.items()}
        rows += compared("training", sides, examples=steps * batch_size, rounds=rounds, goal=">= 2")
        both = {name: losses(directory, name, batch_size=batch_size) for name in records}
        apart = [abs(one - other) for one, other in zip(both["grouped"], both["flat"], strict=True)]
        rows.append(
            report.compare(
                name=f"largest difference of {len(apart)} losses of train / 1e-6",
                ours=report.Sample((max(apart),)),
                reference=report.Sample((1e-6,)),
                goal="<= 1",
                unit="",
            )
        )
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
