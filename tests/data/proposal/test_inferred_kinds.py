"""What infer takes columns for without hints, on public data and on columns of known kinds: a labelled table."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from fullrank.data import infer
from fuzz_tables import ran

CENSUS = {
    "numeric": "c0 c5 c16 c17 c18 c24 c39",
    # What a child or a householder is called tells whether somebody was ever married; c7 is that itself.
    "left out": "c7 c22 c23 c38",
    "sparse": "c1 c2 c3 c4 c6 c8 c9 c10 c11 c12 c13 c14 c15 c19 c20 c21 c25 c26 c27 c28 c29 c30 c31 c32 c33 c34 c35 "
    "c36 c37 c40 c41",
}
HILLSTROM = {
    "numeric": "recency history",
    "sparse": "history_segment mens womens zip_code newbie channel treatment",
    "left out": "conversion spend",
}
KUAIRAND = {
    "sparse, key": "user_id",
    "sparse": "video_id date hourmin is_follow is_comment is_forward long_view is_profile_enter label",
    "time": "time_ms",
    "numeric": "duration_ms comment_stay_time",
    "left out": "play_time_ms timestamp",
}
KUAIRAND_PARQUET = {
    "sparse, key": "user_id",
    "sparse": "video_id hour weekday duration_bucket long_view label",
    "sequence hist_video_sequence": "hist_video",
    "left out": "hist_gap",
    "time": "time_ms",
}
GENERATED = {
    "sparse, key": "user_id",
    "time": "time",
    "key": "session_id",
    "sparse": "ip app device os channel C14 C17 hashed site version zip hour weekday gender flag",
    "numeric": "price age I1 I2 views duration_ms temperature balance gain",
    "sparse, several": "tags",
    "bits": "hash_id",
    "vector": "embedding",
    "left out": "row_number constant future",
}
AFTER = {"is_follow", "is_comment", "is_forward", "long_view", "is_profile_enter", "label", "comment_stay_time"}
"""Columns of KuaiRand that are known after the click only."""


def taken_for(path: Path, label: str, *flags: str) -> dict[str, tuple[str, str]]:
    """Column -> what infer takes it for, and what it says about that."""
    found = ran(infer.run, [f"--input={path}", f"--label={label}", *flags])
    assert not found.code, found.errors
    lines = found.output.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("---"))
    ends = np.cumsum([len(part) + 2 for part in lines[rule].split("  ")])
    table: dict[str, tuple[str, str]] = {}
    for line in lines[rule + 1 :]:
        if not line:
            break
        table[line[: ends[0]].strip()] = (line[ends[0] : ends[1]].strip(), line[ends[5] :].strip())
    return table


def wrong(found: dict[str, tuple[str, str]], expected: dict[str, str]) -> list[str]:
    kinds = {column: kind for kind, columns in expected.items() for column in columns.split()}
    return [f"{column}: {found[column][0]}, not {kind}" for column, kind in kinds.items() if found[column][0] != kind]


def columns_of(expected: dict[str, str]) -> int:
    return sum(len(columns.split()) for columns in expected.values())


def write_generated(file: Path) -> None:
    """A log whose click depends on three of the ids and the price; without a name or an effect no id can be told."""
    draw, rows = np.random.default_rng(0), 20_000

    def popular(wide: int) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = (wide * draw.random(rows) ** 3).astype(np.int64)
        return found

    wide = {"ip": 4000, "app": 300, "device": 900, "os": 120, "channel": 180, "C14": 400}
    ids = {name: popular(size) for name, size in wide.items()}
    effect = sum(draw.normal(size=wide[name])[ids[name]] for name in ("app", "channel", "C14"))
    ids["C14"] = 15_000 + 7 * ids["C14"]
    price = np.round(draw.lognormal(3, 1, rows), 2)
    click = (draw.random(rows) < 1 / (1 + np.exp(1.5 - effect + 0.2 * np.log(price)))).astype(int)
    start = 1_700_000_000
    bits = draw.integers(0, 2, (rows, 16))
    columns: dict[str, object] = {
        "row_number": np.arange(rows),
        "user_id": popular(2000),
        "session_id": popular(9000),
        **ids,
        "C17": draw.choice([1722, 1863, 2201, 2371, 2502], rows),
        "hashed": [f"{value:08x}" for value in draw.integers(0, 2**32, 500)[popular(500)]],
        "site": [f"s{value}" for value in popular(50)],
        "version": [f"{a}.{b}" for a, b in draw.integers(1, 12, (rows, 2))],
        "zip": draw.integers(10_000, 99_999, rows),
        "hour": draw.integers(0, 24, rows),
        "weekday": draw.integers(0, 7, rows),
        "gender": draw.choice(["f", "m", ""], rows),
        "flag": draw.integers(0, 2, rows),
        "price": price,
        "age": draw.integers(18, 80, rows),
        "I1": draw.geometric(0.02, rows) - 1,
        "I2": np.where(draw.random(rows) < 0.5, 0, draw.geometric(0.001, rows)),
        "views": draw.geometric(0.01, rows),
        "duration_ms": draw.integers(1000, 300_000, rows),
        "temperature": np.round(draw.normal(20, 5, rows), 1),
        "balance": np.round(draw.normal(0, 1000, rows)).astype(int),
        "gain": np.where(draw.random(rows) < 0.95, 0, draw.integers(1, 1000, rows) * 100),
        "tags": ["|".join(f"t{tag}" for tag in set(tags)) for tags in draw.integers(0, 30, (rows, 3))],
        "hash_id": ["".join(map(str, row)) for row in bits.tolist()],
        "embedding": ["|".join(f"{value:.3f}" for value in row) for row in draw.normal(size=(rows, 4))],
        "constant": ["web"] * rows,
        "future": np.where(click == 1, np.round(draw.exponential(30, rows) + 1, 2), 0.0),
        "time": start + np.arange(rows) // 3 + draw.integers(0, 3, rows),
        "click": click,
    }
    pa_csv.write_csv(pa.table(columns), file)


def test_columns_of_known_kinds(tmp_path: Path) -> None:
    write_generated(tmp_path / "log.csv")
    found = taken_for(tmp_path / "log.csv", "click")
    faults = wrong(found, GENERATED)
    assert len(faults) <= 0.05 * columns_of(GENERATED), faults
    assert found["future"][0] == "left out"


def test_public_data(real_data: Path, tmp_path: Path) -> None:
    census = gzip.decompress((real_data / "census_income/census-income.test.gz").read_bytes()).replace(b", ", b",")
    (tmp_path / "census.csv").write_bytes(census)
    never = "never=c7='Never married'"
    header = f"--header={','.join(f'c{number}' for number in range(42))}"
    kuairand = taken_for(real_data / "kuairand_explicit/kuairand27k_explicit.tsv", "is_click")
    faults = [
        *wrong(taken_for(tmp_path / "census.csv", never, header), CENSUS),
        *wrong(taken_for(real_data / "hillstrom/hillstrom.csv", "visit"), HILLSTROM),
        *wrong(kuairand, KUAIRAND),
        *wrong(
            taken_for(real_data / "splits/kuairand_explicit/train.parquet", "is_click"),
            KUAIRAND_PARQUET,
        ),
    ]
    columns = sum(map(columns_of, (CENSUS, HILLSTROM, KUAIRAND, KUAIRAND_PARQUET)))
    for policy in ("bts", "random"):
        for campaign in ("all", "men", "women"):
            found = taken_for(real_data / f"obd/{policy}/{campaign}/{campaign}.csv.gz", "click")
            affinities = [name for name in found if "affinity" in name and found[name][0] != "left out"]
            expected = {
                "time": "timestamp",
                "sparse": "item_id position user_feature_0 user_feature_1 user_feature_2 user_feature_3",
                "numeric": " ".join(["propensity_score"] if policy == "bts" else []),
            }
            # Whole numbers of clicks, written 0.0 and 1.0.
            faults += wrong(found, {**expected, "numeric": " ".join([expected["numeric"], *affinities])})
            columns += columns_of(expected) + len(affinities)
    assert len(faults) <= 0.05 * columns, faults
    assert all("happens after the event" in kuairand[column][1] for column in AFTER)
