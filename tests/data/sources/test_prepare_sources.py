"""The sets that users bring themselves: made-up files in their layouts, and the real ones where they are at hand."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fullrank.data.schema.features import Numeric, Sparse
from fullrank.data.sources import census_income, criteo, hillstrom, kuairand, obd
from fullrank.data.sources.source import Source
from fullrank.data.tables.row_columns import to_columns

LOADERS: dict[str, Callable[..., Source]] = {
    "census_income": census_income.load,
    "criteo": criteo.load,
    "hillstrom": hillstrom.load,
    "kuairand": kuairand.load,
    "obd": obd.load,
}


def rows_of(source: Source) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.concat_tables([source.table(name) for name in source.splits]).to_pylist()
    return rows


def table_of(source: Source) -> pa.Table:
    return pa.concat_tables([source.table(name) for name in source.splits])


# --- census_income


def census_line(k: int, *, education: str = "Children", marital: str = "Never married", label: str = "- 50000.") -> str:
    fields = [f"value {k % 2}" for _ in census_income.COLUMNS]
    for name in (*census_income.NUMERIC, *census_income.CODES):
        fields[census_income.COLUMNS.index(name)] = str(k)
    values = {
        "education": education,
        "marital_status": marital,
        "migration_msa": "?",
        "instance_weight": "1032.38",
        "income_class": label,
    }
    for name, value in values.items():
        fields[census_income.COLUMNS.index(name)] = value
    return ", ".join(fields) + "\n"


def census_lines() -> list[str]:
    lines = [census_line(k) for k in range(17)]
    lines.append(census_line(17, education="Some college but no degree", marital="Divorced"))
    lines.append(census_line(18, education="Associates degree-academic program", label="50000+."))
    lines.append(census_line(19, education="Doctorate degree(PhD EdD)", marital="Widowed", label="50000+."))
    return lines


@pytest.fixture
def census(tmp_path: Path) -> Path:
    with gzip.open(tmp_path / "census-income.test.gz", "wt") as file:
        file.writelines(census_lines())
    return tmp_path


def test_census_tasks_and_dropped_columns(census: Path) -> None:
    source = census_income.load(raw_dir=census)
    names = {feature.name for feature in source.schema.features}
    assert not names & {"education", "marital_status", "instance_weight", "income_class"}
    assert len(names) == 42 - 4
    by_age = {row["age"]: row for row in rows_of(source)}
    assert len(by_age) == 20
    tasks = {
        age: tuple(by_age[age][name] for name in ("income", "never_married", "college")) for age in (0, 17, 18, 19)
    }
    assert tasks == {0: (0, 1, 0), 17: (0, 0, 0), 18: (1, 1, 1), 19: (1, 0, 1)}
    assert by_age[18]["migration_msa"] is None
    assert by_age[18]["class_of_worker"] == "value 0"  # without the space after the comma
    assert by_age[18]["industry_code"] == 18


def test_census_keeps_education_when_nobody_predicts_college(census: Path) -> None:
    source = census_income.load(raw_dir=census, tasks=["income", "never_married"])
    names = {feature.name for feature in source.schema.features}
    assert "education" in names
    assert not names & {"marital_status", "income_class", "instance_weight"}
    assert [label.name for label in source.schema.labels] == ["income", "never_married"]
    assert "marital_status" in {f.name for f in census_income.load(raw_dir=census, tasks=["college"]).schema.features}


def test_census_takes_both_halves_and_splits_by_seed(census: Path) -> None:
    (census / "census-income.data").write_text("".join(census_lines()))
    source = census_income.load(raw_dir=census, seed=3)
    assert [source.table(name).num_rows for name in source.splits] == [32, 4, 4]
    assert source.table("test").equals(census_income.load(raw_dir=census, seed=3).table("test"))
    assert not source.table("test").equals(census_income.load(raw_dir=census, seed=4).table("test"))


def test_census_names_what_is_wrong(census: Path) -> None:
    with pytest.raises(ValueError, match=r"tasks income, never_married, college\. Received: rich"):
        census_income.load(raw_dir=census, tasks=["rich"])
    lines = census_lines()
    (census / "census-income.data").write_text(lines[0].replace("- 50000.", "poor"))
    with pytest.raises(ValueError, match=r"the last column is 'poor'"):
        census_income.load(raw_dir=census)
    (census / "census-income.data").write_text("forty" + lines[0][lines[0].index(",") :])
    with pytest.raises(ValueError, match=r"column age .*forty"):
        census_income.load(raw_dir=census)
    (census / "census-income.data").write_text("1, 2, 3\n")
    with pytest.raises(ValueError, match=r"census-income\.data: .*42 columns, got 3"):
        census_income.load(raw_dir=census)


# --- hillstrom

HILLSTROM = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,treatment,conversion,visit,spend\n"


@pytest.mark.parametrize("name", ["treatment", "segment"])
def test_hillstrom(tmp_path: Path, name: str) -> None:
    lines = [f'{k},"2) $100 - $200",142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,1,0.0\n' for k in range(1, 10)]
    lines.append("10,1) $0 - $100,29.99,0,1,Rural,1,Web,No E-Mail,1,1,49.5\n")
    (tmp_path / "hillstrom.csv").write_text(HILLSTROM.replace("treatment", name) + "".join(lines))
    source = hillstrom.load(raw_dir=tmp_path)
    by_recency = {row["recency"]: row for row in rows_of(source)}
    assert by_recency[1]["history_segment"] == "2) $100 - $200"
    buyer = by_recency[10]
    assert (buyer["visit"], buyer["conversion"], buyer["spend"]) == (1, 1, 49.5)
    assert buyer["treatment"] == "No E-Mail"
    assert buyer["propensity"] == pytest.approx(1 / 3)
    features = {feature.name for feature in source.schema.features}
    assert not features & {"visit", "conversion", "spend", "propensity"}
    assert [label.name for label in source.schema.labels] == ["visit", "conversion", "spend", "propensity"]


# --- kuairand

KUAIRAND = (
    "user_id\tvideo_id\tdate\thourmin\ttime_ms\tis_click\tis_follow\tis_comment\tis_forward\tlong_view\tplay_time_ms\t"
    "duration_ms\tcomment_stay_time\tis_profile_enter\tlabel\ttimestamp\n"
)
MOMENT = 1_649_346_288_441  # 2022-04-07 15:44:48 UTC, which is 23:44:48 of a Thursday in China


def kuairand_line(user: int, video: int, time: int, *, click: int = 1, long: int = 0, like: int = 1) -> str:
    fields = (user, video, 20220407, 2300, MOMENT + time, click, 0, 1, 0, long, 99, 5000 * (video > 1), 7, 0, like, "x")
    return "\t".join(map(str, fields)) + "\n"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    lines = [kuairand_line(1, 1, 0, click=0, like=0), kuairand_line(1, 2, 1, long=1), kuairand_line(2, 2, 1)]
    lines += [kuairand_line(1, 3, 2), kuairand_line(1, 4, 2)]
    lines += [kuairand_line(2, k, k) for k in range(5, 9)]
    lines.append(kuairand_line(3, 9, 20))
    (tmp_path / "kuairand27k_explicit.tsv").write_text(KUAIRAND + "".join(lines[::-1]))
    return tmp_path


def test_kuairand(videos: Path) -> None:
    source = kuairand.load(raw_dir=videos)
    rows = {(row["user_id"], row["video_id"]): row for row in rows_of(source)}
    row = rows[1, 3]
    # click + 2 long_view + 4 like: nothing, then a liked long view; the video of the same millisecond is not seen.
    assert (row["clicks_video"], row["clicks_response"], row["clicks_time"]) == ([2], [7], [MOMENT + 1])
    assert (row["likes_video"], row["likes_time"]) == ([2], [MOMENT + 1])
    assert row["last_response"] == 7
    assert rows[1, 4]["clicks_video"] == [2]
    assert rows[1, 2]["last_response"] == 0
    assert rows[1, 2]["clicks_video"] == rows[1, 2]["likes_video"] == []
    assert (row["user_history_count"], row["hour"], row["weekday"]) == (2, 23, 3)
    # Three earlier rows with two clicks: the running rate is (2 + 1) / (3 + 2); the person's own (1 + 5 * .6) / 7.
    assert row["user_past_click"] == pytest.approx(4 / 7)
    assert rows[1, 1]["last_response"] is None
    assert rows[1, 1]["duration_ms"] is None
    assert row["duration_ms"] == 5000
    assert [row[label.name] for label in source.schema.labels] == [1, 0, 1, 0, 1, 0, 0]
    assert not {"play_time_ms", "comment_stay_time"} & set(row)
    assert (rows[3, 9]["user_is_new"], rows[3, 9]["video_is_new"], row["user_is_new"]) == (1, 1, 0)
    assert source.schema.time_unit == "ms"


# --- obd


def write_obd(folder: Path, policy: str, campaign: str, *, first_item: int = 0) -> None:
    items = obd.ITEMS[campaign]
    directory = folder / policy / campaign
    directory.mkdir(parents=True)
    affinities = ",".join(f"user-item_affinity_{k}" for k in range(items))
    header = f",timestamp,item_id,position,click,propensity_score,{','.join(obd.USER)},{affinities}\n"
    lines = []
    for k in range(10):
        own = ",".join(f"{j / 10 + k}" for j in range(items))
        stamp = f"2019-11-24 0{k % 3}:01:03.97931{k}+00:00"
        lines.append(f"{k},{stamp},{first_item + k},{k % 3 + 1},{int(k == 4)},0.0{k + 1},a,b,c,d,{own}\n")
    with gzip.open(directory / f"{campaign}.csv.gz", "wt") as file:
        file.write(header + "".join(lines))
    context = "".join(f"{k},{k},{-k / 8},x{k},y,z\n" for k in reversed(range(items)))
    (directory / "item_context.csv").write_text(f",item_id,{','.join(obd.ITEM)}\n" + context)


def test_obd(tmp_path: Path) -> None:
    write_obd(tmp_path, "random", "men")
    write_obd(tmp_path, "bts", "women", first_item=20)
    source = obd.load(raw_dir=tmp_path)
    rows = rows_of(source)
    assert len(rows) == 20
    assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    row = next(row for row in rows if row["item_id"] == "women-24")
    assert (row["policy"], row["campaign"], row["position"], row["click"]) == ("bts", "women", 2, 1)
    assert row["propensity"] == pytest.approx(0.05)
    assert (row["item_feature_0"], row["item_feature_1"]) == (-3, "x24")
    assert row["affinity"] == pytest.approx(2.4 + 4)
    assert row["affinities"][45] == pytest.approx(4.5 + 4)
    assert row["affinities"][46:] == [0] * 34
    assert (row["timestamp"], row["hour"]) == (1_574_557_263_979, 1)  # 2019-11-24 01:01:03.979 UTC
    features = {feature.name for feature in source.schema.features}
    assert not features & {"propensity", "policy", "click"}


def test_obd_refuses_items_that_its_context_does_not_describe(tmp_path: Path) -> None:
    write_obd(tmp_path, "random", "men", first_item=30)
    with pytest.raises(ValueError, match="items of men are 0 to 33, not 39"):
        obd.load(raw_dir=tmp_path)
    context = tmp_path / "random" / "men" / "item_context.csv"
    context.write_text("".join(context.read_text().splitlines(keepends=True)[:-1]))
    write_obd(tmp_path / "other", "random", "men")
    (tmp_path / "other" / "random" / "men" / "item_context.csv").write_text(context.read_text())
    with pytest.raises(ValueError, match=r"item_context\.csv: it must describe items 0 to 33"):
        obd.load(raw_dir=tmp_path / "other")


# --- criteo


def criteo_line(k: int) -> str:
    counts = ["" if j == 3 else str(k - j) for j in range(1, 14)]
    categories = ["" if j == 5 else f"{k % 3:08x}" for j in range(1, 27)]
    return "\t".join([str(k % 2), *counts, *categories]) + "\n"


@pytest.mark.parametrize("compressed", [False, True])
def test_criteo_streams_the_file_in_its_order(tmp_path: Path, compressed: bool) -> None:
    lines = "".join(criteo_line(k) for k in range(50))
    if compressed:
        with gzip.open(tmp_path / "train.txt.gz", "wt") as file:
            file.write(lines)
    else:
        (tmp_path / "train.txt").write_text(lines)
    source = criteo.load(raw_dir=tmp_path, progress=False)
    assert {name: source.table(name).num_rows for name in source.splits} == {
        "train": 40,
        "validation": 5,
        "test": 5,
    }
    columns = {
        name: to_columns(source.table(name).combine_chunks().to_batches()[0], source.schema) for name in source.splits
    }
    first = np.concatenate([np.asarray(columns[name]["I1"]) for name in source.splits])
    assert first.tolist() == [k - 1 for k in range(50)]
    assert np.isnan(np.asarray(columns["train"]["I3"])).all()
    assert columns["test"]["click"].tolist() == [1, 0, 1, 0, 1]  # type: ignore[union-attr]
    assert columns["train"]["C1"].tolist()[:4] == [b"00000000", b"00000001", b"00000002", b"00000000"]  # type: ignore[union-attr]
    assert set(columns["train"]["C5"].tolist()) == {b""}  # type: ignore[union-attr]
    kinds = [type(feature) for feature in source.schema.features]
    assert (kinds.count(Numeric), kinds.count(Sparse)) == (13, 26)
    assert source.schema.sparse("C26").ids.min_count == 10


def test_criteo_never_holds_more_than_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.txt").write_text("".join(criteo_line(k) for k in range(400)))
    monkeypatch.setattr(criteo, "BLOCK_BYTES", 20_000)
    source = criteo.load(raw_dir=tmp_path, progress=False)
    sizes = [batch.num_rows for batch in source.splits["train"]()]
    assert sum(sizes) == 320
    assert len(sizes) > 2


def test_criteo_names_a_line_of_another_form(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(criteo_line(1) * 11 + "1\t2\n")
    with pytest.raises(ValueError, match=r"train\.txt: cannot be read: CSV parse error: Row #12: Expected 40 col"):
        criteo.load(raw_dir=tmp_path, progress=False)


# --- all of them


@pytest.mark.parametrize("name", list(LOADERS))
def test_a_folder_is_needed_and_must_hold_the_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{name} is not fetched: give --raw_dir=DIR with .*--dataset=synthetic"):
        LOADERS[name](raw_dir=None)
    with pytest.raises(FileNotFoundError, match=rf"{name}: found no .*--raw_dir"):
        LOADERS[name](raw_dir=tmp_path)
    with pytest.raises(NotADirectoryError, match=f"{name}: .* is not a folder"):
        LOADERS[name](raw_dir=tmp_path / "nowhere")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "hillstrom.csv").write_text(HILLSTROM)
    with pytest.raises(ValueError, match=r"hillstrom\.csv: it holds no rows"):
        hillstrom.load(raw_dir=tmp_path)
    (tmp_path / "kuairand27k_explicit.tsv").write_text("")
    with pytest.raises(ValueError, match=r"kuairand27k_explicit\.tsv: Empty CSV file"):
        kuairand.load(raw_dir=tmp_path)


REAL: dict[str, tuple[str, int, dict[str, float]]] = {
    "census_income": ("census_income", 99_762, {"income": 0.0620, "never_married": 0.4325, "college": 0.1950}),
    "hillstrom": ("hillstrom", 64_000, {"visit": 0.14678, "conversion": 0.00903, "spend": 1.0509}),
    "kuairand": ("kuairand_explicit", 41_828, {"click": 0.657, "long_view": 0.462, "like": 0.807, "follow": 0.0073}),
    "obd": ("obd", 60_000, {"click": 287 / 60_000}),
}


@pytest.mark.parametrize("name", list(REAL))
def test_real_sets_have_the_published_size_and_rates(name: str, real_data: Path) -> None:
    folder, rows, rates = REAL[name]
    source = LOADERS[name](raw_dir=real_data / folder)
    table = table_of(source)
    assert table.num_rows == rows
    assert [source.table(split).num_rows for split in source.splits] == pytest.approx(
        [0.8 * rows, rows / 10, rows / 10], abs=1
    )
    for label, rate in rates.items():
        assert np.mean(table[label].to_numpy()) == pytest.approx(rate, rel=0.01)
    if source.schema.time is not None:
        times = table[source.schema.time].to_numpy()
        assert np.all(np.diff(times) >= 0)


def test_the_real_random_policy_shows_every_item_alike(real_data: Path) -> None:
    table = table_of(obd.load(raw_dir=real_data / "obd"))
    shown_at_random = np.array(table["policy"].to_pylist()) == "random"
    propensity = table["propensity"].to_numpy()[shown_at_random]
    expected = [1 / obd.ITEMS[campaign] for campaign in np.array(table["campaign"].to_pylist())[shown_at_random]]
    assert len(propensity) == 30_000
    np.testing.assert_allclose(propensity, expected, rtol=1e-3)
