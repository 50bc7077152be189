"""What training on parameter servers sends per step and holds per row, beside what docs/scale.md predicts.

A cluster of this machine (chief, two workers, two servers) trains a `single` model on eight columns of uniform ids, by
`fullrank cluster`. The bytes of the loopback interface are counted between two lines of its log, and the memory of the
servers is read at the second of them. Each table size is a run of its own. What other programs send over the loopback
interface meanwhile is counted as well. Linux only.

Rows: bytes per step and table size, measured and predicted; the memory by which the servers of the larger tables exceed
those of the smaller ones, measured and predicted; the time of a step of 1,024 examples, measured and predicted from
those of 512 and 2,048, as a constant and a part that grows with the batch (not with `--quick`); and examples per second
of the cluster beside one process, on the same processor, which shows what the exchange costs and not what further
machines gain.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import report
from fullrank import data
from fullrank.data import convert
from fullrank.trainers.config.flags import run_config
from fullrank.trainers.training.build_model import build_model

COLUMNS, WIDTH, BATCH, EXPERT = 8, 16, 512, 64
BINS = 2**12
MODEL = ["--model=single", "--experts=flat", f"--widths={WIDTH}", f"--expert_width={EXPERT}", f"--hidden={EXPERT}"]
MODEL += [f"--tower={EXPERT}", "--dropout=0", "--unknown_share=0", "--patience=none"]
MODEL += ["--progress=none", "--notensorboard", "--epochs=1", "--validation_split="]
SECONDS = 400.0
"""After which a run is given up."""


class Measured(NamedTuple):
    """What a run of a cluster showed.

    Attributes:
      bytes: Over the loopback interface, per step.
      memory: Of both servers together, in bytes.
      seconds: Per step, by the clock.
    """

    bytes: float
    memory: float
    seconds: float


def convert_log(directory: Path, *, ids: int, rows: int) -> Path:
    """Records whose columns are ids drawn uniformly."""
    draw = np.random.default_rng(1)
    names = [f"c{number}" for number in range(COLUMNS)]
    columns = {name: draw.integers(0, ids, rows) for name in names}
    table = pa.table({**columns, "click": draw.integers(0, 2, rows)})
    features = tuple(data.Sparse(name=name, ids=data.IdMap(kind="identity", size=ids)) for name in names)
    data.write_schema(
        data.Schema(name="log", features=features, labels=(data.Label(name="click"),)), directory / f"{ids}.json"
    )
    pq.write_table(table, directory / f"{ids}.parquet")
    output = directory / f"records_{ids}"
    given = [f"--input={directory}/{ids}.parquet", f"--schema={directory}/{ids}.json", f"--output={output}"]
    with contextlib.redirect_stdout(io.StringIO()):
        convert.run(["convert", *given, "--shards=4", "--noprogress"])
    return output


def dense_weights(records: Path, output: Path, *, ids: int) -> int:
    """Trainable weights outside the tables of ids."""
    config = run_config([f"--data={records}", f"--output={output}", *MODEL])
    model = build_model(config.model, data.read_schema(records))
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) - COLUMNS * WIDTH * ids


def predicted_bytes(*, ids: int, dense: int) -> float:
    """Bytes per step.

    Rows and gradients of the ids that a batch names, each once and with its id; all dense weights and their gradients;
    and what is added to the histogram of the metrics, three numbers of 8 bytes per bin.
    """
    distinct = COLUMNS * ids * (1.0 - (1.0 - 1.0 / ids) ** BATCH)
    return distinct * 2 * (4 * WIDTH + 8) + dense * 2 * 4 + 3 * 8 * BINS


def loopback_bytes() -> int:
    """Bytes that the loopback interface has received since the machine was started."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()
    return next(int(line.split(":")[1].split()[0]) for line in lines if line.strip().startswith("lo:"))


