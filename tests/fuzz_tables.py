"""Drawn CSV files through infer and convert: one line for an error, no row lost, and what infer proposes is converted.

    python tests/fuzz_tables.py --files=10000

Files that show a fault are left in --output. The same seed draws the same files.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import csv
import gzip
import io
import json
import re
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from drawn_tables import LABEL, SERIAL, Drawn, draw_table
from fullrank.data import convert, infer
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.vocabulary import read_vocabularies

_SERIALS: Final = re.compile(rb"(?<![0-9a-z])s[0-9]{6}(?![0-9])")
_ENCODING: Final = "--encoding="
_NO_ROWS: Final = re.compile(r"Lines of the sample that are not rows: ([\d,]+)\.")
_NOTE: Final = ": quotes in this file are ordinary characters (--quote=none says so)."
_COMMAND: Final = re.compile(r"^  fullrank convert (.*)$", re.MULTILINE | re.DOTALL)


class Ended(NamedTuple):
    """How a command ended: exit code and what it printed."""

    code: int
    output: str
    errors: str


def ran(command: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> Ended:
    """Runs a command in this process."""
    output, errors = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            command(["command", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, output.getvalue(), errors.getvalue())


def fault_of(drawn: Drawn, directory: Path) -> tuple[str, str]:
    """How reading a table ended, `refused` or `converted`, and what is wrong with that, which should be empty."""
    for name, content in drawn.files.items():
        (directory / name).write_bytes(content)
    schema, records = directory / "schema.json", directory / "records"
    found = ran(
        infer.run,
        [f"--input={directory}/*.?sv*", f"--label={LABEL}", f"--sparse={SERIAL}", f"--output={schema}", *drawn.flags],
    )
    if found.code:
        return "refused", _bad_error(found)
    told = _COMMAND.search(found.output)
    if told is None:
        return "proposed", f"infer names no command:\n{found.output}"
    told_flags = [flag for flag in shlex.split(told[1]) if not flag.startswith("--output")]
    flags = [f"--output={records}", "--split_fractions=1", "--workers=1", "--noprogress"]
    lines = _NO_ROWS.search(found.output)
    rejected = int(lines[1].replace(",", "")) if lines else 0
    if rejected:
        refused = ran(convert.run, [*told_flags, *flags])
        if refused.code and (problem := _bad_error(refused)):
            return "proposed", problem
        flags += ["--overwrite", "--on_bad_record=skip", "--max_bad_fraction=1"]
    written = ran(convert.run, [*told_flags, *flags])
    if written.code:
        return "proposed", f"convert refuses what infer proposes: {written.errors}{found.output}"
    return "converted", _lost(drawn, records, rejected)


def _bad_error(ended: Ended) -> str:
    """What is wrong with the message of an error."""
    lines = [line for line in ended.errors.splitlines() if not line.endswith(_NOTE)]
    if len(lines) != 1 or not lines[0].startswith("error: "):
        return f"not one line: {ended.errors}"
    return f"not meant for a person: {ended.errors}" if "run again with --debug" in ended.errors else ""


def _lost(drawn: Drawn, records: Path, rejected: int) -> str:
    """Rows that are neither among the records nor among the rejects."""
    schema = read_schema(records)
    examples = sum(split.examples for split in schema.splits)
    rejects = records / "rejects.csv"
    left_out = 0
    if rejects.exists():
        with open(rejects, encoding="utf-8", newline="") as file:
            left_out = len(list(csv.reader(file))) - 1
    # A cell that is not in the encoding does no harm in a column that is left out.
    if left_out > rejected:
        return f"{left_out} rejects, but infer told of {rejected}"
    if drawn.rows is not None and (examples, left_out) != (drawn.rows, 0):
        return f"{drawn.rows} rows, but {examples} examples and {left_out} rejects"
    if "--encoding=utf-16" in drawn.flags:
        return ""  # a byte too many leaves nothing of the text below it
    kept = b"\n".join(value for ids in read_vocabularies(schema).values() for value in ids if isinstance(value, bytes))
    encoding = next((flag.removeprefix(_ENCODING) for flag in drawn.flags if flag.startswith(_ENCODING)), None)
    given = b"".join(_unpacked(name, content) for name, content in drawn.files.items())
    if encoding is not None:
        # A changed byte may be the first half of a character whose second half was a letter of the serial.
        given = given.decode(encoding, "replace").encode()
    lost = set(_SERIALS.findall(given)) - set(_SERIALS.findall(kept))
    # Every reject is a row, though what DuckDB shows of it may be the text of another.
    return f"{len(lost)} rows and {left_out} rejects, such as {sorted(lost)[0]!r}" if len(lost) > left_out else ""


def _unpacked(name: str, content: bytes) -> bytes:
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(Path(name).suffix)
    return content if unpack is None else unpack(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("build/fuzz/tables"))
    options = parser.parse_args()
    warnings.simplefilter("error")
    counts: Counter[str] = Counter()
    start = time.process_time()
    for number in range(options.first, options.first + options.files):
        drawn = draw_table(options.seed, number)
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            ended, fault = fault_of(drawn, directory)
            counts[ended] += 1
            if fault:
                counts["faults"] += 1
                kept = options.output / f"{options.seed}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(directory, kept)
                (kept / "flags.json").write_text(json.dumps(drawn.flags), encoding="utf-8")
                (kept / "fault.txt").write_text(fault, encoding="utf-8", errors="backslashreplace")
                print(f"{kept}: {fault.splitlines()[0][:300]}", flush=True)
    shown = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
    print(f"{options.files:,} tables: {shown}; {time.process_time() - start:.0f} s of processor time")
    sys.exit(1 if counts["faults"] else 0)


if __name__ == "__main__":
    main()
