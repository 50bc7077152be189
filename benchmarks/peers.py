"""Training from files, end to end: DCN V2 here and in FuxiCTR, each in its own process with its own Python.

39 embedded fields (26 sparse, 13 numeric) of width 16, three crosses parallel to an MLP 400-400-400, batches of 2,048;
tables of 1e5 and of 2e6 rows together. Both sides train on the same rows, ours from block records, FuxiCTR from .npz
files through its own loader (its default format), with the optimisers that each takes by default: ours row-wise Adagrad
for tables and Adam for the rest, FuxiCTR Adam. Its L2 penalty on embeddings is off, which is to its advantage in speed.

The data is drawn with a planted signal (an effect of every id, products of factors, linear numbers) and cut into parts.
A turn trains one part, which no side has seen before; sides take turns, so that a busy machine slows all of them. The
first part is the warm-up. After the last part every side scores the same test rows.

FuxiCTR needs an environment of its own, because its requirements do not go together with TensorFlow's:

    python -m venv peer && peer/bin/pip install torch==2.13.0 fuxictr==2.3.10
    python benchmarks/peers.py --peer_python=peer/bin/python

The goals on mixed_bfloat16 are meant for processors with a bfloat16 matrix unit; the rows say when there is none. The
rows "products alone" give the time of our step over that of its matrix products, which are TensorFlow's: 1 is the
least, and what is above it is all that we could still save.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import report

SPARSE, NUMERIC, WIDTH, BATCH = 26, 13, 16, 2048
RESERVED_ROWS = 2
OURS, OURS_16, PEER = "float32", "mixed_bfloat16", "fuxictr"
GOALS = {
    (100_000, OURS): ">= 1.1",
    (100_000, OURS_16): ">= 2.5",
    (2_000_000, OURS): ">= 2.5",
    (2_000_000, OURS_16): ">= 5",
}
MATRIX_UNITS = ("amx_bf16", "avx512_bf16")
FACTORS = 4


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of a training: `parts` parts of `rows` rows after one of warm-up, on tables of `table_rows` in all."""

    table_rows: int
    parts: int
    rows: int
    test_rows: int


