"""Scoring by `serving_request` with weights in float32, bfloat16 and int8, against ONNX Runtime on flat rows.

* no history: the DCN V2 of `serving`, of whose 39 features every other one is the user's; ONNX Runtime has the graph of
  `dcn_onnx`, written operation by operation.
* history of 200: the model with TIM of `request`; ONNX Runtime has the graph that `fullrank export --format=onnx`
  writes, for which tf2onnx has to be installed.

All sides are made of the same float32 weights. Ours get the user once and the ads for each candidate; ONNX Runtime
gets rows in which the user is repeated, as its graph takes them. Both are called without what Python does for each
input of a signature, on one thread and on two. Times are those of the processor and by the clock: on a busy machine the
former say more, but where threads wait by spinning, as those of ONNX Runtime do on two threads, they count that, too.

float32 and int8 run with `TF_ENABLE_ONEDNN_OPTS=0` (see `serving`), bfloat16 with oneDNN, which has its products. The
rows "mixed_bfloat16" compare bfloat16 with the same model as Keras computes it, which rounds each weight at each call.
Without onnxruntime, bfloat16 and int8 are compared with float32.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tf_keras as keras
import tqdm
from dcn_model import dcn_v2
from request_model import random_ranker, with_history
from serving_process import PAUSE, Side

import report
from fullrank import models
from fullrank.data.schema.request_parts import request_parts
from fullrank.models.serving import serving_signatures
from fullrank.models.serving.compact import Weights, for_serving
from fullrank.models.serving.onnx_graph import write_onnx
from fullrank.models.serving.sample_rows import Rows, drawn_rows, take
from fullrank.models.serving.saved_model import write_saved_model
from fullrank.models.serving.signatures import SIGNATURES, served

CALLS = {1: 60, 100: 12, 500: 4}
ONCE, HISTORY = "serving_request", 200
WEIGHTS: tuple[Weights, ...] = ("float32", "bfloat16", "int8")
ONNX, MIXED = "onnx", "mixed_bfloat16"
GOALS = {"float32": "<= 1", "bfloat16": "<= 0.7"}
ATOL = {"float32": 1e-4, ONNX: 1e-4, "int8": 0.02, "bfloat16": 0.05, MIXED: 0.05}


def has(*names: str) -> bool:
    """Whether all of these packages are installed."""
    return all(importlib.util.find_spec(name) is not None for name in names)


def write_models(model: models.Ranker, directory: Path, *, by_hand: bool) -> None:
    """Writes a SavedModel for each kind of weights, `onnx/model.onnx` if it can be, and the requests of both.

    Args:
      model: With random weights.
      directory: Where to.
      by_hand: Whether the ONNX graph is that of `dcn_onnx`.
    """
    schema = model.schema
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    mixed = model.merged(table_variables=1)
    keras.mixed_precision.set_global_policy("float32")
    exports: dict[str, models.Ranker] = {weights: for_serving(model, weights=weights) for weights in WEIGHTS}
    for name, exported in {**exports, MIXED: mixed}.items():
        signatures = {ONCE: serving_signatures(exported, schema)[ONCE]}
        write_saved_model(directory / name, model=exported, signatures=signatures, schema=schema)
    (directory / ONNX).mkdir()
    if by_hand and has("onnx", "onnxruntime"):
        import dcn_onnx
        import onnx

        onnx.save(dcn_onnx.onnx_model(model), str(directory / ONNX / "model.onnx"))
    elif not by_hand and has("onnx", "onnxruntime", "tf2onnx"):
        write_onnx(directory / ONNX, model=exports["float32"], schema=schema)
    once, drawn = request_parts(schema).columns, drawn_rows(schema, number=max(CALLS))
    (directory / ONCE).mkdir()
    for number in CALLS:
        rows: Rows = take(drawn, number=number, columns=schema.input_columns)
        flat = {name: np.repeat(v[:1], number, axis=0) if name in once else v for name, v in rows.items()}
        given: dict[str, Any] = dict(served(model)[ONCE].request(schema, rows))
        signature = SIGNATURES["serving_packed" if by_hand else "serving_default"]
        repeated: dict[str, Any] = dict(signature.request(schema, flat))
        np.savez(directory / ONCE / f"{number}.npz", **given)
        np.savez(directory / ONNX / f"{number}.npz", **repeated)


@contextlib.contextmanager
def sides(directory: Path, *, threads: int) -> Iterator[dict[str, Side]]:
    """Starts a process for each side, and ends them."""
    started: dict[str, Side] = {}
    try:
        for name in (*WEIGHTS, MIXED):
            onednn = name in ("bfloat16", MIXED)
            started[name] = Side("graph", directory / name, directory / ONCE, onednn=onednn, threads=threads)
        file = directory / ONNX / "model.onnx"
        if file.exists():
            started[ONNX] = Side("onnx", file, directory / ONNX, onednn=False, threads=threads)
        yield started
    finally:
        for side in started.values():
            side.close()


def check_outputs(started: dict[str, Side]) -> None:
    """Refuses to compare sides that do not compute the same."""
    for number in CALLS:
        expected = started["float32"].outputs(number)
        if number > 1 and not 0.001 < expected.std() < 0.5:
            raise RuntimeError(f"the outputs say nothing: their standard deviation is {expected.std():.3g}")
        for name, side in started.items():
            np.testing.assert_allclose(side.outputs(number).reshape(-1), expected, atol=ATOL[name], err_msg=name)


def measure(started: dict[str, Side], *, rounds: int, title: str) -> dict[tuple[str, int], list[Any]]:
    """Seconds by the clock and of the processor of each side and number of candidates, by round; sides take turns."""
    taken: dict[tuple[str, int], list[Any]] = {(name, rows): [] for name in started for rows in CALLS}
    for number in tqdm.trange(rounds, desc=title, mininterval=1):
        names = list(started)
        for rows, calls in CALLS.items():
            for name in names if number % 2 == 0 else reversed(names):
                time.sleep(PAUSE)
                taken[name, rows].append(started[name].seconds(rows, calls=calls))
    return taken


def rows_of(taken: dict[tuple[str, int], list[Any]], *, title: str) -> list[report.Row]:
    """The lines of one case: exports against ONNX Runtime, else against float32; bfloat16 against mixed_bfloat16."""
    with_onnx = (ONNX, 1) in taken
    pairs = [(name, ONNX if with_onnx else "float32") for name in WEIGHTS if with_onnx or name != "float32"]
    found = []
    for rows in CALLS:
        for ours, reference in (*pairs, ("bfloat16", MIXED)):
            for place, unit in ((1, "processor time"), (0, "time")):
                one, other = ([values[place] * 1e3 for values in taken[side, rows]] for side in (ours, reference))
                goal = GOALS.get(ours, "") if reference == ONNX and rows > 1 and place == 1 else ""
                found.append(
                    report.compare(
                        name=f"{title}, {rows} candidate{'s' if rows > 1 else ''}, {ours} / {reference}, {unit}",
                        ours=report.Sample(tuple(one)),
                        reference=report.Sample(tuple(other)),
                        ratio=statistics.median(a / b for a, b in zip(one, other, strict=True)),
                        unit="ms",
                        goal=goal,
                    )
                )
    return found


def main() -> None:
    """Runs the benchmark."""
    options = report.arguments(__doc__.splitlines()[0])
    rounds = 1 if options.quick else 15
    found: list[report.Row] = []
    for title, length in (("no history", 0), ("history of 200", 20 if options.quick else HISTORY)):
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary)
            if length:
                features = with_history(length=length, ids=500 if options.quick else 20_000, kind="identity")
                (directory / "records").mkdir()
                model = random_ranker(directory / "records", features, "tim")
            else:
                model = dcn_v2(table_rows=26_000 if options.quick else 1_040_000, sided=True)
            write_models(model, directory, by_hand=not length)
            for threads in (1, 2):
                case = f"{title}, {threads} thread{'s' if threads > 1 else ''}"
                with sides(directory, threads=threads) as started:
                    check_outputs(started)
                    found += rows_of(measure(started, rounds=rounds, title=case), title=case)
    report.emit(found, options.json)
    if not has("onnx", "onnxruntime", "tf2onnx"):
        print("ONNX Runtime was left out where it is not installed (pip install onnx onnxruntime tf2onnx).")


if __name__ == "__main__":
    main()
