"""From who was shown what to two columns of the records: `convert --exposures` and `prepare --exposures`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import convert, prepare
from fullrank.data.exposures.history import exposure_history, similar_exposures
from fullrank.data.exposures.rows import add_exposures, exposure_extras
from fullrank.data.exposures.spec import COUNT, GAP, exposed_schema, parse_exposures
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.database import open_database
from fullrank.data.tables.staged_rows import StagedRows

DAY = 86_400
NAN = float("nan")


def test_similar_by_hand() -> None:
    # One person, tau = 1 / ln 2 days, so that a day halves; radius 1. Day 0 ad a 000, day 1 ad b 001, day 2 ad c 011.
    # b is within 1 bit of a: 1 exposure, worth 1/2. c is within 1 bit of b, 2 of a: 1/2, and not 1/2 + 1/4. Day 3 ad a
    # again: itself 3 days ago, 1/8, and b 2 days ago, 1/4; the last is b. Another person's b counts for nobody.
    history = similar_exposures(
        users=["u", "u", "u", "u", "v"],
        ads=["a", "b", "c", "a", "b"],
        bits=[[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 0, 1]],
        times=np.array([0, 1, 2, 3, 2]) * DAY,
        radius=1,
        tau_days=1 / np.log(2),
    )
    np.testing.assert_array_equal(history.earlier_count, [0, 1, 1, 2, 0])
    np.testing.assert_allclose(history.decayed_count, [0, 1 / 2, 1 / 2, 3 / 8, 0])
    np.testing.assert_allclose(history.gap_days, [NAN, 1, 1, 2, NAN])


@pytest.mark.parametrize("radius", [0, 2, 9])
def test_similar_equals_the_double_loop(radius: int) -> None:
    draw = np.random.default_rng(radius)
    users, ads, times = draw.integers(0, 5, 200), draw.integers(0, 9, 200), draw.integers(0, 50, 200) * 10_000
    codes = draw.integers(0, 2, (9, 12))
    codes[3] = -1  # an ad without a HashID
    bits = codes[ads]
    history = similar_exposures(users=users, ads=ads, bits=bits, times=times, radius=radius, tau_days=2.0)
    for i in range(200):

        def alike(i: int, j: int) -> bool:
            near = (bits[i] != bits[j]).sum() <= radius and bits[i, 0] >= 0 and bits[j, 0] >= 0
            return bool(users[i] == users[j] and (ads[i] == ads[j] or near))

        days = [(times[i] - times[j]) / DAY for j in range(200) if alike(i, j) and (times[j], j) < (times[i], i)]
        assert history.earlier_count[i] == len(days)
        np.testing.assert_allclose(history.decayed_count[i], np.exp(-np.array(days) / 2.0).sum(), rtol=1e-12)
        np.testing.assert_allclose(history.gap_days[i], min(days) if days else NAN)


def test_similar_with_unlike_bits_is_the_history_of_the_ad() -> None:
    draw = np.random.default_rng(0)
    users, ads, times = draw.integers(0, 20, 500), draw.integers(0, 4, 500), draw.integers(0, 10**6, 500)
    bits = np.eye(4, dtype=int)[ads]
    similar = similar_exposures(users=users, ads=ads, bits=bits, times=times, radius=1)
    exact = exposure_history(users=users, ads=ads, times=times)
    for one, other in zip(similar, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_similar_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="received 1, 1, 2 and"):
        similar_exposures(users=[1], ads=[1], bits=[[0]], times=[1, 2], radius=0)
    with pytest.raises(ValueError, match="radius >= 0"):
        similar_exposures(users=[1], ads=[1], bits=[[0]], times=[1], radius=-1)


def test_the_result_does_not_depend_on_the_number_of_parts(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    batches = [
        pa.RecordBatch.from_pydict(
            {
                "user": draw.integers(0, 30, 200),
                "ad": draw.integers(0, 5, 200).astype(str),
                "at": draw.integers(0, 10**6, 200),
            }
        )
        for _ in range(5)
    ]
    rows = pa.Table.from_batches(batches).to_pydict()
    expected = exposure_history(users=rows["user"], ads=rows["ad"], times=rows["at"]).decayed_count
    spec = parse_exposures("user:ad")
    schema = exposed_schema(_schema(), spec)
    for part_rows in (10_000, 1000, 130):
        directory = tmp_path / str(part_rows)
        directory.mkdir()
        with open_database(directory, threads=2) as connection:
            optional = {"click", "bits", COUNT, GAP}
            extras = exposure_extras(spec)
            staged = StagedRows(connection, schema=schema, bad_rows=BadRows(), optional=optional, extras=extras)
            staged.add_batches("train", batches)
            add_exposures(staged, spec, part_rows=part_rows)
            columns = [column for column in schema.columns if column.name == COUNT]
            (found,) = staged.batches("TRUE", iter([1000]), columns=columns)
        np.testing.assert_allclose(found.column(0).to_numpy(zero_copy_only=False), expected, rtol=1e-6)


def _schema(**changes: Any) -> data.Schema:
    return dataclasses.replace(
        data.Schema(
            name="log",
            features=(data.Sparse(name="ad", dtype="bytes", side="ad"), data.Bits(name="bits", length=4)),
            labels=(data.Label(name="click"),),
            time="at",
        ),
        **changes,
    )


def _ran(capsys: pytest.CaptureFixture[str], command: Callable[[list[str]], None], *words: str) -> tuple[int, str, str]:
    code = 0
    try:
        command(["program", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _read(directory: Path, split: str) -> dict[str, np.ndarray[Any, Any]]:
    batches = list(data.read_records(directory, split=split, batch_size=64))
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """100 exposures in two files of two kinds, in no order of time; a malformed line and a row without a person."""
    draw = np.random.default_rng(3)
    ads = draw.integers(0, 4, 100)
    rows = {
        "user": draw.integers(0, 5, 100),
        "ad": np.array(["a", "b", "c", "d"])[ads],
        "bits": np.array(["0000", "0001", "1110", "1111"])[ads],
        "at": draw.integers(1, 20, 100) * DAY,
        "click": draw.integers(0, 2, 100),
    }
    lines = [",".join(str(column[row]) for column in rows.values()) for row in range(60)]
    (tmp_path / "1.csv").write_text("\n".join(["user,ad,bits,at,click", *lines[:9], "bad", *lines[9:], ",a,0000,1,0"]))
    pq.write_table(pa.table({name: column[60:] for name, column in rows.items()}), tmp_path / "2.parquet")
    return tmp_path


def _all_rows(log: Path) -> dict[str, list[Any]]:
    first = [line.split(",") for line in (log / "1.csv").read_text().splitlines()[1:] if line != "bad"]
    rows = {name: [line[place] for line in first] for place, name in enumerate(["user", "ad", "bits", "at", "click"])}
    second = pq.read_table(log / "2.parquet").to_pydict()
    return {name: [*map(str, rows[name]), *map(str, second[name])] for name in rows}


@pytest.mark.parametrize("similar", [False, True])
@pytest.mark.parametrize("layout", ["block", "example"])
def test_convert_counts_over_all_files_and_splits(
    capsys: pytest.CaptureFixture[str], log: Path, similar: bool, layout: str
) -> None:
    data.write_schema(_schema(keys=(data.Key(name="user"),)), log)
    code, out, err = _ran(
        capsys,
        convert.run,
        f"--input={log}/1.csv",
        f"--validation_input={log}/2.parquet",
        f"--schema={log}/schema.json",
        f"--output={log}/records",
        f"--layout={layout}",
        "--exposures=user:ad:bits" if similar else "--exposures=user:ad",
        *(["--exposures_radius=1"] if similar else []),
        "--exposures_tau_days=3",
        "--on_bad_record=skip",
        "--max_bad_fraction=.5",
        "--noprogress",
    )
    assert (code, err) == (0, "")
    assert "rows show 'user' an 'ad'" in out
    assert data.read_schema(log / "records").extras == (COUNT, GAP)
    rows = _all_rows(log)
    person = np.array(rows["user"]) != ""
    kept = {name: np.array(column)[person] for name, column in rows.items()}
    given = {"users": kept["user"], "ads": kept["ad"], "times": kept["at"].astype(int), "tau_days": 3.0}
    bits = np.array([[int(bit) for bit in text] for text in kept["bits"]])
    history = similar_exposures(**given, bits=bits, radius=1) if similar else exposure_history(**given)
    expected = sorted(zip(kept["at"].astype(int).tolist(), *np.nan_to_num(history[1:], nan=-1.0).tolist(), strict=True))
    read = [_read(log / "records", split) for split in ("train", "validation")]
    at, user, count, gap = (np.concatenate([split[name] for split in read]) for name in ("at", "user", COUNT, GAP))
    there = user >= 0
    assert np.isnan(count[~there]).all()
    assert (~there).sum() == 1
    found = sorted(
        zip(at[there].tolist(), count[there].tolist(), np.nan_to_num(gap[there], nan=-1.0).tolist(), strict=True)
    )
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-6)
    assert (history.earlier_count > 0).any()


def test_users_are_told_apart_as_the_schema_reads_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # 007 and 7 are one user, who sees ad a three times; the second of them is a bad row, which nobody was shown. All
    # others have no user.
    lines = [
        "007,a,1,1",
        "7,a,2,bad",
        "7,a,3,0",
        *(f"{user},a,{day},0" for user in ("NA", "-1", "x") for day in (4, 5)),
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user,ad,at,click", *lines]))
    schema = _schema(keys=(data.Key(name="user", dtype="int64"),))
    features = tuple(feature for feature in schema.features if feature.name == "ad")
    data.write_schema(dataclasses.replace(schema, features=features), tmp_path)
    words = [f"--input={tmp_path}/log.csv", f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records"]
    words += ["--exposures=user:ad", "--missing=x", "--on_bad_record=skip", "--max_bad_fraction=.2"]
    code, _, err = _ran(capsys, convert.run, *words, "--split=random", "--split_fractions=1", "--noprogress")
    assert (code, err) == (0, "")
    found = _read(tmp_path / "records", "train")
    assert found["user"].tolist() == [7, 7, *[-1] * 6]
    np.testing.assert_allclose(found[GAP], [NAN, 2 / DAY, *[NAN] * 6], rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(found[COUNT]), [False, False, *[True] * 6])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--exposures=user"], 2, "--exposures takes the columns of user and ad, and of the ad's HashID"),
        (["--exposures=user:ad:bits:more"], 2, "--exposures takes the columns of user and ad, and of the ad's HashID"),
        (
            ["--exposures=usr:ad"],
            1,
            "{log}/2.parquet has no column 'usr', which --exposures needs; did you mean 'user'?",
        ),
        (
            ["--exposures=user:ad:ad_bits"],
            1,
            "--exposures: 'ad_bits' is not a feature of kind bits in the schema. It has: bits.",
        ),
        (["--exposures=user:ad", "--exposures_radius=2"], 2, "--exposures_radius is for HashIDs: name their column in"),
        (["--exposures=user:ad", "--exposures_tau_days=0"], 2, "--exposures_tau_days has to be above 0. Received: 0."),
        (["--exposures_tau_days=1"], 2, "--exposures_tau_days has no effect without --exposures."),
        (["--exposures=user:ad", "--schema={log}/timeless.json"], 1, "--exposures needs to know what came first: set"),
    ],
)
def test_what_cannot_be_counted_is_one_line(
    capsys: pytest.CaptureFixture[str], log: Path, words: list[str], code: int, message: str
) -> None:
    data.write_schema(_schema(), log)
    data.write_schema(_schema(time=None), log / "timeless.json")
    given = [word.format(log=log) for word in words]
    schema = [] if any("schema" in word for word in given) else [f"--schema={log}/schema.json"]
    found, _, err = _ran(
        capsys, convert.run, f"--input={log}/2.parquet", f"--output={log}/records", "--noprogress", *given, *schema
    )
    assert found == code
    assert err.startswith(f"error: {message.format(log=log)}")
    assert err.count("\n") == 1


def test_a_table_with_such_a_column_is_refused(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    data.write_schema(_schema(), log)
    table = pq.read_table(log / "2.parquet")
    pq.write_table(table.append_column(COUNT, pa.array(np.zeros(len(table)))), log / "3.parquet")
    words = [f"--input={log}/3.parquet", f"--schema={log}/schema.json", f"--output={log}/records", "--noprogress"]
    code, _, err = _ran(capsys, convert.run, *words, "--exposures=user:ad")
    assert code == 1
    assert f"3.parquet has column '{COUNT}', which --exposures would add" in err


def test_prepare_agrees_with_what_the_synthetic_world_knows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--dataset=synthetic", "--rows=5000", "--users=100", "--ads=60", "--noprogress"]
    code, out, _ = _ran(capsys, prepare.run, *words, f"--output={tmp_path}/records", "--exposures=user_id:ad_id")
    assert code == 0
    assert "rows show 'user_id' an 'ad_id' again" in out
    for split in ("train", "validation", "test"):
        columns = _read(tmp_path / "records", split)
        # The world gives exposures of one second no past of one another, so a few rows may differ.
        same = (columns[COUNT] > 0) == (columns["exposure_count"] > 0)
        assert same.mean() > 0.999
        both = ~np.isnan(columns[GAP]) & ~np.isnan(columns["exposure_gap"])
        assert both.sum() > 100
        near = np.isclose(columns[GAP] * DAY, columns["exposure_gap"], rtol=1e-3, atol=1)
        assert near[both].mean() > 0.999


def test_prepare_names_a_column_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--dataset=synthetic", "--rows=1000", "--noprogress", f"--output={tmp_path}/records"]
    code, _, err = _ran(capsys, prepare.run, *words, "--exposures=user:ad_id")
    assert code == 1
    assert err.startswith(
        "error: --dataset=synthetic has no column 'user', which --exposures needs; did you mean 'user_id'?"
    )
