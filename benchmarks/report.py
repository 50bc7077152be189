"""The parts that all benchmarks share: two flags, alternating timing, the table they print and the JSON they write.

A benchmark measures our side and a reference side *alternately* in one process, so that a busy machine slows both, and
reports medians with their spread. It exits with 0 whether a goal holds or not: no test depends on timing.

    import report

    options = report.arguments("Reads records.")
    timing = report.alternate(ours, reference, rounds=3 if options.quick else 15, warmup=1)
    rows = [report.compare(name="read", ours=timing.ours.rate(2048), reference=timing.reference.rate(2048),
                           goal=">= 8", unit="examples/s")]
    report.emit(rows, options.json)
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import operator
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fullrank.data.files.write_aside import write_text

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


def arguments(description: str) -> argparse.Namespace:
    """Reads the two flags that every benchmark has: `quick` (bool) and `json` (path or None)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: shows that it runs")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to FILE")
    return parser.parse_args()


@dataclasses.dataclass(frozen=True)
class Sample:
    """Repeated measurements of one quantity.

    Args:
      values: one number per round, in the order of measurement.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile; smallest and largest value when there are fewer than four."""
        if len(self.values) < 4:
            return min(self.values), max(self.values)
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    def rate(self, items: float) -> Sample:
        """Turns seconds a call into items a second, for a call that handles `items` of them."""
        return Sample(tuple(items / value for value in self.values))

    def scaled(self, factor: float) -> Sample:
        """Changes the unit: seconds to milliseconds with 1e3."""
        return Sample(tuple(value * factor for value in self.values))


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds a round of both sides, by the wall clock and by processor time of the whole process.

    On a shared machine the processor time shows what the wall clock hides; a side that merely waits shows in the wall
    clock only.
    """

    ours: Sample
    reference: Sample
    ours_cpu: Sample
    reference_cpu: Sample

    @property
    def ratio_of_medians(self) -> float:
        """Median time of ours over median time of the reference."""
        return self.ours.median / self.reference.median

    @property
    def median_of_ratios(self) -> float:
        """Median over rounds of ours / reference: immune to a load that changes slowly."""
        return statistics.median(a / b for a, b in zip(self.ours.values, self.reference.values, strict=True))

    @property
    def cpu_ratio_of_medians(self) -> float:
        """As `ratio_of_medians`, of processor time."""
        return self.ours_cpu.median / self.reference_cpu.median


def alternate(ours: Callable[[], object], reference: Callable[[], object], *, rounds: int, warmup: int = 1) -> Timing:
    """Times two functions in turn, the one that goes first changing from round to round.

    Args:
      ours: function without arguments; must have finished its work when it returns.
      reference: as `ours`.
      rounds: measured calls of each.
      warmup: calls of each before measuring (tracing, caches).

    Returns:
      The seconds of every round.

    Raises:
      ValueError: if `rounds` < 1 or `warmup` < 0.
    """
    if rounds < 1 or warmup < 0:
        raise ValueError(f"alternate needs rounds >= 1 and warmup >= 0. Received: rounds={rounds}, warmup={warmup}")
    for _ in range(warmup):
        ours()
        reference()
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    sides = ((0, ours), (1, reference))
    for number in range(rounds):
        for side, function in sides if number % 2 == 0 else reversed(sides):
            cpu_start, start = time.process_time(), time.perf_counter()
            function()
            wall[side].append(time.perf_counter() - start)
            cpu[side].append(time.process_time() - cpu_start)
    return Timing(Sample(tuple(wall[0])), Sample(tuple(wall[1])), Sample(tuple(cpu[0])), Sample(tuple(cpu[1])))


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a report. `ratio` is always ours / reference, so compare rates where larger is better.

    Args:
      name: what was measured.
      ours: median of our side.
      reference: median of the other side; None if there is none.
      ratio: ours / reference; None without a reference.
      goal: "<= 1.5", ">= 8" or "" for a row given for information.
      holds: whether the ratio meets the goal; None without a goal.
      ours_spread: first and third quartile of our side.
      reference_spread: the same of the other side.
      unit: of `ours` and `reference`.
    """

    name: str
    ours: float
    reference: float | None
    ratio: float | None
    goal: str
    holds: bool | None
    ours_spread: tuple[float, float]
    reference_spread: tuple[float, float] | None
    unit: str