def memory_of_servers(output: Path) -> int:
    """Bytes that the parameter servers of a run hold in memory."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line, environment = (entry / "cmdline").read_text(), (entry / "environ").read_text()
            if f"--output={output}" in line and '"type": "ps"' in environment:
                status = (entry / "status").read_text().split("VmRSS:")[1]
                total += int(status.split()[0]) * 1024
    return total


def logged_steps(output: Path) -> int:
    """The last step in the log."""
    log = output / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return max((json.loads(line)["step"] for line in lines if '"train"' in line), default=0)


def run_of(command: Sequence[str], output: Path, *, steps: int) -> Measured:
    """Measures a run from a third to two thirds of its steps, and ends it."""
    first, last = steps // 3, steps - steps // 3
    marks: dict[int, tuple[int, float]] = {}
    given_up = time.monotonic() + SECONDS
    with open(output.with_suffix(".log"), "w", encoding="utf-8") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT)
        memory = 0
        while process.poll() is None and time.monotonic() < given_up and len(marks) < 2:
            reached = logged_steps(output)
            if reached >= (last if marks else first) and reached not in marks:
                marks[reached] = (loopback_bytes(), time.monotonic())
                memory = memory_of_servers(output)
            time.sleep(0.02)
        process.terminate()
        process.wait()
    if len(marks) < 2:
        raise SystemExit(f"{' '.join(command)} ended too early: {output.with_suffix('.log').read_text()[-2000:]}")
    (begin, (sent, at)), (end, (sent_then, then)) = marks.items()
    return Measured((sent_then - sent) / (end - begin), memory, (then - at) / (end - begin))


def command_of(records: Path, output: Path, *, steps: int, cluster: bool, batch: int = BATCH) -> list[str]:
    module = [sys.executable, "-m", "fullrank", "cluster" if cluster else "train"]
    flags = [f"--data={records}", f"--output={output}", f"--steps_per_epoch={steps}", f"--log_steps={steps // 6}"]
    flags.append(f"--batch_size={batch}")
    if not cluster:
        return [*module, *flags, *MODEL]
    return [*module, "--workers=2", "--servers=2", "--", "--overlap_after=0", *flags, *MODEL]


def time_of_a_step(records: Path, directory: Path, *, seconds: float, steps: int) -> report.Row:
    """Measured and predicted seconds per step of 1,024 examples; `seconds` are those of 512."""
    measured = {BATCH: seconds}
    for batch in (2 * BATCH, 4 * BATCH):
        output = directory / f"batch_{batch}"
        command = command_of(records, output, steps=steps, cluster=True, batch=batch)
        measured[batch] = run_of(command, output, steps=steps).seconds
    per_example = (measured[4 * BATCH] - measured[BATCH]) / (3 * BATCH)
    constant = measured[BATCH] - BATCH * per_example
    print(f"A step takes {constant * 1e3:.1f} ms and {per_example * 1e6:.1f} microseconds per example.")
    return report.compare(
        name="seconds per step of 1,024 examples: measured, predicted",
        ours=report.Sample((measured[2 * BATCH],)),
        reference=report.Sample((constant + 2 * BATCH * per_example,)),
        unit="s",
    )


def main() -> None:
    """Runs the benchmark."""
    options = report.arguments(__doc__.splitlines()[0])
    steps = 300 if options.quick else 600
    sizes = (2_000, 50_000) if options.quick else (20_000, 2_000_000)
    rows, found = [], {}
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for ids in sizes:
            records = convert_log(directory, ids=ids, rows=BATCH * 40)
            output = directory / f"cluster_{ids}"
            dense = dense_weights(records, output, ids=ids)
            found[ids] = run_of(command_of(records, output, steps=steps, cluster=True), output, steps=steps)
            rows.append(
                report.compare(
                    name=f"bytes per step, 8 tables of {ids:,} rows: measured, predicted",
                    ours=report.Sample((found[ids].bytes,)),
                    reference=report.Sample((predicted_bytes(ids=ids, dense=dense),)),
                    unit="bytes",
                )
            )
        if not options.quick:
            rows.append(time_of_a_step(records, directory, seconds=found[ids].seconds, steps=steps))
        alone = directory / "alone"
        # One process is faster: as many steps would be over before the log is looked at twice.
        one = run_of(command_of(records, alone, steps=8 * steps, cluster=False), alone, steps=8 * steps)
    small, large = (found[ids] for ids in sizes)
    rows.append(
        report.compare(
            name="memory of the servers, larger - smaller tables: measured, predicted",
            ours=report.Sample((large.memory - small.memory,)),
            reference=report.Sample(((sizes[1] - sizes[0]) * COLUMNS * (WIDTH + 1) * 4.0,)),
            unit="bytes",
        )
    )
    rows.append(
        report.compare(
            name="cluster of this machine, one process",
            ours=report.Sample((BATCH / large.seconds,)),
            reference=report.Sample((BATCH / one.seconds,)),
            unit="examples/s",
        )
    )
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
