"""Scoring 1, 100 and 500 candidates from the SavedModel: fused export, unfused graph, ONNX Runtime.

The model is a DCN V2 with random weights: 39 embedded fields (26 ids, 13 numbers in buckets) x 16, three cross layers
parallel to an MLP 400-400-400. Two SavedModels are made of it: the fused export, as `fullrank export` writes it,
and the unfused graph, with one variable and one gather per table. All sides give equal outputs, which is checked first.

* request: a call of the loaded signature from Python, inputs ready as tensors, the answer as an array. The export takes
  it in packed tensors (`serving_packed`: one of ids, one of numbers); the rows "named" give it one tensor per column
  (`serving_default`), as the unfused graph gets it. The goal holds for both: named is like for like, packed is what
  an export offers beyond the graph.
* graph: the same signature by the call operation alone, without what Python does for each input: a server's share.

ONNX Runtime gets the same packed inputs, with its defaults; it is left out where it is not installed
(`pip install onnx onnxruntime`). Each side is a process of its own and idle while another one is measured.

TensorFlow's sides run with `TF_ENABLE_ONEDNN_OPTS=0`, which is what we advise to serve a float32 model of this size
with: oneDNN's matrix products cost more to start than they save. The rows "with oneDNN" show the default.
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
import tqdm
from dcn_model import dcn_v2
from serving_process import PAUSE, Side

import report
from fullrank.models.serving import serving_signatures
from fullrank.models.serving.sample_rows import drawn_rows, take
from fullrank.models.serving.saved_model import write_saved_model
from fullrank.models.serving.signatures import SIGNATURES

CALLS = {1: 60, 100: 12, 500: 4}
ONEDNN = "fused, graph, with oneDNN"
NAMED, PACKED = "serving_default", "serving_packed"


def write_models(directory: Path, *, table_rows: int) -> None:
    """Writes `fused`, `unfused`, `dcn.onnx` if it can be, and the requests by signature."""
    model = dcn_v2(table_rows=table_rows)
    for name, exported in (("fused", model.merged(table_variables=1)), ("unfused", model)):
        signatures = serving_signatures(exported, model.schema)
        write_saved_model(directory / name, model=exported, signatures=signatures, schema=model.schema)
    if _onnx_installed():
        import dcn_onnx
        import onnx

        onnx.save(dcn_onnx.onnx_model(model), str(directory / "dcn.onnx"))
    drawn = drawn_rows(model.schema, number=max(CALLS))
    for signature in (NAMED, PACKED):
        (directory / signature).mkdir()
        for number in CALLS:
            rows = take(drawn, number=number, columns=model.schema.input_columns)
            request: dict[str, Any] = dict(SIGNATURES[signature].request(model.schema, rows))
            np.savez(directory / signature / f"{number}.npz", **request)


@contextlib.contextmanager
def sides(directory: Path) -> Iterator[dict[str, Side]]:
    """Starts all sides, and ends them."""
    wanted = {
        "fused, packed": ("call", "fused", PACKED),
        "fused, named": ("call", "fused", NAMED),
        "unfused, named": ("call", "unfused", NAMED),
        "fused, graph": ("graph", "fused", PACKED),
        "unfused, graph": ("graph", "unfused", PACKED),
        ONEDNN: ("graph", "fused", PACKED),
    }
    if _onnx_installed():
        wanted["onnx"] = ("onnx", "dcn.onnx", PACKED)
    started: dict[str, Side] = {}
    try:
        for name, (how, model, signature) in wanted.items():
            started[name] = Side(how, directory / model, directory / signature, onednn=name == ONEDNN)
        yield started
    finally:
        for side in started.values():
            side.close()


def check_outputs(started: dict[str, Side]) -> None:
    """Refuses to compare sides that do not compute the same."""
    for number in CALLS:
        expected = started["unfused, named"].outputs(number)
        if not 0.01 < expected.std() < 0.5 and number > 1:
            raise RuntimeError(
                f"the outputs of the model say nothing: their standard deviation is {expected.std():.3g}"
            )
        for name, side in started.items():
            np.testing.assert_allclose(side.outputs(number), expected, atol=1e-4, err_msg=name)


def measure(started: dict[str, Side], rounds: int) -> dict[tuple[str, int], list[float]]:
    """Milliseconds of every side, number of rows and round; each round measures all sides in turn."""
    taken: dict[tuple[str, int], list[float]] = {(name, rows): [] for name in started for rows in CALLS}
    for number in tqdm.trange(rounds, desc="rounds", mininterval=1):
        names = list(started)
        for name in names if number % 2 == 0 else reversed(names):
            for rows in CALLS:
                time.sleep(PAUSE)
                taken[name, rows].append(started[name].milliseconds(rows, calls=CALLS[rows]))
    return taken


def compared(
    taken: dict[tuple[str, int], list[float]], rows: int, *, ours: str, reference: str, title: str, goal: str = ""
) -> report.Row:
    """One line of the report; the ratio is the median over the rounds, which see the machine equally busy."""
    one, other = taken[ours, rows], taken[reference, rows]
    speed = goal.startswith(">=")
    ratios = [b / a if speed else a / b for a, b in zip(one, other, strict=True)]
    samples = [report.Sample(tuple(1e3 / value if speed else value for value in side)) for side in (one, other)]
    return report.compare(
        name=f"{rows} candidate{'s' if rows > 1 else ''}, {title}",
        ours=samples[0],
        reference=samples[1],
        ratio=statistics.median(ratios),
        unit="requests/s" if speed else "ms",
        goal=goal,
    )


def _onnx_installed() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def main() -> None:
    """Runs the benchmark."""
    options = report.arguments(__doc__.splitlines()[0])
    with tempfile.TemporaryDirectory() as temporary:
        write_models(Path(temporary), table_rows=26_000 if options.quick else 1_040_000)
        with sides(Path(temporary)) as started:
            check_outputs(started)
            taken = measure(started, rounds=1 if options.quick else 21)
    lines = []
    for rows in CALLS:
        lines += [
            compared(
                taken,
                rows,
                ours="fused, packed",
                reference="unfused, named",
                title="request: fused, packed / unfused",
                goal=">= 2" if rows == 1 else "",
            ),
            compared(
                taken,
                rows,
                ours="fused, named",
                reference="unfused, named",
                title="request: fused, named / unfused",
                goal=">= 2" if rows == 1 else "",
            ),
            compared(taken, rows, ours="fused, graph", reference="unfused, graph", title="graph: fused / unfused"),
        ]
        if ("onnx", rows) in taken:
            goal = "" if rows == 1 else "<= 1"
            title = "graph: fused / ONNX Runtime"
            lines.append(compared(taken, rows, ours="fused, graph", reference="onnx", title=title, goal=goal))
            title = "graph: fused with oneDNN / ONNX Runtime"
            lines.append(compared(taken, rows, ours=ONEDNN, reference="onnx", title=title))
    report.emit(lines, options.json)
    if not _onnx_installed():
        print("ONNX Runtime was left out: it is not installed (pip install onnx onnxruntime).")


if __name__ == "__main__":
    main()
