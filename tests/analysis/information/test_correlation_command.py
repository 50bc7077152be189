"""The command, from records to figures, and what it says of input that makes no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mutual_info_score

from fullrank.analysis.correlation import run
from fullrank.analysis.inputs.run_scores import ScoreReader
from fullrank.data import (
    BehaviourColumn,
    IdMap,
    Label,
    Numeric,
    NumericStatistics,
    Ragged,
    Schema,
    Sequence,
    Sparse,
    Vector,
    write_records,
)

ROWS = 6000


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Clicks that depend on the device, and on whether the latest behaviours are of the ad's category."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(0, 9, ROWS).astype(np.int32)
    past = draw.integers(0, 4, lengths.sum())
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    category, device = draw.integers(0, 4, ROWS), draw.integers(0, 3, ROWS)
    owner = np.repeat(np.arange(ROWS), lengths)
    position = (starts + lengths)[owner] - np.arange(lengths.sum())
    interest = np.bincount(owner, (past == category[owner]) * np.exp(-position / 2.0), minlength=ROWS)
    click = (draw.random(ROWS) < 1 / (1 + np.exp(1.5 - 0.6 * device - 3.0 * interest))).astype(np.float32)
    click[:50] = np.nan
    numbers = NumericStatistics(
        mean=0.5, std=0.3, minimum=0, maximum=1, missing=0, quantiles=tuple(np.linspace(0, 1, 65).tolist())
    )
    schema = Schema(
        name="planted",
        features=(
            Sparse(name="category", side="ad", ids=IdMap(kind="identity", size=4)),
            Sparse(name="device", dtype="bytes", ids=IdMap(size=3)),
            Sparse(name="tags", max_values=2, ids=IdMap(kind="hash", size=9)),
            Numeric(name="age", statistics=numbers),
            Numeric(name="unknown"),
            Vector(name="picture", length=2),
            Sequence(
                name="history",
                behaviour=(BehaviourColumn(name="past", table="category", target="category"),),
                times="then",
                max_length=8,
            ),
        ),
        labels=(Label(name="click"), Label(name="spend", type="value")),
        time="now",
    )
    columns: dict[str, Any] = {
        "category": category,
        "device": np.array([b"a", b"b", b"c"], object)[device],
        "tags": Ragged(draw.integers(0, 50, 2 * ROWS), np.full(ROWS, 2, np.int32)),
        "age": draw.random(ROWS, dtype=np.float32),
        "unknown": np.zeros(ROWS, np.float32),
        "picture": np.zeros((ROWS, 2), np.float32),
        "past": Ragged(past, lengths),
        "then": Ragged(10_000 - 60 * position, lengths),
        "now": np.full(ROWS, 10_000),
        "click": click,
        "spend": np.zeros(ROWS, np.float32),
    }
    directory = tmp_path_factory.mktemp("planted") / "records"
    few = {
        name: Ragged(past[: lengths[:50].sum()], lengths[:50]) if isinstance(values, Ragged) else values[:50]
        for name, values in columns.items()
    } | {"tags": Ragged(np.zeros(0, np.int64), np.zeros(50, np.int32))}
    splits = {"train": columns, "unknown": few}
    write_records(directory, schema=schema, splits=splits, vocabularies={"device": [b"a", b"b", b"c"]}, shards=2)
    return directory, {**columns, "interest": interest}


def correlation(data: Path, output: Path, *arguments: str) -> dict[str, Any]:
    run(["correlation", f"--data={data}", f"--output={output}", *arguments])
    found: dict[str, Any] = json.loads((output / "correlation.json").read_text())
    return found


def test_features_constraints_pairs_and_maps(
    planted: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, columns = planted
    found = correlation(directory, tmp_path / "out", "--pairs", "--constraint=past[1]=2 & category=2", "--figures=1")
    shown = capsys.readouterr().out
    known = ~np.isnan(columns["click"])
    assert found["examples"] == known.sum() == 5950
    ranked = {each["name"]: each for each in found["ranking"]}
    assert next(iter(ranked)) == "device"
    device = mutual_info_score(columns["device"][known].astype(str), columns["click"][known])
    assert ranked["device"]["plugin"] == pytest.approx(device, abs=1e-12)
    assert ranked["device"]["values"] == 3
    assert ranked["age"]["corrected"] < ranked["age"]["high"]
    assert ranked["age"]["p_value"] > 0.02
    assert ranked["tags"]["kind"] == "set of ids"
    assert ranked["past[1]=2 & category=2"]["corrected"] > ranked["past[1]=2 & category=2"]["high"]
    # Which category came last tells little alone, and the most together with the target.
    assert {found["pairs"][0]["first"], found["pairs"][0]["second"]} == {"category", "past[1]"}
    assert found["left_out"] == {
        "unknown": "the schema has no quantiles of it",
        "picture": "a vector has no countable values",
    }
    cells = found["maps"]["position"]["information"]["label"]
    assert all(max(range(4), key=lambda row: cells[target][row][0]) == target for target in range(4))
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {
        "correlation.json",
        "features.png",
        "pairs.png",
        "decay_position.png",
        "decay_interval.png",
        f"position_1_{found['maps']['position']['targets'][0]}.png",
    }
    assert "for 4 of 4 target categories" in shown
    assert "Not counted: unknown: the schema has no quantiles of it." in shown


def test_where_counts_only_what_it_matches(planted: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    directory, columns = planted
    found = correlation(directory, tmp_path / "out", "--where=device=b", "--where=age>=0.5", "--features=category")
    kept = (columns["device"] == b"b") & (columns["age"] >= 0.5) & ~np.isnan(columns["click"])
    assert found["examples"] == kept.sum()
    expected = mutual_info_score(columns["category"][kept], columns["click"][kept])
    assert found["ranking"][0]["plugin"] == pytest.approx(expected, abs=1e-12)


def test_predictions_get_a_map_of_their_own(
    planted: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file knows the planted interest, one only the device."""
    directory, columns = planted
    label = pa.array(columns["click"], from_pandas=True)
    devices = 0.2 + 0.1 * (columns["device"] == b"c")
    for name, scores in (("knows", 0.2 + 0.3 * np.tanh(columns["interest"])), ("blind", devices)):
        pq.write_table(pa.table({"click": label, "click_probability": scores}), tmp_path / f"{name}.parquet")
    runs = ",".join(f"{name}:{tmp_path / name}.parquet" for name in ("knows", "blind"))
    found = correlation(directory, tmp_path / "out", f"--runs={runs}", "--features=device")
    knows, blind = (found["agreements"][name]["position"]["correlation"] for name in ("knows", "blind"))
    assert knows > 0.6 > blind
    assert "Map of knows by position: rank correlation" in capsys.readouterr().out
    shifted = np.concatenate([columns["click"][:50], np.roll(columns["click"][50:], 1)])
    for rows, said in ((ROWS, "has other labels of 'click' than the records"), (ROWS - 1, "has fewer rows")):
        other = pa.table(
            {
                "click": pa.array((shifted if rows == ROWS else columns["click"])[:rows], from_pandas=True),
                "click_probability": devices[:rows],
            }
        )
        pq.write_table(other, tmp_path / "other.parquet")
        with pytest.raises(ValueError, match=said):
            ScoreReader(tmp_path / "other.parquet", task="click").take(columns["click"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where=category=77"], "with --where='category=77' counts: the constraint matches nothing"),
        (["--split=unknown"], "None of the 50 examples of split 'unknown' counts"),
        (["--split=tst"], "has no split 'tst'"),
        (["--features=devise"], "has no feature 'devise'; did you mean 'device'?"),
        (["--features=picture"], "No feature can be counted: "),
        (["--label=spend"], "--label=spend is a value"),
        (["--label=like"], "has no label 'like'"),
        (
            ["--behaviour=device"],
            "--behaviour=device is not a column of a sequence that is compared with a sparse feature. Those are: past.",
        ),
        (["--target=device"], "--target=device: behaviours of past share a table with category"),
        (["--behaviour_where=age>3"], "age>3 is not a condition on a single behaviour of history"),
        (["--intervals=1h,soon"], "'soon' is not a duration"),
        (["--intervals=1d,1h"], "--intervals must increase"),
        (["--constraint= "], "--constraint is empty"),
        (["--runs=tim"], "--runs takes name:run"),
        (["--runs=tim:nowhere"], "nowhere cannot be scored: nowhere is not a run directory"),
        (["--where=click=1"], "have click = 1: a label of one value depends on nothing"),
    ],
)
def test_bad_input_gets_one_line(
    planted: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        correlation(planted[0], tmp_path / "out", *arguments)
    assert stopped.value.code in (1, 2)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_map_of_movielens(real_data: Path, tmp_path: Path) -> None:
    """Liked films against the ranked film. Which genre tells most is left open: the cells differ by chance."""
    del real_data
    from fullrank.data.prepare import run as prepare

    prepare(["prepare", "--dataset=movielens", f"--output={tmp_path / 'records'}", "--noprogress"])
    liked = ["--behaviour=clicks_genre", "--features=genres", "--figures=1"]
    found = correlation(tmp_path / "records", tmp_path / "out", *liked)
    cells = found["maps"]["position"]
    assert cells["targets"][:2] == ["Drama", "Comedy"]
    information = np.array(cells["information"]["label"], float)
    assert information.shape[:2] == (10, 11)
    assert np.isfinite(information).all()
