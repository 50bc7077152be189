"""Compares runs on the same examples: metrics, and paired gains over the first one, per task and segment.

    fullrank compare runs/single runs/me --output=compared
    fullrank compare base:runs/single new:runs/me --split=validation --output=compared

The first run is the baseline. Each is scored with its best weights on the split of --data; a Parquet file that
`fullrank predict` wrote is used as it is. Intervals are those of a paired bootstrap over the values of --key: they
cover other users with the same models, not another training. The output holds compare.json, compare.csv and figures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from absl import flags

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.errors import UsageError
from fullrank.data.files.scratch import temporary_directory
from fullrank.data.files.write_aside import check_replaceable, write_text, written_aside

RESULT: Final = "compare.json"
_COLUMNS: Final = ("task", "segment", "run", "examples", "keys", "auc", "ne", "bias", "gain", "low", "high", "verdict")
_SHOWN: Final = 3
"""Values of a segment that the terminal shows."""


def compare(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If runs cannot be compared.
    """
    output = Path(flag_values.output)
    check_replaceable(output, overwrite=flag_values.overwrite, made_of=RESULT)
    # Loaded only for a valid command line, so that --help and errors are fast.
    from fullrank.analysis.comparisons.runs import compare_runs
    from fullrank.analysis.figures.gains import run_gains
    from fullrank.analysis.figures.segments import segment_gains

    runs = named_runs(flag_values.runs)
    if len(runs) < 2:
        raise UsageError(f"A comparison needs two runs or more. Received: {', '.join(runs.values()) or 'none'}.")
    with temporary_directory("compared") as scratch:
        found = compare_runs(
            runs,
            data=flag_values.data,
            split=flag_values.split,
            key=flag_values.key,
            segments=tuple(flag_values.segments),
            draws=flag_values.draws,
            directory=scratch,
        )
    content = found.to_json()
    with written_aside(output, overwrite=flag_values.overwrite, made_of=RESULT) as aside:
        overall = {task: {name: gain[""].overall for name, gain in each.items()} for task, each in found.gains.items()}
        run_gains(gains=overall, baseline=found.baseline, path=aside / "gains.png")
        for task, of_runs in found.gains.items():
            for run, gains in of_runs.items():
                for column, gain in gains.items():
                    if column and any(math.isfinite(entry.gain) for entry in gain.segments):
                        segment_gains(
                            overall=gain.overall,
                            segments=gain.segments,
                            segment=column,
                            task=f"{task}, {run}",
                            path=aside / f"{task}_{run}_{column}.png",
                        )
        write_text(aside / "compare.csv", found.to_csv())
        write_text(aside / RESULT, json.dumps(content, indent=1, allow_nan=False) + "\n")
    print(summary(content))
    print(f"Wrote {output}.")


def summary(content: dict[str, Any]) -> str:
    """The numbers of `compare.json` as text."""
    by = f", intervals by {content['key']}" if content["key"] else ""
    lines = [f"{content['title']}, gain over {content['baseline']} in percent of NE{by}:"]
    seen: dict[tuple[str, str, str], int] = {}
    rows = []
    for row in content["rows"]:
        place = (row["task"], row["run"], row["segment"])
        seen[place] = seen.get(place, 0) + 1
        if seen[place] <= _SHOWN:
            segment = f"{row['segment']}={row['value']}" if row["segment"] else "all"
            rows.append({**row, "segment": segment, "verdict": row["verdict"] or ""})
    lines.append(format_table(rows=rows, columns=_COLUMNS))
    for task, runs in content["worst"].items():
        lines += [
            f"worst segment of {task} with {run}: {entry['segment']}={entry['value']}, gain {entry['gain']:+.3f} %: "
            f"{entry['verdict_of_all']} among all segments at once."
            for run, entry in runs.items()
        ]
    lines += [f"Not compared: {task}: {why}." for task, why in content["left_out"].items()]
    return "\n".join(lines)


def named_runs(given: Sequence[str]) -> dict[str, str]:
    """Runs by name: the part before a colon, or else the last part of the path, or the whole path if that is ambiguous.

    Raises:
      UsageError: If two have the same name.
    """
    pairs = [text.split(":", 1) if ":" in text else [Path(text).name, text] for text in given]
    if len({name for name, _ in pairs}) < len(pairs):
        pairs = [[text if ":" not in text else text.split(":", 1)[0], text.split(":", 1)[-1]] for text in given]
    if len({name for name, _ in pairs}) < len(pairs):
        raise UsageError(
            f"Two runs have the same name. Name them, as base:runs/a new:runs/b. Received: {' '.join(given)}."
        )
    return dict(pairs)


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; arguments that belong to no flag are runs."""
    flag_values = new_flags()
    _define_flags(flag_values)
    run_command(lambda: compare(flag_values), flag_values=flag_values, argv=argv, positional="runs")


def _define_flags(flag_values: flags.FlagValues) -> None:
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_list("runs", [], "Runs, the baseline first; they may also be given without a flag.", **at)
    flags.DEFINE_string("output", None, "Directory to write.", required=True, **at)
    flags.DEFINE_string("data", None, "Directory of the records; that of the first run if not given.", **at)
    flags.DEFINE_string("split", "test", "Split to compare on.", **at)
    flags.DEFINE_string("key", None, "Column whose values are independent; the schema's first key if not given.", **at)
    flags.DEFINE_list("segments", [], "Columns to compare by; the schema's if not given.", **at)
    flags.DEFINE_integer("draws", 1000, "Draws of the bootstrap.", 1, **at)
    flags.DEFINE_bool("overwrite", False, "Replace a comparison that is already in --output.", **at)


if __name__ == "__main__":
    run()
