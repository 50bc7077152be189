"""Results of many runs in one file.

Results that exist are kept, missing ones are computed. Numbers are written with their intervals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from fullrank.analysis.comparisons.paired import PairedDifference, paired_difference
from fullrank.data.files.write_aside import write_text

RESULTS: Final = "results.jsonl"
_SETTINGS: Final = "settings.json"
Floats = npt.NDArray[np.float64]
Key = tuple[str | int, ...]
Results = dict[Key, dict[str, Any]]


def resumed(
    directory: Path,
    *,
    settings: Mapping[str, Any],
    keys: Sequence[Key],
    compute: Callable[[Key], Mapping[str, Any]],
) -> Results:
    """Computes the results that a directory lacks, with a progress bar, and writes them there run by run.

    Args:
      directory: Where `results.jsonl` and `settings.json` are, or will be.
      settings: The settings that all results in a directory share.
      keys: Keys of the wanted runs.
      compute: Maps a key to its result, which JSON can hold.

    Returns:
      The result of every key.

    Raises:
      ValueError: If the directory holds results of other settings.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _check_settings(directory / _SETTINGS, settings)
    file = directory / RESULTS
    missing = [key for key in keys if key not in _read(file)]
    with file.open("a", encoding="utf-8") as lines:
        for key in tqdm(missing, desc="exploring", unit="run", mininterval=1.0):
            lines.write(json.dumps({"key": key, "result": compute(key)}) + "\n")
            lines.flush()
    found = _read(file)
    return {key: found[key] for key in keys}


def shown_and_deviation(runs: Iterable[Mapping[str, Any]]) -> tuple[Floats, Floats]:
    """The number of shows of each cell of the runs, and its posterior deviation, for a figure."""
    shown, deviation = zip(*((run["shown"], run["deviation"]) for run in runs), strict=True)
    return np.concatenate(shown), np.concatenate(deviation)


def _read(file: Path) -> Results:
    """Results by key; a line that a stopped run left half-written is dropped."""
    found: Results = {}
    if not file.exists():
        return found
    whole = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        whole.append(line)
        found[tuple(entry["key"])] = entry["result"]
    write_text(file, "".join(f"{line}\n" for line in whole))
    return found


def _check_settings(file: Path, settings: Mapping[str, Any]) -> None:
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        changed = sorted(name for name in settings if before.get(name) != settings[name])
        if changed:
            listed = ", ".join(f"--{name}={before.get(name)}" for name in changed)
            raise ValueError(f"{file.parent} holds results of other settings, {listed}: take another --output.")
        return
    write_text(file, json.dumps(dict(settings), indent=1) + "\n")


class Interval(Protocol):
    """A number and its interval."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


def over_seeds(values: list[float]) -> PairedDifference:
    """Mean over seeds with Student's 95 % interval."""
    return paired_difference(values=values, baseline=[0.0] * len(values))


def written(value: float, interval: Interval, *, digits: int | None = None, sign: bool = False) -> str:
    """`.151 [.148, .154]`; without the brackets where the interval is not defined, `-` where the number is not.

    Args:
      value: The number.
      interval: Its interval.
      digits: Digits after the point; if `None`, 3, or none from 10 on.
      sign: Whether a plus is written.
    """
    has_interval = not (math.isnan(interval.low) or math.isnan(interval.high))
    ends = (interval.low, interval.high) if has_interval else ()
    many = max(abs(each) for each in (value, *ends)) >= 10
    shown = (0 if many else 3) if digits is None else digits

    def short(number: float) -> str:
        return f"{number:{'+' if sign else ''},.{shown}f}"

    if math.isnan(value):
        return "-"
    return f"{short(value)} [{', '.join(map(short, ends))}]" if ends else short(value)


def number(value: float, interval: Interval) -> dict[str, Any]:
    """The same for JSON, which has no NaN."""
    found = {"value": value, "low": interval.low, "high": interval.high}
    return {name: None if math.isnan(each) else each for name, each in found.items()}