def draw(*, rows: int, ids: int, seed: int) -> dict[str, Any]:
    """Draws columns: sparse `c0`.. in [0, ids), the small ones frequent; numeric `i0`..; and the label `click`."""
    world, chance = np.random.default_rng(1), np.random.default_rng(seed)
    effects = world.normal(0.0, 0.2, (SPARSE, ids)).astype(np.float32)
    factors = world.normal(0.0, 0.12, (SPARSE, ids, FACTORS)).astype(np.float32)
    slopes = world.normal(0.0, 0.1, NUMERIC).astype(np.float32)
    sparse = np.floor(np.exp(chance.random((SPARSE, rows)) * np.log(ids + 1))).astype(np.int64) - 1
    sparse = np.minimum(sparse, ids - 1)
    numbers = chance.normal(0.0, 1.0, (NUMERIC, rows)).astype(np.float32)
    logits = -1.5 + slopes @ numbers
    total, squares = np.zeros((rows, FACTORS), np.float32), np.zeros((rows, FACTORS), np.float32)
    for field in range(SPARSE):
        logits += effects[field, sparse[field]]
        vectors = factors[field, sparse[field]]
        total += vectors
        squares += vectors * vectors
    logits += 0.5 * (total * total - squares).sum(axis=1)
    click = (chance.random(rows) < 1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
    columns: dict[str, Any] = {f"c{field}": sparse[field] for field in range(SPARSE)}
    columns |= {f"i{field}": numbers[field] for field in range(NUMERIC)}
    return columns | {"click": click}


def write(directory: Path, size: Size) -> None:
    """Writes the same rows as block records (`records/`) and as arrays (`<part>.npz`), and the test labels."""
    from fullrank import data

    ids = size.table_rows // SPARSE - RESERVED_ROWS
    splits = {f"part{k}": draw(rows=size.rows, ids=ids, seed=2 + k) for k in range(size.parts + 1)}
    splits["test"] = draw(rows=size.test_rows, ids=ids, seed=0)
    schema = data.Schema(
        name="peers",
        features=(
            *(data.Sparse(name=f"c{k}", ids=data.IdMap(kind="identity", size=ids)) for k in range(SPARSE)),
            *(data.Numeric(name=f"i{k}") for k in range(NUMERIC)),
        ),
        labels=(data.Label(name="click"),),
    )
    data.write_records(directory / "records", schema=schema, splits=splits, shards=4)
    for name, columns in splits.items():
        np.savez(directory / f"{name}.npz", **columns)
    np.save(directory / "test_labels.npy", splits["test"]["click"])
    settings = {"ids": ids, "sparse": SPARSE, "numeric": NUMERIC, "width": WIDTH, "batch": BATCH}
    (directory / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


def serve(directory: Path, *, policy: str, threads: int) -> None:
    """Works on order: `train PART`, `test PART`, `products STEPS` on standard input; answers with a line of JSON."""
    import bare_products
    import tensorflow as tf
    import tf_keras as keras

    from fullrank import data, models
    from fullrank.models.optimizers import OptimizerSpec, build_optimizer
    from fullrank.trainers.training.memory import keep_freed_memory

    keep_freed_memory()
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(1)
    keras.mixed_precision.set_global_policy(policy)
    schema = data.read_schema(directory / "records")
    interactions = models.InteractionOptions(hidden=(400, 400, 400), cross_depth=3)
    model = models.Ranker(
        schema,
        models.single(width=WIDTH, experts=("crossnet", "flat")),
        models.RankerOptions(numeric="scaled", interactions=interactions),
    )
    optimizer = build_optimizer(
        tables=list(model.table_variables.values()),
        table_optimizer=OptimizerSpec("rowwise_adagrad", 0.05),
        dense_optimizer=OptimizerSpec("adam", 1e-3),
    )
    model.compile(optimizer=optimizer)

    print(json.dumps({"ready": f"{policy}: TensorFlow {tf.__version__}"}), flush=True)
    for line in sys.stdin:
        order, _, part = line.strip().partition(" ")
        if order == "products":
            print(json.dumps({"seconds": bare_products.seconds(model, batch=BATCH, steps=int(part))}), flush=True)
            continue
        batches = data.read_records(schema, split=part, batch_size=BATCH, seed=1 if order == "train" else None)
        if order == "train":
            wall, cpu = time.perf_counter(), time.process_time()
            model.fit(batches, verbose=0)
            answer: dict[str, Any] = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        else:
            predictions = directory / f"predictions-{policy}.npy"
            np.save(predictions, np.concatenate([model(batch, training=False)["click"] for batch in batches]))
            answer = {"predictions": str(predictions)}
        print(json.dumps(answer), flush=True)


class Side:
    """A process that trains and scores on order."""

    def __init__(self, command: list[str], *, errors: Path) -> None:
        self._errors = errors
        self._name = " ".join(command)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with errors.open("w", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, env=environment
            )
        print(f"# {self._answer()['ready']}", flush=True)

    def order(self, order: str) -> Any:
        """Sends an order and waits for the answer."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self._name} ended:\n{self._errors.read_text(encoding='utf-8')[-2000:]}")


def compare(size: Size, *, peer_python: str, threads: int) -> list[report.Row]:
    """Trains all sides on one size, in turn."""
    with tempfile.TemporaryDirectory(prefix="peers-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        write(directory, size)
        mine = [sys.executable, __file__, "--serve", name, "--threads", str(threads), "--policy"]
        theirs = [peer_python, str(Path(__file__).with_name("peers_fuxictr.py")), name, "--threads", str(threads)]
        commands = {OURS: [*mine, OURS], PEER: theirs, OURS_16: [*mine, OURS_16]}
        sides = {side: Side(command, errors=directory / f"{side}.err") for side, command in commands.items()}
        for side in sides.values():
            stack.callback(side.stop)
        turns: dict[str, list[Any]] = {side: [] for side in sides}
        for part in range(size.parts + 1):
            for name_of in sides if part % 2 == 0 else reversed(sides):
                turns[name_of].append(sides[name_of].order(f"train part{part}"))
                if name_of != PEER:
                    steps = size.rows // BATCH
                    turns[name_of][-1]["products"] = sides[name_of].order(f"products {steps}")["seconds"]
                print(f"# part {part}: {name_of}: {turns[name_of][-1]['seconds']:.1f} s", flush=True)
        labels = np.load(directory / "test_labels.npy")
        scores = {side: np.load(process.order("test test")["predictions"]) for side, process in sides.items()}
        areas = {side: area_under_curve(labels, predicted) for side, predicted in scores.items()}
    return rows_of(size, {side: answers[1:] for side, answers in turns.items()}, areas)


def rows_of(size: Size, turns: dict[str, list[Any]], areas: dict[str, float]) -> list[report.Row]:
    """Speed by the wall clock (with a goal) and by processor time, and the AUC of each side."""
    rows = []
    for ours in (OURS, OURS_16):
        note = " (no bfloat16 matrix unit)" if ours == OURS_16 and not matrix_units() else ""
        what = f"{ours}{note} / FuxiCTR, {size.table_rows:,} rows"
        for key, of, goal in (
            ("seconds", "", GOALS.get((size.table_rows, ours), "")),
            ("cpu_seconds", ", of processor time", ""),
        ):
            mine, theirs = ([turn[key] for turn in turns[side]] for side in (ours, PEER))
            rows.append(
                report.compare(
                    name=what + of,
                    ours=report.Sample(tuple(mine)).rate(size.rows),
                    reference=report.Sample(tuple(theirs)).rate(size.rows),
                    unit="examples/s",
                    goal=goal,
                    ratio=statistics.median(b / a for a, b in zip(mine, theirs, strict=True)),
                )
            )
        rows.append(_bound(f"{ours}: step / its products alone, {size.table_rows:,} rows", turns[ours]))
        rows.append(_areas(f"AUC: {what}", areas[ours], areas[PEER]))
    difference = abs(areas[OURS_16] - areas[OURS])
    name = f"AUC: {OURS_16} - {OURS}, {size.table_rows:,} rows, difference"
    return [*rows, _areas(name, areas[OURS_16], areas[OURS], goal="<= 0.001", ratio=difference)]


def _bound(name: str, turns: list[Any]) -> report.Row:
    """The time of a step against the least time of its matrix products."""
    steps, products = ([turn[key] for turn in turns] for key in ("seconds", "products"))
    return report.compare(
        name=name, ours=report.Sample(tuple(steps)), reference=report.Sample(tuple(products)), unit="s"
    )


def _areas(name: str, ours: float, reference: float, *, goal: str = "", ratio: float | None = None) -> report.Row:
    samples = (report.Sample((ours,)), report.Sample((reference,)))
    return report.compare(name=name, ours=samples[0], reference=samples[1], unit="AUC", goal=goal, ratio=ratio)


def area_under_curve(labels: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> float:
    """The AUC: labels and scores `[n]`; a tie counts one half."""
    _, rank, count = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - 0.5 * (count - 1)
    positives = labels > 0
    p, n = int(positives.sum()), int((~positives).sum())
    return float((middle[rank][positives].sum() - 0.5 * p * (p + 1)) / (p * n))


def matrix_units() -> tuple[str, ...]:
    """The processor's units for products of bfloat16 matrices, by the kernel's names."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        words = set()
    return tuple(unit for unit in MATRIX_UNITS if unit in words)


def main() -> None:
    """Reads the flags and runs both sizes, or one side when it is called by itself."""
    parser = argparse.ArgumentParser(description="Training from files, end to end, against FuxiCTR.")
    parser.add_argument("--peer_python", help="a Python that has fuxictr 2.3.10")
    parser.add_argument("--threads", type=int, default=0, help="threads of every side; 0 leaves it to the libraries")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--policy", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve), policy=options.policy, threads=options.threads)
        return
    if not options.peer_python:
        parser.error("--peer_python is needed: see the first lines of this file for how to make one")
    print(f"# bfloat16 matrix units: {', '.join(matrix_units()) or 'none'}")
    if options.quick:
        sizes = [Size(table_rows=10_000, parts=1, rows=4 * BATCH, test_rows=BATCH)]
    else:
        sizes = [Size(table_rows=n, parts=5, rows=50 * BATCH, test_rows=50_000) for n in (100_000, 2_000_000)]
    rows = [row for size in sizes for row in compare(size, peer_python=options.peer_python, threads=options.threads)]
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
