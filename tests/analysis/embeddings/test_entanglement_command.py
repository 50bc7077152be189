"""`fullrank entanglement` on the tables of planted runs, which no training has to find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from ran_commands import ran

from fullrank.analysis import entanglement
from fullrank.data import IdMap, Label, Schema, Sparse, write_records
from fullrank.data.schema.saved_tables import FILE_NAME, StoredTable, TableLayout, TableVariable, layout_json

USERS, ITEMS, WIDTH = 40, 30, 4
NO_IDS = 2
"""Rows for what is missing and for what is unknown, before those of the ids."""


def write_run(directory: Path, sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    """A run whose tables of users and items are given for each set, both in one variable."""
    (directory / "best").mkdir(parents=True)
    variables = {}
    layout = []
    for name, (users, items) in sets.items():
        variable = f"{name}/tables"
        variables[name] = tf.Variable(np.concatenate([users, items]), name=variable)
        tables = (
            StoredTable(name="user", start=0, rows=len(users)),
            StoredTable(name="item", start=len(users), rows=len(items)),
        )
        layout.append(TableVariable(variable=variable, set=name, width=WIDTH, tables=tables))
    tf.train.Checkpoint(**variables).write(str(directory / "best" / "weights"))
    (directory / FILE_NAME).write_text(json.dumps(layout_json(TableLayout(variables=tuple(layout)))))
    for name in ("config.json", "schema.json"):
        (directory / name).write_text("{}")
    return directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two tasks that want the opposite of half of the items, one of both tasks, and records of their clicks.

    In the run `like`, near pairs are the negatives.
    """
    directory = tmp_path_factory.mktemp("planted")
    draw = np.random.default_rng(1)
    users = draw.normal(size=(USERS + NO_IDS, WIDTH)).astype(np.float32)
    items = draw.normal(size=(ITEMS + NO_IDS, WIDTH)).astype(np.float32)
    liked = np.where(np.arange(ITEMS + NO_IDS) % 2, -1.0, 1.0).astype(np.float32)[:, np.newaxis] * items
    write_run(directory / "click", {"set0": (users, items)})
    write_run(directory / "like", {"set0": (users, -liked)})
    write_run(directory / "shared", {"set0": (users, items + liked)})
    write_run(directory / "stem", {"click": (users, items), "like": (users, liked)})
    write_run(directory / "other", {"set0": (users[:-1], items)})
    user, item = draw.integers(0, USERS, 600), draw.integers(0, ITEMS, 600)
    columns = {"user": user, "item": item}
    for task, table in (("click", items), ("like", liked)):
        near = (users[user + NO_IDS] * table[item + NO_IDS]).sum(axis=1) > 0
        columns[task] = near.astype(np.float32)
    schema = Schema(
        name="planted",
        features=(
            Sparse(name="user", ids=IdMap(kind="identity", size=USERS)),
            Sparse(name="item", ids=IdMap(kind="identity", size=ITEMS)),
        ),
        labels=(Label(name="click", mean=0.5), Label(name="like", mean=0.5)),
    )
    write_records(directory / "records", schema=schema, splits={"train": columns, "validation": columns}, shards=1)
    return directory


def flags(runs: Path, *, first: str = "click", second: str = "like", user: str = "user") -> list[str]:
    return [
        f"--first=click:{runs / first}",
        f"--second=like:{runs / second}",
        f"--user={user}",
        "--item=item",
        "--pairs=3000",
        "--share=0.3",
    ]


def test_two_sets_separate_what_one_cannot(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "entangled"
    several = f"--runs=shared:{runs / 'shared'},stem:{runs / 'stem'}"
    given = [*flags(runs), several, f"--data={runs / 'records'}", f"--output={output}"]
    code, out, err = ran(capsys, entanglement.run, *given)
    assert code == 0, err
    found = json.loads((output / "entanglement.json").read_text())
    spaces = {(space["run"], space["set"]): space for space in found["spaces"]}
    assert list(spaces) == [
        ("click", "set0"),
        ("like", "set0"),
        ("shared", "set0"),
        ("stem", "click"),
        ("stem", "like"),
    ]
    assert [space["turned"] for space in spaces.values()] == [False, True, False, False, False]
    assert spaces["stem", "click"]["separation"] == {"click": 1.0, "like": 0.0}
    assert spaces["stem", "like"]["separation"] == {"click": 0.0, "like": 1.0}
    assert found["best"]["stem"] == {"click": 1.0, "like": 1.0}
    assert sum(found["best"]["shared"].values()) == pytest.approx(1.0)
    near = found["selected"]
    table = pq.read_table(output / "pairs.parquet")
    assert table["near_in"].to_pylist() == ["click"] * near["click"] + ["like"] * near["like"]
    assert (output / "distances.png").stat().st_size > 10_000
    printed = out.splitlines()
    assert printed[0] == (
        f"{near['click']:,} of 3,000 pairs are near in click and far in like, {near['like']:,} the other way round."
    )
    assert ["stem", "1.0000", "1.0000", "2.0000"] in [line.split() for line in printed]
    assert printed[-1] == f"Wrote {output}."
    code, _, err = ran(capsys, entanglement.run, *given)
    assert code == 1
    assert "--overwrite" in err
    assert ran(capsys, entanglement.run, *given, "--overwrite", "--seed=2")[0] == 0
    assert json.loads((output / "entanglement.json").read_text())["selected"] != near


def test_without_records_no_set_is_turned(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ran(capsys, entanglement.run, *flags(runs), f"--output={tmp_path / 'found'}")
    assert code == 0, err
    found = json.loads((tmp_path / "found" / "entanglement.json").read_text())
    assert [space["turned"] for space in found["spaces"]] == [False, False]
    assert set(found["best"]) == {"click", "like"}


def test_runs_that_do_not_fit_are_named(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stem, output = runs / "stem", f"--output={tmp_path / 'none'}"
    records = f"--data={runs / 'records'}"
    for given, message in (
        (flags(runs, user="person"), "has no set with tables 'person' and 'item'. Its tables are item, user."),
        (flags(runs, first="stem"), f"The run of task click, {stem}, has several embedding sets, click, like: use a"),
        (flags(runs, second="other"), "rows of users and items differ: click/set0 42 x 32, like/set0 41 x 32."),
        ([*flags(runs), "--runs=stem"], "--runs: 'stem' is not name:run, such as click:runs/click."),
        ([*flags(runs), f"--runs=like:{stem}"], "Two runs have the same name: click, like, like."),
        ([*flags(runs), records, "--split=test"], "test"),
    ):
        code, _, err = ran(capsys, entanglement.run, *given, output)
        assert code == 1
        assert message in err
    assert not (tmp_path / "none").exists()
