"""From a CSV log to records: `fullrank convert` and DuckDB's own reading of the same file into typed columns.

The log has 40 columns: a click, a time, 20 columns of whole-number ids (of 2 to 500,000 different ones), 8 of text ids,
10 of numbers. Ours reads, checks, splits by time, counts vocabularies and statistics, and writes block records; the
reference only reads, into a table on disk. Each side has a process of its own for every round.
With histories, every row also gets the last 50 clicked rows of its user (a column of 10,000 ids): of each row an id, a
text id and the time.

The goals are 150,000 rows per second on two cores, 60,000 with histories, and 3 GB for ten million rows
(`--rows=10000000`). Where other programs take the cores, the rate by processor time tells more: rows in two seconds of
it, which two idle cores give. Memory is the most that the process held, whose threads do all of the work.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

import report
from fullrank import data
from fullrank.data import convert
from fullrank.data.tables.database import MEMORY, open_database

IDS, TEXTS, NUMBERS = 20, 8, 10
CARDINALITIES = (2, 7, 24, 100, 1_000, 10_000, 100_000, 500_000)
WORKERS = 2
GOAL_RATES, GOAL_MEMORY = {"ours": 150_000.0, "histories": 60_000.0}, 3e9


def schema() -> data.Schema:
    features: list[data.Feature] = [data.Sparse(name=f"id_{k:02d}") for k in range(IDS)]
    features += [data.Sparse(name=f"text_{k:02d}", dtype="bytes") for k in range(TEXTS)]
    features += [data.Numeric(name=f"number_{k:02d}") for k in range(NUMBERS)]
    return data.Schema(name="log", features=tuple(features), labels=(data.Label(name="click"),), time="time")


def with_histories() -> data.Schema:
    """The user is a column of 10,000 ids; what is remembered of a row is an id, a text id and the time."""
    lists = (data.Along(name="past_id", of="id_06"), data.Along(name="past_text", of="text_03"))
    past = data.Sequence(
        name="past",
        behaviour=(
            data.BehaviourColumn(name="past_id", table="id_06", target="id_06"),
            data.BehaviourColumn(name="past_text", table="text_03", target="text_03"),
        ),
        times="past_time",
    )
    history = data.History(key="id_05", lists=lists, times="past_time", where="click")
    plain = schema()
    features = (*plain.features, past)
    return dataclasses.replace(plain, features=features, reading=data.Reading(histories=(history,)))


def write_log(file: Path, rows: int) -> None:
    """Rows that depend on their number alone; about one cell in fifty is missing."""
    cells = ["CAST(hash(i, 'click') % 10 = 0 AS INTEGER) AS click", "1700000000 + i // 20 AS time"]
    for k in range(IDS):
        wide = CARDINALITIES[k % len(CARDINALITIES)]
        cells.append(f"CASE WHEN hash(i, 'gap', {k}) % 50 > 0 THEN hash(i, {k}) % {wide} END AS id_{k:02d}")
    for k in range(TEXTS):
        wide = CARDINALITIES[k % len(CARDINALITIES)]
        cells.append(f"'word ' || (hash(i, 'text', {k}) % {wide}) AS text_{k:02d}")
    cells += [
        f"CASE WHEN hash(i, 'none', {k}) % 50 > 0 THEN round((hash(i, 'number', {k}) % 1000000) / 997, 3) END "
        f"AS number_{k:02d}"
        for k in range(NUMBERS)
    ]
    with duckdb.connect() as connection:
        log = connection.sql(f"SELECT {', '.join(cells)} FROM range({rows}) r(i)")  # noqa: S608 - of numbers only
        log.write_csv(str(file))


def ours(directory: Path, schema: str = "schema.json") -> None:
    arguments = [f"--input={directory}/log.csv", f"--schema={directory}/{schema}", f"--output={directory}/records"]
    with contextlib.redirect_stdout(io.StringIO()):
        convert.run(["convert", *arguments, f"--workers={WORKERS}", "--noprogress", "--overwrite"])


def histories(directory: Path) -> None:
    ours(directory, "histories.json")


def reference(directory: Path) -> None:
    kinds = {"int64": "BIGINT", "float32": "FLOAT", "bytes": "VARCHAR"}
    types = {"click": "FLOAT", "time": "BIGINT"}
    types |= {column.name: kinds[column.dtype] for column in schema().columns if column.name not in types}
    given = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    file = directory / "log.csv"
    with (
        tempfile.TemporaryDirectory(dir=directory) as scratch,
        open_database(Path(scratch), threads=WORKERS, readable=[file]) as connection,
    ):
        connection.execute(
            f"CREATE TABLE log AS FROM read_csv('{file}', auto_detect = false, header = true, columns = {{{given}}})"
        )


SIDES = {"ours": ours, "histories": histories, "reference": reference}


def measured(side: Callable[[Path], None], directory: Path) -> dict[str, float]:
    """Seconds by the clock and by processor time, and bytes of memory, of this process."""
    start, before = time.perf_counter(), time.process_time()
    side(directory)
    wall, processor = time.perf_counter() - start, time.process_time() - before
    return {"wall": wall, "processor": processor, "memory": report.peak_memory()}


def in_child(side: str, directory: Path) -> dict[str, float]:
    child = subprocess.run(
        [sys.executable, __file__, "--child", side, str(directory)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(child.stdout.strip().splitlines()[-1])
    return found


def rows_of(found: dict[str, list[dict[str, float]]], rows: int) -> list[report.Row]:
    def sample(side: str, figure: str) -> report.Sample:
        return report.Sample(tuple(round_[figure] for round_ in found[side]))

    size = f"{rows:,} rows x {len(schema().columns)} columns"
    names = {"ours": size, "histories": f"{size} and histories"}
    written = []
    for side, name in names.items():
        goal = report.Sample((GOAL_RATES[side],))
        rate, by_time = sample(side, "wall").rate(rows), sample(side, "processor").rate(rows).scaled(WORKERS)
        spent, reads = (sample(each, "processor").scaled(1e6 / rows) for each in (side, "reference"))
        most, memory = report.Sample((GOAL_MEMORY / 1e9,)), sample(side, "memory").scaled(1e-9)
        written += [
            report.compare(name=f"rate, {name} / goal", ours=rate, reference=goal, goal=">= 1", unit="rows/s"),
            report.compare(
                name=f"rate by processor time, {name} / goal", ours=by_time, reference=goal, goal=">= 1", unit="rows/s"
            ),
            report.compare(name=f"processor time, {name} / DuckDB reads", ours=spent, reference=reads, unit="us/row"),
            report.compare(name=f"memory, {name} / goal", ours=memory, reference=most, goal="<= 1", unit="GB"),
        ]
    return written


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        run = SIDES[sys.argv[2]]
        print(json.dumps(measured(run, Path(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--rows", type=int)
    own, sys.argv[1:] = parser.parse_known_args()
    options = report.arguments(f"{__doc__.splitlines()[0]} --rows=N is the length of the log.")
    rows = own.rows or (4_000 if options.quick else 1_000_000)
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_log(directory / "log.csv", rows)
        data.write_schema(schema(), directory / "schema.json")
        data.write_schema(with_histories(), directory / "histories.json")
        for _ in range(1 if options.quick or rows > 2_000_000 else 3):
            for side in found:
                found[side].append(in_child(side, directory))
    print(f"DuckDB {duckdb.__version__} holds at most {MEMORY}")
    report.emit(rows_of(found, rows), options.json)


if __name__ == "__main__":
    main()
