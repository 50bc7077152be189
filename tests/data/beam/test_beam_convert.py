"""`fullrank convert --runner`: the data set of a conversion on Apache Beam is that of the local one, byte for byte.

Each case runs twice: on Beam's direct runner, if Apache Beam is installed, and with the same steps one after the other.
"""

from __future__ import annotations

import csv
import filecmp
import gzip
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from logged_rows import COLUMNS, made_rows, write_csv
from ran_commands import ran

from beam_steps import StepByStep
from fullrank.data import convert, infer
from fullrank.data.beam import convert as beam_convert

# Another test adds these names to COLUMNS, which both share.
NAMES = [*COLUMNS[:8], "click", "watch", "timestamp"]
ROWS = 900
HISTORY = ["--history=user_id:item_id,category", "--history_where=click", "--history_length=3"]
PAST = [
    "--past=seen=count() by user_id, item_id",
    "--past=paid=sum(price) by user_id",
    "--past=last=last(category) by item_id",
    "--past=rate=mean(click) by user_id",
]


@pytest.fixture(params=[pytest.param("direct", marks=pytest.mark.slow), "steps"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What runs the steps, on several groups of keys."""
    monkeypatch.setattr(beam_convert, "GROUP_ROWS", 200)
    if request.param == "direct":
        pytest.importorskip("apache_beam", reason="pip install 'fullrank[beam]'")
    else:
        monkeypatch.setattr(beam_convert, "Pipelines", StepByStep)
    return str(request.param)


@pytest.fixture(scope="module")
def rows() -> list[list[Any]]:
    """A log with many rows of each user at the same time, so that ties matter."""
    made = made_rows()[:ROWS]
    for row in made:
        row[0] %= 20
        row[-1] = 1_700_000_000 + row[-1] % 50
    return made


def files(directory: Path, rows: Sequence[Sequence[Any]], *, kind: str, parts: int = 3) -> str:
    """Writes a log as several files, one of them without rows, and returns their pattern."""
    ends = [len(rows) * part // parts for part in range(parts + 1)]
    cuts = [rows[begin:end] for begin, end in itertools.pairwise(ends)]
    for number, part in enumerate([*cuts[:1], [], *cuts[1:]]):
        if kind == "csv":
            with open(directory / f"log-{number}.csv", "w", newline="") as file:
                csv.writer(file).writerows([NAMES, *part])
        else:
            cells = {name: pa.array([str(row[k]) for row in part], pa.string()) for k, name in enumerate(NAMES)}
            pq.write_table(pa.table(cells), directory / f"log-{number}.parquet")
    return f"--input={directory}/log-*.{kind}"


def same(
    directory: Path, capsys: pytest.CaptureFixture[str], schema: Path, *flags: str, options: str = ""
) -> tuple[str, str]:
    """Converts locally and on Beam, checks that both say and write the same, and returns what they say."""
    said = []
    for name, more in (("local", []), ("beam", ["--runner=direct", f"--beam_options={options}"])):
        given = [f"--schema={schema}", f"--output={directory}/{name}", "--noprogress", *flags, *more]
        code, out, err = ran(capsys, convert.run, *given)
        assert code == 0, err
        said.append(out.replace(f"{directory}/{name}", "OUTPUT"))
    assert said[0] == said[1]
    equal_directories(directory / "local", directory / "beam")
    return said[1], err


def equal_directories(one: Path, other: Path) -> None:
    names = sorted(str(file.relative_to(one)) for file in one.rglob("*") if file.is_file())
    assert names == sorted(str(file.relative_to(other)) for file in other.rglob("*") if file.is_file())
    _, differing, errors = filecmp.cmpfiles(one, other, names, shallow=False)
    assert (differing, errors) == ([], [])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("declared", "flags"),
    [
        ([], ["--split=time", "--layout=example", "--compression=gzip"]),
        ([], ["--split=random", "--seed=3", "--shards=2"]),
        ([*HISTORY, *PAST], ["--split=time", "--split_fractions=0.7,0.3"]),
    ],
    ids=["time", "random", "history"],
)
def test_records_vocabularies_and_schema_are_those_of_the_local_conversion(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[list[Any]],
    engine: str,
    kind: str,
    declared: list[str],
    flags: list[str],
) -> None:
    given, schema = files(tmp_path, rows, kind=kind), tmp_path / "schema.json"
    code, _, err = ran(
        capsys, infer.run, given, "--label=click,watch", "--time=timestamp", *declared, f"--output={schema}"
    )
    assert code == 0, err
    if declared:
        assert '"histories"' in schema.read_text()
    assert "train:" in same(tmp_path, capsys, schema, given, *flags)[0]


def test_inputs_joins_names_of_splits_and_computed_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    draw = np.random.default_rng(0)
    for number in range(3):
        names = ["item", "rating", "fold", *(["place"] if number != 1 else [])]
        table = [
            [int(draw.integers(9)), int(draw.integers(6)), ["train", "late"][int(draw.integers(2))], 7]
            for _ in range(40)
        ]
        with open(tmp_path / f"part-{number}.csv", "w", newline="") as file:
            lines = [row[: len(names)] for row in table]
            csv.writer(file).writerows([names, *lines])
    (tmp_path / "items.csv").write_text("item,genre\n" + "".join(f"{item},g{item % 3}\n" for item in range(7)))
    schema, given = tmp_path / "schema.json", f"--input={tmp_path}/part-*.csv"
    join = [f"--join={tmp_path}/items.csv", "--on=item"]
    code, _, err = ran(
        capsys, infer.run, given, *join, "--label=click=rating>=4", "--ignore=fold,rating", f"--output={schema}"
    )
    assert code == 0, err
    out, _ = same(tmp_path, capsys, schema, given, *join, "--split_column=fold")
    assert "  late: " in out
    assert "of the rows have their 'item' in" in out
    other = tmp_path / "sources"
    other.mkdir()
    later = f"--test_input={tmp_path}/part-2.csv"
    same(other, capsys, schema, f"--input={tmp_path}/part-0.csv,{tmp_path}/part-1.csv", later, *join)


def test_foreign_text_in_folders_and_names_in_the_first_file_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    draw = np.random.default_rng(1)
    for number, day in enumerate(("mon", "mon", "tue")):
        lines = ["item;price;click", "# exported"] if number == 0 else ["# exported"]
        lines += [f"é{draw.integers(9)};{draw.normal():.3f};{draw.integers(2)}" for _ in range(50)]
        folder = tmp_path / f"day={day}"
        folder.mkdir(exist_ok=True)
        with gzip.open(folder / f"part-{number}.csv.gz", "wb") as file:
            file.write("\n".join(lines).encode("cp1252") + b"\n")
    schema = tmp_path / "schema.json"
    given = [
        f"--input={tmp_path}/day=*/*.csv.gz",
        "--separator=;",
        "--encoding=cp1252",
        "--comment=#",
        "--header=first",
    ]
    code, _, err = ran(capsys, infer.run, *given, "--label=click", f"--output={schema}")
    assert code == 0, err
    # Here the steps run in other processes.
    options = "--direct_num_workers=2 --direct_running_mode=multi_processing"
    same(tmp_path, capsys, schema, *given, "--split_fractions=0.5,0.5", options=options)
    assert "é" in (tmp_path / "beam" / "vocabulary" / "item.txt").read_text(encoding="utf-8")
    assert (tmp_path / "beam" / "vocabulary" / "day.txt").read_text().split() == ["mon", "tue"]


def poisoned(directory: Path, rows: list[list[Any]]) -> str:
    """The log with lines that are not rows, cells that cannot be read, and rows without a time, in two files."""
    given = files(directory, rows, kind="csv")
    first = directory / "log-0.csv"
    lines = first.read_bytes().split(b"\r\n")
    lines[2] = lines[2].replace(b",", b"x,", 1)
    lines[40] += b",more"
    first.write_bytes(b"\r\n".join(lines))
    file = directory / "log-2.csv"
    lines = file.read_bytes().split(b"\r\n")
    lines[3] += b",one cell too many"
    lines[5] = lines[5].rsplit(b",", 2)[0]
    lines[7] = b'"7"x"' + lines[7][lines[7].index(b",") :]
    lines[9] = b"\xff" + lines[9]
    cells = lines[11].split(b",")
    lines[11] = b",".join([*cells[:-3], b"perhaps", *cells[-2:]])
    lines[13] = lines[13].rsplit(b",", 1)[0] + b","
    file.write_bytes(b"\r\n".join(lines))
    return given


def test_bad_lines_end_in_the_list_of_rejects_and_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[list[Any]], engine: str
) -> None:
    schema = tmp_path / "schema.json"
    clean = tmp_path / "clean"
    clean.mkdir()
    ran(
        capsys,
        infer.run,
        files(clean, rows, kind="csv"),
        "--label=click,watch",
        "--time=timestamp",
        f"--output={schema}",
    )
    given = poisoned(tmp_path, rows)
    out, _ = same(tmp_path, capsys, schema, given, "--on_bad_record=skip", "--max_bad_fraction=0.02")
    assert "Left out 8 bad rows of 900." in out
    with open(tmp_path / "beam" / "rejects.csv", newline="") as file:
        found = list(csv.reader(file))
    reasons = ["cells instead of", "cells instead of", "a quote that", "is not utf-8", "'perhaps'", "is not a time"]
    assert all(any(reason in row[2] for row in found) for reason in reasons)
    assert [row[1] for row in found if "cells instead of" in row[2]] == ["41", "4", "6"]
    for flags in (["--on_bad_record=skip", "--max_bad_fraction=0.005"], []):
        said = []
        for name, more in (("one", []), ("two", ["--runner=direct"])):
            output = tmp_path / name
            code, _, err = ran(
                capsys, convert.run, given, f"--schema={schema}", f"--output={output}", "--noprogress", *flags, *more
            )
            assert code == 1
            assert not output.exists()
            said.append(err)
        assert said[0] == said[1]
    assert not list(tmp_path.glob("*.writing-*"))


def test_what_beam_cannot_honour_is_refused_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(tmp_path / "log.csv", [])
    given = [f"--input={tmp_path}/log.csv", f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records"]
    for flags, message in (
        (["--runner=flnk"], "--runner=flnk is not a runner of Apache Beam. Did you mean 'flink'?"),
        (["--beam_options=--parallelism=2"], "--beam_options has no effect without --runner."),
        (["--runner=direct", "--group_by=user_id"], "--group_by cannot go with --runner: the rows of a request may be"),
        (["--runner=direct", "--exposures=user_id:item_id"], "--exposures cannot go with --runner: earlier exposures"),
        (["--runner=direct", "--workers=2"], "--workers cannot go with --runner: the number of workers is an option"),
        (["--runner=spark", "--beam_options=--runner=Flink"], "--beam_options names a runner, '--runner=Flink'"),
        (["--runner=DirectRunner", "--beam_options='x"], "--beam_options='x cannot be divided into options"),
    ):
        code, _, err = ran(capsys, convert.run, *given, *flags)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1


def broken(*arguments: Any) -> None:
    """A step that fails."""
    raise OSError(f"no space left for {len(arguments)} arguments")


def test_a_step_that_fails_leaves_nothing_and_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rows: list[list[Any]]
) -> None:
    pytest.importorskip("apache_beam", reason="pip install 'fullrank[beam]'")
    schema, given = tmp_path / "schema.json", files(tmp_path, rows, kind="csv")
    ran(capsys, infer.run, given, "--label=click,watch", f"--output={schema}")
    monkeypatch.setattr("fullrank.data.beam.pipelines.count_file", broken)
    code, _, err = ran(
        capsys, convert.run, given, f"--schema={schema}", f"--output={tmp_path}/records", "--runner=direct"
    )
    assert code == 1
    assert "error: RuntimeError: --runner=direct failed while counting: " in err
    assert "no space left for 3 arguments" in err.splitlines()[-1]
    assert not (tmp_path / "records").exists()
    assert not list(tmp_path.glob("*.writing-*"))


def test_the_missing_extra_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rows: list[list[Any]]
) -> None:
    schema, given = tmp_path / "schema.json", files(tmp_path, rows, kind="csv")
    ran(capsys, infer.run, given, "--label=click,watch", f"--output={schema}")
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    code, _, err = ran(
        capsys, convert.run, given, f"--schema={schema}", f"--output={tmp_path}/records", "--runner=direct"
    )
    assert (code, err) == (1, "error: --runner=direct needs apache-beam: pip install 'fullrank[beam]'.\n")
    assert not (tmp_path / "records").exists()


def test_declarations_and_files_that_no_worker_can_read_alone_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rows: list[list[Any]]
) -> None:
    given, smoothed = files(tmp_path, rows, kind="csv"), "--past=rate=mean(click, 5) by item_id"
    for name, more in (("plain", []), ("past", ["--time=timestamp", smoothed])):
        ran(capsys, infer.run, given, "--label=click,watch", *more, f"--output={tmp_path}/{name}.json")
    (tmp_path / "more.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    for flags, message in (
        (["--schema=past.json", given], "--runner cannot fill 'rate': it is smoothed towards the rate of all earlier"),
        (["--schema=plain.json", "--input=more.jsonl"], "--runner reads CSV, TSV, Parquet and Arrow, not more.jsonl: "),
        (["--schema=plain.json", "--input=log-*.csv"], "--runner=flink may read log-0.csv on other machines, whose"),
    ):
        code, _, err = ran(capsys, convert.run, *flags, "--output=records", "--runner=flink")
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_an_option_that_beam_does_not_know_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[list[Any]]
) -> None:
    pytest.importorskip("apache_beam", reason="pip install 'fullrank[beam]'")
    schema, given = tmp_path / "schema.json", files(tmp_path, rows, kind="csv")
    ran(capsys, infer.run, given, "--label=click,watch", f"--output={schema}")
    for option, message in (
        ("--direct_num_wokers=2", "--beam_options=--direct_num_wokers is not an option of Apache Beam."),
        ("--direct_num_workers=many", "invalid int value: 'many'"),
    ):
        flags = ["--runner=direct", f"--beam_options={option}"]
        code, _, err = ran(capsys, convert.run, given, f"--schema={schema}", f"--output={tmp_path}/records", *flags)
        assert code == 2
        assert message in err
