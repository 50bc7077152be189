"""What infer takes a column for, by its values and its name."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fullrank import data
from fullrank.data import infer
from fullrank.data.proposal import decisions, id_or_amount, leak_hint
from fullrank.data.proposal.decisions import Wishes
from fullrank.data.proposal.propose import Proposal, propose
from fullrank.data.proposal.sample import profile_table

ROWS = 2000


DRAW = np.random.default_rng(0)


CLICK = DRAW.integers(0, 2, ROWS).tolist()


def whole(low: int, high: int) -> list[int]:
    """Random numbers, the largest among them."""
    return [*DRAW.integers(low, high, ROWS - 1).tolist(), high - 1]


def proposed(columns: dict[str, Any], **wishes: Any) -> Proposal:
    table = pa.table({**columns, "click": CLICK})
    return propose(profile_table(table), name="log", wishes=Wishes(labels=("click",), **wishes))


def outcome(name: str, cells: Any, **wishes: Any) -> str:
    """What became of one column beside a feature and the label."""
    found = proposed({name: cells, "filler": DRAW.normal(size=ROWS)}, **wishes).decisions
    return found.uses.get(name) or f"left out: {found.left_out[name]}"


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("price", DRAW.normal(size=ROWS), "numeric"),
        ("visits", whole(0, 33), "numeric"),
        ("visits", whole(0, 32), "sparse"),
        ("itemId", whole(0, 500), "sparse"),
        ("zip_code", whole(0, 500), "sparse"),
        ("count", whole(2**31 - 50, 2**31 + 1), "sparse"),
        ("count", whole(2**31 - 50, 2**31 - 1), "numeric"),
        ("country", [f"c{n}" for n in whole(0, 90)], "sparse"),
        ("user_id", list(range(ROWS)), "sparse, key"),
        ("UID", [str(n) for n in whole(0, 50)], "sparse, key"),
        ("request_id", list(range(ROWS)), "key"),
        ("row", list(range(ROWS)), "left out: numbers the rows: keep it by --sparse or --numeric"),
        ("row", list(range(ROWS))[::-1], "left out: different on every row: keep it by --sparse or --key"),
        ("", whole(0, 9), "left out: has no name, like the row numbers that pandas saves"),
        ("user_id", [f"{n}.0" for n in whole(0, 50)], "sparse, key"),
        ("os_version", ["1.1", "1.10"] * (ROWS // 2), "sparse"),
        ("app", whole(0, 90), "sparse"),
        ("item", whole(0, 4000), "sparse"),
        ("age", whole(18, 90), "numeric"),
        ("event_time", whole(202401010000, 202412312359), "left out: different on every row"),
        ("version", ["v1"] * ROWS, "left out: the same value on every row of the sample: v1"),
        ("version", ["v1", None] * (ROWS // 2), "sparse"),
        ("empty", [None] * ROWS, "left out: no value on any row of the sample"),
        ("struct", [{"a": 1}] * ROWS, "left out: its type cannot be a feature"),
        ("timestamp", whole(1_700_000_000, 1_700_000_099), "time"),
        ("ts_ms", whole(1_700_000_000_000, 1_700_000_000_099), "time"),
        ("event_time", whole(0, 24), "sparse"),
        ("day", [f"2024-01-{1 + n:02d}" for n in whole(0, 28)], "time"),
        ("ts", whole(1_700_000_000_000_000, 1_700_000_000_000_099), "left out: a time neither in seconds nor in milli"),
        ("sample_weight", DRAW.random(ROWS), "weight"),
        ("weight", DRAW.random(ROWS) - 0.5, "numeric"),
        ("code", ["01010101", "01110000"] * (ROWS // 2), "bits"),
        ("signs", [[0, 1] * 4, [1, 0] * 4] * (ROWS // 2), "bits"),
        ("embedding", [[0.5, 1.5, 2.5], None] * (ROWS // 2), "vector"),
        ("scores", [[0.5, 1.5], [1.5]] * (ROWS // 2), "left out: lists of real numbers of different lengths"),
        ("tags", ["a|b|c", "a"] * (ROWS // 2), "sparse, several"),
        ("maps", [[{"a": 1}]] * ROWS, "left out: lists of something that cannot be a feature"),
    ],
)
def test_what_a_column_is_taken_for(name: str, cells: Any, expected: str) -> None:
    assert outcome(name, cells).startswith(expected)


def test_flags_decide() -> None:
    assert outcome("visits", whole(0, 9), numeric=frozenset({"visits"})) == "numeric"
    assert outcome("visits", whole(0, 900), sparse=frozenset({"visits"})) == "sparse"
    assert outcome("price", DRAW.normal(size=ROWS), ignore=frozenset({"price"})) == "left out: ignored"
    assert outcome("page", whole(0, 900), keys=("page",)) == "sparse, key"
    assert outcome("page", list(range(ROWS)), keys=("page",)) == "key"
    assert outcome("shop", ["a", "b"] * (ROWS // 2), segments=("shop",)) == "sparse, segment"
    assert outcome("clock", whole(5, 900), time="clock") == "time"
    assert outcome("propensity", DRAW.random(ROWS), weight="propensity") == "weight"
    assert outcome("version", ["v1"] * ROWS, sparse=frozenset({"version"})) == "sparse"
    two = {"ts": whole(10**9, 10**9 + 99), "sent_time": whole(10**9, 10**9 + 99), "x": DRAW.normal(size=ROWS)}
    found = proposed(two, time="sent_time")
    assert found.schema.time == "sent_time"
    assert found.decisions.left_out == {"ts": "another time: choose it by --time, or keep it by --numeric"}


def test_sequences_share_the_ids_of_a_feature() -> None:
    lengths = DRAW.integers(0, 5, ROWS)
    items = [DRAW.integers(0, 300, n).tolist() for n in lengths]
    columns = {
        "item_id": whole(0, 300),
        "genre": [f"g{n}" for n in whole(0, 5)],
        "history_items": items,
        "history_genres": [[f"g{item % 5}" for item in row] for row in items],
        "history_times": [(10**9 + np.arange(len(row))).tolist() for row in items],
        "other": items,  # as long on every row, but of another name
        "last_genre": [["g1"], ["g2", "g3"]] * (ROWS // 2),
    }
    found = proposed(columns).schema
    assert [feature for feature in found.features if isinstance(feature, data.Sequence)] == [
        data.Sequence(
            name="history",
            behaviour=(
                data.BehaviourColumn(name="history_items", table="item_id", target="item_id"),
                data.BehaviourColumn(name="history_genres", table="genre", target="genre"),
            ),
            times="history_times",
            max_length=4,
        ),
        data.Sequence(
            name="last_genre_sequence",
            behaviour=(data.BehaviourColumn(name="last_genre", table="genre", target="genre"),),
            max_length=2,
        ),
    ]
    assert data.Sparse(name="other", max_values=4) in found.features


def test_small_numbers_beside_a_sequence_are_not_ids_of_a_large_feature() -> None:
    draw = np.random.default_rng(1)
    lengths = draw.integers(1, 5, ROWS)
    columns = {
        **{"user_id": 1 + np.arange(ROWS) % 499, "item": draw.integers(1, 300, ROWS)},
        "time": draw.integers(1_700_000_000, 1_700_009_000, ROWS),
        "hist_item": [draw.integers(1, 300, n).tolist() for n in lengths],
        "hist_rating": [draw.integers(1, 6, n).tolist() for n in lengths],
        "hist_place": [draw.integers(1, 300, n).tolist() for n in lengths],
        "hist_time": [list(range(1_699_990_000, 1_699_990_000 + n)) for n in lengths],
    }
    (sequence,) = (f for f in proposed(columns).schema.features if isinstance(f, data.Sequence))
    tables = {column.name: column.table for column in sequence.behaviour}
    # user_id has every number of the three lists, but most users are in none of them.
    assert tables == {"hist_item": "item", "hist_rating": None, "hist_place": "item"}


def test_times_of_a_sequence_agree_with_the_event_time_on_the_unit() -> None:
    items = [[1, 2]] * ROWS
    times = [[1_700_000_000_000, 1_700_000_000_001]] * ROWS
    lists = {"item_id": whole(0, 9), "past_item": items, "past_time": times}
    found = proposed({**lists, "time": [datetime.datetime(2024, 1, 1, hour % 24) for hour in range(ROWS)]})
    assert (found.schema.time, found.schema.time_unit) == ("time", "ms")  # a timestamp goes with either
    found = proposed({**lists, "time": whole(1_700_000_000, 1_700_000_099)})
    assert (found.schema.time, found.schema.time_unit) == ("time", "s")
    assert found.decisions.left_out["past_time"] == "times in another unit than 'time' (s)"
    found = proposed(lists)
    assert (found.schema.time, found.schema.time_unit) == (None, "ms")


def test_lists_of_weights_belong_to_their_ids() -> None:
    columns = {"tags": ["a|b", "c|d"] * (ROWS // 2), "tag_weights": ["1|0.5", "2|3"] * (ROWS // 2)}
    found = proposed(columns)
    assert found.schema.features == (data.Sparse(name="tags", dtype="bytes", max_values=2, weights="tag_weights"),)
    alone = proposed({"tag_weights": ["1|0.5", "2|3|4"] * (ROWS // 2), "x": DRAW.normal(size=ROWS)})
    assert alone.decisions.left_out == {"tag_weights": "lists of numbers that do not belong to a list of ids"}


def test_very_many_ids_are_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "MANY", 1000)
    found = proposed({"item_id": whole(0, 1_000_000), "shop_id": whole(0, 900)})
    # About 1,998 of 2,000 draws differ: four times as many is 7,992, and the next power of two 8,192.
    assert found.schema.sparse("item_id").ids == data.IdMap(kind="hash", size=8192)
    assert found.schema.sparse("shop_id").ids == data.IdMap()


@pytest.mark.parametrize(
    ("cells", "kind", "note"),
    [
        (CLICK, "binary", None),
        (["True", "False"] * (ROWS // 2), "binary", None),
        ([1, None] * (ROWS // 2), "binary", "is 1 wherever it is given: nothing can be learned from it"),
        (
            [2, *CLICK[1:]],
            "value",
            f"is 0 or 1 in all but 1 of {ROWS:,} rows (2): if it is a click, correct those cells or declare "
            "--label='sale=sale>=1'; as an amount, its value is predicted, and columns that reveal it are not left "
            "out",
        ),
        ([0.5, 2.0] * (ROWS // 2), "value", "has values from 0.5 to 2: not a click, but an amount?"),
    ],
)
def test_labels(cells: list[Any], kind: str, note: str | None) -> None:
    table = pa.table({"x": DRAW.normal(size=ROWS), "sale": cells})
    found = propose(profile_table(table), name="log", wishes=Wishes(labels=("sale",)))
    assert found.schema.labels == (data.Label(name="sale", type=kind),)  # type: ignore[arg-type]
    assert found.decisions.notes.get("sale") == note


def test_what_cannot_be_a_label_or_leaves_no_feature() -> None:
    table = pa.table({"x": DRAW.normal(size=ROWS), "sale": ["yes", "no"] * (ROWS // 2)})
    with pytest.raises(
        data.SchemaError, match=r"Column 'sale' cannot be a label, which is a number\. It holds 'yes', 'no'"
    ):
        propose(profile_table(table), name="log", wishes=Wishes(labels=("sale",)))
    with pytest.raises(data.SchemaError, match="No column is left for a feature"):
        proposed({"version": ["v1"] * ROWS})
    with pytest.raises(data.SchemaError, match="Column 'tags' holds lists, so it cannot be a key"):
        proposed({"tags": ["a|b"] * ROWS}, keys=("tags",))
    with pytest.raises(data.SchemaError, match="Column 'x' holds real numbers, so it cannot be a key or segment"):
        proposed({"x": DRAW.normal(size=ROWS)}, segments=("x",))


def test_a_column_that_tells_the_label_is_left_out() -> None:
    # 95 % of the rows agree with the label: of the pairs of a click and a non-click .95^2 are in order, and half of the
    # 2 * .95 * .05 ties count, which makes .95.
    nearly = [1 - click if row % 20 == 0 else click for row, click in enumerate(CLICK)]
    columns = {
        "seconds": [click * (3 + DRAW.random()) for click in CLICK],
        "outcome": ["sold" if click else None for click in CLICK],
        "nearly": nearly,
        "row_id": [f"r{row}" for row in range(ROWS - 1)] + ["r0"],  # rare ids tell nothing about others
        "hour": whole(0, 24),
        "sold": [click if row % 10 == 0 else 0 for row, click in enumerate(CLICK)],
    }
    found = proposed(columns)
    left_out = {name: found.decisions.left_out.get(name, "") for name in columns}
    assert left_out["seconds"].startswith("alone it predicts 'click' (AUC 0.99")
    assert left_out["seconds"].endswith("is it known before the event? Keep it by --numeric=seconds.")
    assert left_out["outcome"] == (
        "alone it predicts 'click' (AUC 1.000): is it known before the event? Keep it by --sparse=outcome."
    )
    assert "tells" not in left_out["row_id"]
    assert left_out["hour"] == ""
    assert left_out["sold"] == (
        "'click' is always 1 where it is 1: is it known before the event? Keep it by --sparse=sold."
    )
    kept = proposed(columns, numeric=frozenset({"seconds"}))
    assert kept.decisions.uses["seconds"] == "numeric"
    profiles = profile_table(pa.table({**columns, "click": CLICK}))
    assert leak_hint.single_column_auc(profiles["nearly"], profiles["click"]) == pytest.approx(0.95, abs=0.005)
    assert leak_hint.single_column_auc(profiles["hour"], profiles["click"]) == pytest.approx(0.55, abs=0.06)
    assert leak_hint.single_column_auc(profiles["click"], profiles["hour"]) is None


def test_dates_are_reported() -> None:
    draw = np.random.default_rng(0)
    times = 1_650_000_000 + np.sort(draw.integers(0, 10 * 86_400, ROWS))
    rare = np.where(draw.uniform(size=ROWS) < 0.01, draw.integers(1, 9, ROWS), 0)
    columns = {
        "time": times,
        "date": 20220415 + (times - times[0]) // 86_400,
        "hour": times // 3_600 % 24,
        "rare": rare,
    }
    notes = proposed(columns).decisions.notes
    assert notes["date"].startswith("rises with the event time, so the values of later rows are new to a model")
    assert [name for name, note in notes.items() if note.startswith("rises")] == ["date"]


def test_names_that_are_numbered(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("0,7.5,x,z\n1,9.1,y,a..b\n1,7.5,x,z\n0,9.1,y,a..b\n" * 9)
    infer.run(["infer", f"--input={tmp_path}/log.csv", "--header=click,n1..n2,of 1..2", "--label=click"])
    out = capsys.readouterr().out
    assert [line.split("  ")[0] for line in out.splitlines()[4:8]] == ["click", "n1", "n2", "of 1..2"]


def test_neighbours_tell_ids_from_amounts() -> None:
    draw = np.random.default_rng(5)
    numbers = draw.integers(0, 200, 20_000) * 37  # neither of a known name nor dense
    own = draw.random(200)[numbers // 37]  # each id has a rate of its own
    smooth = numbers / numbers.max()
    for rates, expected in ((own, True), (smooth, False)):
        clicks = (draw.random(20_000) < rates).astype(int)
        profiles = profile_table(pa.table({"C14": numbers, "click": clicks}))
        verdict = id_or_amount.judge(profiles["C14"], [profiles["click"]])
        assert verdict.is_id is expected
        assert ("neighbours behave differently" in (verdict.note or "")) is expected


def test_two_units_in_one_time_are_reported() -> None:
    times = [1_700_000_000 * (1000 if row % 2 else 1) for row in range(ROWS)]
    found = proposed({"event_time": times, "x": DRAW.normal(size=ROWS)})
    assert "are of two units, seconds and milliseconds" in found.decisions.notes["event_time"]
    assert found.decisions.doubts == ["event_time"]
