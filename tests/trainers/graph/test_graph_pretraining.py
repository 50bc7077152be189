"""The command that learns vectors from the clicks of a train split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tf_keras as keras
from ran_commands import run

from fullrank.data import IdMap, Key, Label, Sparse, write_records
from fullrank.data.schema.schema import Schema
from fullrank.models.graph import BipartiteGraph, embed
from fullrank.trainers import pretrain_graph
from fullrank.trainers.graph.clicks import number_ids
from fullrank.trainers.graph.vectors import told_apart

FAST = ("--width=4", "--epochs=2", "--batch_size=64", "--shared_negatives=8", "--neighbours=3,2")


def command(*arguments: str) -> int:
    return run(pretrain_graph, *FAST, *arguments)


def columns(users: Any, items: Any, clicks: Any, times: Any) -> dict[str, np.ndarray]:
    return {
        "user": np.asarray(users, np.int64),
        "item": np.array([b"" if item < 0 else b"item%d" % item for item in items], object),
        "click": np.asarray(clicks, np.float32),
        "rating": np.asarray(clicks, np.float32),
        "time": np.asarray(times, np.int64),
    }


def write(directory: Path, *, unit: Any = "s", timed: bool = True, **splits: dict[str, np.ndarray]) -> Path:
    schema = Schema(
        name="clicks",
        features=(
            Sparse(name="user", ids=IdMap(kind="identity", size=100), side="user"),
            Sparse(name="item", dtype="bytes", ids=IdMap(kind="hash", size=50), side="ad"),
        ),
        labels=(Label(name="click"), Label(name="rating", type="value")),
        keys=(Key(name="user"),),
        time="time" if timed else None,
        time_unit=unit,
    )
    if not timed:
        splits = {name: {key: split[key] for key in split if key != "time"} for name, split in splits.items()}
    write_records(directory, schema=schema, splits=splits, vocabularies={}, shards=1)
    return directory


def drawn(size: int, *, start: int, seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return columns(
        draw.integers(0, 40, size), draw.integers(0, 20, size), draw.random(size) < 0.5, start + np.arange(size)
    )


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train rows at times 1000..1599, validation from 2000; tests only read it."""
    return write(
        tmp_path_factory.mktemp("clicks") / "records",
        train=drawn(600, start=1000),
        validation=drawn(50, start=2000, seed=1),
        test=drawn(50, start=3000, seed=2),
    )


COLUMNS = ("--label=click", "--user=user", "--item=item")


def vectors(file: Path) -> dict[Any, list[float]]:
    table = pq.read_table(file)
    return dict(zip(table.column(0).to_pylist(), table.column("vector").to_pylist(), strict=True))