def compare(
    *, name: str, ours: Sample, reference: Sample | None, unit: str, goal: str = "", ratio: float | None = None
) -> Row:
    """Makes a row from two samples.

    Args:
      name: what was measured.
      ours: our side.
      reference: the other side; without one the row carries no ratio.
      unit: of both samples.
      goal: "<= NUMBER" or ">= NUMBER" on the ratio; "" when there is none.
      ratio: default ours.median / reference.median; `Timing.median_of_ratios` is the steadier choice under load.

    Raises:
      ValueError: if the goal has another form, or there is a goal and no ratio.
    """
    if ratio is None and reference is not None:
        ratio = ours.median / reference.median
    return Row(
        name=name,
        ours=ours.median,
        reference=None if reference is None else reference.median,
        ratio=ratio,
        goal=goal,
        holds=_holds(ratio, goal),
        ours_spread=ours.spread,
        reference_spread=None if reference is None else reference.spread,
        unit=unit,
    )


def emit(rows: Sequence[Row], json_path: str | None = None) -> None:
    """Prints machine and rows as a table; with a path also writes the rows there, whole or not at all."""
    print(machine())
    heads = ("name", "ours", "reference", "unit", "ratio", "goal", "holds")
    cells = [heads, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if json_path:
        write_text(Path(json_path), json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")


def machine() -> str:
    """One line on processor, cores and TensorFlow, without which a figure says nothing."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tensorflow: Any = sys.modules.get("tensorflow")
    version = f"TensorFlow {tensorflow.__version__}" if tensorflow else "TensorFlow not loaded"
    return f"# {model}, {cores} cores, {version}, Python {platform.python_version()}"


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes; measure a phase in a process of its own.

    Linux keeps the number that `getrusage` gives across fork and exec, so that a child starts with its parent's peak;
    the one in /proc is the process's own.
    """
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size if sys.platform == "darwin" else size * 1024


def _holds(ratio: float | None, goal: str) -> bool | None:
    if not goal:
        return None
    comparison, _, bound = goal.partition(" ")
    if comparison not in _COMPARISONS or ratio is None:
        raise ValueError(f"a goal is '<= NUMBER' or '>= NUMBER' on a ratio. Received: goal={goal!r}, ratio={ratio}")
    return _COMPARISONS[comparison](ratio, float(bound))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        _with_spread(row.ours, row.ours_spread),
        _with_spread(row.reference, row.reference_spread),
        row.unit,
        "-" if row.ratio is None else f"{row.ratio:.3g}",
        row.goal or "-",
        "-" if row.holds is None else "yes" if row.holds else "no",
    )


def _with_spread(value: float | None, spread: tuple[float, float] | None) -> str:
    if value is None or spread is None:
        return "-"
    return f"{_number(value)} [{_number(spread[0])}, {_number(spread[1])}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def in_child(script: str, size: int) -> dict[str, float]:
    """Runs `script --child size` in a separate process, for a peak of memory of its own, and reads its figures.

    Args:
      script: The benchmark's file; called so, it prints one JSON object.
      size: The size that it measures.
    """
    child = subprocess.run(
        [sys.executable, script, "--child", str(size)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(child.stdout.strip().splitlines()[-1])
    return found


def bounded(found: Mapping[str, float], figures: Sequence[tuple[str, str, float | None]], *, size: str) -> list[Row]:
    """A row for each figure, as a share of its bound where it has one.

    Args:
      found: Figure -> measured value.
      figures: Figure, unit and bound.
      size: The size that was measured, for the names.
    """
    return [
        compare(
            name=f"{figure}, {size}" + (f" / {bound:g} {unit}" if bound else ""),
            ours=Sample((found[figure],)),
            reference=Sample((bound,)) if bound else None,
            unit=unit,
            goal="<= 1" if bound else "",
        )
        for figure, unit, bound in figures
    ]
