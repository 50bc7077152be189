"""Training on parameter servers with faults: steps that are lost or repeated, and memory.

A cluster of this machine (chief, two workers, two servers) trains on synthetic records. At a random moment of every
interval one process is killed, a worker, a server or the chief, or the whole cluster is told to end; the moments and
the processes follow from a seed. Whenever the cluster has ended, the same command is run again. FULLRANK_SOAK_MINUTES
is its length, 5 by default; an interval is a twelfth of it. `--quick` is one fault in a minute. Linux only.

Rows: steps that a fault cost, the most of all faults, beside the interval of the checkpoints; lines that are missing
from the log or stand there twice; and the memory of each role, largest of the last quarter beside largest of the first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

import report

FAULTS: Final = ("worker", "ps", "chief", "all")
CHECKPOINT_STEPS: Final = 60
LOG_STEPS: Final = 20
SEED: Final = 1
LOOK: Final = 1.0
"""Seconds between two looks at the memory."""
RECORDS = ["--dataset=synthetic", "--rows=60000", "--shards=8"]
MODEL = ["--model=me", "--widths=8,8", "--expert_width=32", "--hidden=32", "--tower=16", "--batch_size=256"]
MODEL += ["--epochs=100000", "--steps_per_epoch=200", "--patience=none", "--progress=none", "--notensorboard"]
MODEL += [f"--checkpoint_steps={CHECKPOINT_STEPS}", f"--log_steps={LOG_STEPS}", "--shard_kib=16"]


@dataclasses.dataclass
class Seen:
    """What a soak has shown so far.

    Attributes:
      faults: Role of each process that was killed, `all` where the cluster was told to end.
      cost: Steps that each resumption took again.
      memory: Role -> (second, bytes of its largest process).
    """

    faults: list[str] = dataclasses.field(default_factory=list)
    cost: list[int] = dataclasses.field(default_factory=list)
    memory: dict[str, list[tuple[float, int]]] = dataclasses.field(default_factory=dict)


def processes_of(output: Path) -> Iterator[tuple[str, int, int]]:
    """Role, number and bytes in memory of each process that trains into a directory."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            line, environment = (entry / "cmdline").read_text(), (entry / "environ").read_text(errors="replace")
            found = re.search(r"TF_CONFIG=([^\0]*)", environment)
            if f"--output={output}" in line and found:
                size = int((entry / "status").read_text().split("VmRSS:")[1].split()[0]) * 1024
                yield str(json.loads(found[1])["task"]["type"]), int(entry.name), size


def lines_of(output: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of a kind in the log of a run."""
    log = output / "metrics.jsonl"
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    # The last line may be half-written.
    found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in found if line["kind"] == kind]


def strike(process: subprocess.Popen[bytes], output: Path, draw: np.random.Generator) -> str:
    """Kills a process of the cluster, or tells the cluster to end, and says which."""
    fault = FAULTS[draw.integers(len(FAULTS))]
    victims = [number for role, number, _ in processes_of(output) if role == fault]
    if victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(sorted(victims)[draw.integers(len(victims))], signal.SIGKILL)
        return fault
    process.terminate()
    return "all"


def soak(records: Path, output: Path, *, minutes: float, faults: int) -> Seen:
    """Trains for some minutes, with a fault in each of as many intervals, and ends the cluster."""
    command = [sys.executable, "-m", "fullrank", "cluster", "--workers=2", "--servers=2", "--"]
    command += [f"--data={records}", f"--output={output}", *MODEL]
    draw, seen, begin = np.random.default_rng(SEED), Seen(), time.monotonic()
    moments = [(number + draw.uniform(0.2, 0.9)) * minutes * 60 / faults for number in range(faults)]
    log = output.with_suffix(".log")
    while (now := time.monotonic() - begin) < minutes * 60:
        before = max((line["step"] for line in lines_of(output, "train")), default=0)
        with open(log, "wb") as written:
            process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None and now < minutes * 60:
                    time.sleep(LOOK)
                    now = time.monotonic() - begin
                    for role, _, size in processes_of(output):
                        seen.memory.setdefault(role, []).append((now, size))
                    if moments and now > moments[0]:
                        moments.pop(0)
                        seen.faults.append(strike(process, output, draw))
                        print(f"{now:.0f} s: {seen.faults[-1]}", file=sys.stderr, flush=True)
            finally:
                process.terminate()
                process.wait()
        text = log.read_text(encoding="utf-8", errors="replace")
        resumed = re.search(r"resumes after (\d+) steps", text)
        if resumed:
            seen.cost.append(max(0, before - int(resumed[1])))
    return seen


def growth(samples: Sequence[tuple[float, int]], *, minutes: float) -> tuple[int, int]:
    """Largest size in the last quarter of the time, and in the first."""
    quarter = minutes * 15
    first = [size for second, size in samples if second < quarter]
    last = [size for second, size in samples if second >= 3 * quarter]
    return max(last, default=0), max(first, default=1)


def odd_lines(steps: Sequence[int]) -> int:
    """Lines of a log that are missing or stand there twice, where every LOG_STEPS steps there should be one."""
    expected = set(range(LOG_STEPS, max(steps, default=0) + 1, LOG_STEPS))
    return len(expected - set(steps)) + len(steps) - len(set(steps))


def single(value: float) -> report.Sample:
    """One measurement."""
    return report.Sample((float(value),))


def main() -> None:
    """Runs the benchmark."""
    options = report.arguments(__doc__.splitlines()[0])
    # The cluster is ended with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    minutes = 1.0 if options.quick else float(os.environ.get("FULLRANK_SOAK_MINUTES", "5"))
    with tempfile.TemporaryDirectory() as folder:
        records, output = Path(folder) / "records", Path(folder) / "run"
        prepare = [sys.executable, "-m", "fullrank", "prepare", *RECORDS, f"--output={records}"]
        subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
        seen = soak(records, output, minutes=minutes, faults=1 if options.quick else 12)
        steps = [line["step"] for line in lines_of(output, "train")]
    print(f"{max(steps, default=0):,} steps; faults: {', '.join(seen.faults)}; resumed {len(seen.cost)} times.")
    rows = [
        report.compare(
            name="steps that a fault cost, the most / interval of the checkpoints",
            ours=single(max(seen.cost, default=0)),
            reference=single(CHECKPOINT_STEPS),
            unit="steps",
            goal="<= 1",
        ),
        report.compare(name="lines missing or doubled", ours=single(odd_lines(steps)), reference=None, unit="lines"),
    ]
    for role, samples in seen.memory.items():
        last, first = growth(samples, minutes=minutes)
        rows.append(
            report.compare(
                name=f"memory of a {role}: last quarter / first",
                ours=single(last),
                reference=single(first),
                unit="bytes",
                goal="<= 1.1",
            )
        )
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