def test_the_command_from_end_to_end(clicks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "graph"
    assert command(f"--data={clicks}", *COLUMNS, f"--output={output}") == 0
    result = json.loads((output / "graph.json").read_text())

    train = drawn(600, start=1000)
    clicked = np.flatnonzero(train["click"])
    # The graph ends with the click in the middle.
    until = int(train["time"][clicked[int(np.ceil(0.5 * len(clicked))) - 1]])
    inside = clicked[train["time"][clicked] <= until]
    assert result["until"] == until
    assert result["edges"] == len({(train["user"][row], train["item"][row]) for row in inside})
    assert len(result["losses"]) == 2

    users, items = vectors(output / "users.parquet"), vectors(output / "items.parquet")
    assert set(users) == set(train["user"][inside].tolist())
    assert set(items) == {item.decode() for item in train["item"][inside]}
    lengths = [np.linalg.norm(vector) for vector in (*users.values(), *items.values())]
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    for file, column in (("users", "user"), ("items", "item")):
        arrow = pq.read_schema(output / f"{file}.parquet")
        assert arrow.names == [column, "vector"]
        assert str(arrow.field("vector").type) in ("list<element: float>", "list<item: float>")
        assert arrow.metadata[b"fullrank.until"] == str(until * 1000).encode()
    pairs = number_ids([train["user"][inside]])[1], number_ids([train["item"][inside]])[1]
    graph = BipartiteGraph.from_clicks([(pairs[0][0], pairs[1][0])], users=len(users), items=[len(items)])
    again = embed(keras.models.load_model(output / "model.keras"), graph)
    np.testing.assert_allclose(again, [*users.values(), *items.values()], rtol=1e-5, atol=1e-6)
    printed = capsys.readouterr()
    assert "Little was learned: the loss of equal cosines is 2.7034" in printed.out
    assert "train on later ones" in printed.out
    assert "nearer to its user" in printed.out
    assert "epoch 2/2" in printed.err


def test_nothing_depends_on_other_splits_or_on_clicks_after_the_time(clicks: Path, tmp_path: Path) -> None:
    # User 90 and item 49 have clicks in the validation split only; users and items of the graph get new ones there,
    # and all clicks of the train split after the middle are of a user who is not in the graph.
    planted = columns([90, 1, 2, 3], [49, 49, 3, 4], [1, 1, 1, 1], [2000, 2001, 2002, 2003])
    train = drawn(600, start=1000)
    clicked = np.flatnonzero(train["click"])
    until = int(train["time"][clicked[int(np.ceil(0.5 * len(clicked))) - 1]])
    train["user"] = np.where(train["time"] > until, 91, train["user"])
    other = write(tmp_path / "other", train=train, validation=planted, test=planted)
    assert command(f"--data={clicks}", *COLUMNS, f"--output={tmp_path / 'a'}") == 0
    assert command(f"--data={other}", *COLUMNS, f"--output={tmp_path / 'b'}") == 0
    for file in ("users.parquet", "items.parquet"):
        first, second = vectors(tmp_path / "a" / file), vectors(tmp_path / "b" / file)
        assert first == second
        assert {90, 91, "item49"}.isdisjoint(second)


def test_two_domains_share_users_and_end_with_the_first(clicks: Path, tmp_path: Path) -> None:
    # The second domain counts in milliseconds and reaches further than the first one's training clicks (1599 s).
    reads = columns([1, 2, 77, 78], [0, 1, 2, 3], [1, 1, 1, 1], [900_000, 1_100_500, 1_200_000, 1_700_000])
    articles = write(tmp_path / "articles", unit="ms", train=reads)
    output = tmp_path / "graph"
    arguments = (f"--data={clicks},{articles}", *COLUMNS, f"--output={output}", "--first_fraction=1")
    assert command(*arguments) == 0
    assert set(vectors(output / "items_2.parquet")) == {"item0", "item1", "item2"}
    assert 77 in vectors(output / "users.parquet")
    assert 78 not in vectors(output / "users.parquet")
    result = json.loads((output / "graph.json").read_text())
    assert result["items"][1] == 3
    assert result["told_apart"]["later"] is None


def test_until_and_overwrite(clicks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (f"--data={clicks}", *COLUMNS, f"--output={tmp_path / 'graph'}", "--until=1100")
    assert command(*arguments) == 0
    assert json.loads((tmp_path / "graph" / "graph.json").read_text())["until"] == 1100
    capsys.readouterr()
    assert command(*arguments) == 1
    assert "exists already: choose another name, or replace it by --overwrite" in capsys.readouterr().err
    assert command(*arguments, "--overwrite") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]


def test_records_without_a_time_need_a_word(
    toy_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (f"--data={toy_records}", *COLUMNS, f"--output={tmp_path / 'graph'}")
    assert command(*arguments) == 1
    assert "has no time column" in capsys.readouterr().err
    assert command(*arguments, "--first_fraction=1") == 0
    assert "too high on all training rows" in capsys.readouterr().out
    assert len(vectors(tmp_path / "graph" / "users.parquet")) <= 30
    assert pq.read_schema(tmp_path / "graph" / "users.parquet").metadata is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--label=buy", "--user=user", "--item=item"), 1, "--label=buy"),
        (("--label=rating", "--user=user", "--item=item"), 1, "no binary label of that name. Known: click."),
        (("--label=click", "--user=uesr", "--item=item"), 1, "--user=uesr: "),
        (("--label=click", "--user=user", "--item=time"), 1, "Known: user, item."),
        ((*COLUMNS, "--until=5"), 1, "has no row with click = 1 up to 1970-01-01 00:00:05 UTC"),
        (("--label=click,click", "--user=user", "--item=item"), 2, "two domains are the same"),
        (("--label=click,like", "--user=user", "--item=a,b,c"), 2, "--label needs one value, or 3, one per domain"),
        ((*COLUMNS, "--first_fraction=1.5"), 2, "--first_fraction has to be at most 1"),
        ((*COLUMNS, "--neighbours=5"), 2, "--neighbours needs two numbers"),
    ],
)
def test_mistakes_are_one_line(
    clicks: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    assert command(f"--data={clicks}", f"--output={tmp_path / 'graph'}", *arguments) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_a_split_without_clicks_and_clicks_without_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The only clicks have no item, no user or no time.
    train = columns([1, -1, 2, 3], [-1, 1, 1, 1], [1, 1, 1, 0], [5, 5, -1, 5])
    records = write(tmp_path / "records", train=train)
    assert command(f"--data={records}", *COLUMNS, f"--output={tmp_path / 'graph'}") == 1
    assert "has no row with click = 1 and known ids" in capsys.readouterr().err


def test_a_damaged_record_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = write(tmp_path / "records", train=drawn(600, start=0))
    (file,) = records.glob("train-*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert command(f"--data={records}", *COLUMNS, f"--output={tmp_path / 'graph'}") == 1
    assert file.name in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_ids_are_numbered_in_order_over_columns() -> None:
    for given in (
        [np.array([7, 5]), np.array([-3, 7, 7])],
        [np.array([b"c", b"b"], object), np.array([b"a", b"c", b"c"], object)],
    ):
        ids, (first, second) = number_ids(given)
        assert list(ids) == sorted({*given[0], *given[1]})
        assert first.tolist() == [2, 1]
        assert second.tolist() == [0, 2, 2]


def test_told_apart_by_hand() -> None:
    # Users 0, 1 and items 2, 3; user 0 points to item 2, user 1 away from item 3. Click 0-2 against item 3: nearer.
    # Click 1-3 against item 2, which stands square to user 1 (0), while 3 is at -1: farther. Half of the pairs.
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0, -1]], np.float32)
    share = told_apart(vectors, np.array([0, 1]), np.array([2, 3]), seed=0)
    assert share == pytest.approx(0.5, abs=0.01)
    assert told_apart(vectors, np.array([0]), np.array([2]), seed=0) is None
    assert told_apart(vectors, np.array([], np.int64), np.array([], np.int64), seed=0) is None
