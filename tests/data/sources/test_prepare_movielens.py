"""MovieLens in both layouts, its features by hand, no leak, and how it is fetched."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fullrank.data.schema.features import Sequence
from fullrank.data.sources import movielens, recbole_wheel
from fullrank.data.sources.movielens_files import GENRES
from fullrank.data.sources.source import Source

DAY = 86_400
START = 874_724_710  # a Saturday, 1997-09-20 03:11:50 UTC

# user, item, rating, seconds after START; the file is not in the order of time.
RATINGS = [
    (1, 10, 5, 0),
    (1, 11, 2, 5),
    (2, 10, 4, 5),
    (1, 12, 4, 20),
    (2, 12, 1, 20),  # the same second as the row above, and another person
    (2, 11, 3, 30),
    (3, 10, 5, 40),
    (3, 12, 2, 40),  # the same second and person as the row above
    (3, 11, 5, 50),
    (1, 13, 3, 2 * DAY),
    (4, 10, 4, 3 * DAY),
]
ITEMS = {
    10: ("Café Noir (1962)", 1962, ("Comedy", "Drama")),
    11: ("Plain (1995)", 1995, ("Drama",)),
    12: ("Future 2000 (1996)", 1996, ("Action", "Sci-Fi")),
    13: ("unknown", None, ("unknown",)),
}
USERS = {
    1: (24, "M", "technician", "85711"),
    2: (53, "F", "other", "94043"),
    3: (23, "M", "writer", "T8H1N"),
    4: (33, "F", "writer", "05201"),
}


def write_grouplens(folder: Path) -> Path:
    folder.mkdir()
    shuffled = RATINGS[::-1]
    (folder / "u.data").write_text("".join(f"{u}\t{i}\t{r}\t{START + t}\n" for u, i, r, t in shuffled))
    lines = []
    for number, (title, year, genres) in ITEMS.items():
        flags = "|".join("1" if genre in genres else "0" for genre in GENRES)
        released = f"01-Jan-{year}" if year else ""
        lines.append(f"{number}|{title}|{released}||http://example.org/{number}|{flags}\n")
    (folder / "u.item").write_text("".join(lines), encoding="latin1")
    (folder / "u.user").write_text("".join("|".join(map(str, (n, *user))) + "\n" for n, user in USERS.items()))
    return folder


def recbole_texts() -> dict[str, str]:
    ratings = "".join(f"{u}\t{i}\t{r}\t{START + t}\n" for u, i, r, t in RATINGS[::-1])
    items = "".join(f"{n}\t{title}\t{year or 'unkonwn'}\t{' '.join(g)}\n" for n, (title, year, g) in ITEMS.items())
    users = "".join("\t".join(map(str, (n, *user))) + "\n" for n, user in USERS.items())
    return {
        "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + ratings,
        "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n" + items,
        "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n" + users,
    }


def write_recbole(folder: Path) -> Path:
    folder.mkdir()
    for name, text in recbole_texts().items():
        (folder / name).write_text(text, encoding="utf8")
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {"grouplens": write_grouplens, "recbole": write_recbole}


@pytest.fixture(params=list(WRITERS))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return movielens.load(raw_dir=WRITERS[request.param](tmp_path / "raw"))


def rows_of(source: Source) -> list[dict[str, Any]]:
    """All rows in the order of time."""
    rows: list[dict[str, Any]] = pa.concat_tables([source.table(name) for name in source.splits]).to_pylist()
    return rows


def row_of(source: Source, user: int, item: int) -> dict[str, Any]:
    return next(row for row in rows_of(source) if (row["user_id"], row["item_id"]) == (user, item))


def test_rows_are_in_global_time_order_and_split_by_position(source: Source) -> None:
    assert [source.table(name).num_rows for name in source.splits] == [9, 1, 1]  # 11 rows: edges 8.8 and 9.9
    times = [row["timestamp"] for row in rows_of(source)]
    assert times == sorted(times)
    assert row_of(source, 4, 10) == source.table("test").to_pylist()[0]


def test_the_columns_are_those_of_the_schema(source: Source) -> None:
    wanted = {column.name for column in source.schema.columns}
    assert wanted == set(source.table("train").column_names)


def test_plain_features(source: Source) -> None:
    row = row_of(source, 3, 12)
    assert (row["age"], row["gender"], row["occupation"], row["zip_region"]) == (23, "M", "writer", "T")
    assert (row["release_year"], row["genres"]) == (1996, ["Action", "Sci-Fi"])
    assert (row["hour"], row["weekday"]) == (3, 5)  # Monday is 0
    assert row["click"] == 0
    assert [row_of(source, 1, item)["click"] for item in (10, 11, 12, 13)] == [1, 0, 1, 0]
    assert row_of(source, 1, 13)["release_year"] is None
    assert row_of(source, 4, 10)["zip_region"] == "0"  # a zip code is text


def test_past_features_by_hand(source: Source) -> None:
    # Person 1 and film 12 at second 20: the film has no earlier rating, because person 2 rated it in the same second.
    row = row_of(source, 1, 12)
    assert (row["user_history_count"], row["item_past_count"]) == (2, 0)
    # Before second 20 there were three ratings, two of them clicks: the running rate is (2 + 1) / (3 + 2) = .6.
    assert row["item_past_rate"] == pytest.approx(0.6)
    # Person 1 clicked one of two: (1 + 5 * .6) / (2 + 5) = 4/7.
    assert row["user_past_rate"] == pytest.approx(4 / 7)
    # Neither Action nor Sci-Fi was rated before, so the person's own rate stands.
    assert row["user_genre_past_rate"] == pytest.approx(4 / 7)
    assert row["item_past_lift"] == 0
    # Person 2 and film 11 (Drama) at second 30: film 10 shares Drama and was clicked.
    row = row_of(source, 2, 11)
    own = row["user_past_rate"]
    assert row["user_genre_past_rate"] == pytest.approx((1 + 5 * own) / (1 + 5))
    # Film 11 was rated once, by person 1 at second 5 without a click. That person had clicked one of one, and everyone
    # one of one: the running rate was 2/3, the person's own (1 + 5 * 2/3) / 6 = 13/18, the lift (0 - 13/18) / (1 + 5).
    assert row["item_past_lift"] == pytest.approx(-13 / 18 / 6)


def test_histories_end_before_the_second_of_the_rating(source: Source) -> None:
    first, second = row_of(source, 3, 10), row_of(source, 3, 12)
    for name in ("clicks_item", "skips_item"):
        assert first[name] == second[name] == []
    assert first["last_rating"] is None
    row = row_of(source, 3, 11)
    assert sorted(row["clicks_item"] + row["skips_item"]) == [10, 12]  # of the same second
    assert row["skips_item"] == [12]
    # Person 1 rated film 10 with 5, film 11 with 2 and film 12 with 4: two clicks, and one that is none.
    row = row_of(source, 1, 13)
    assert row["clicks_item"] == [10, 12]
    assert row["clicks_genre"] == ["Comedy", "Action"]
    assert row["clicks_rating"] == [5, 4]
    assert row["clicks_time"] == [START, START + 20]
    assert (row["skips_item"], row["skips_genre"], row["skips_rating"]) == ([11], ["Drama"], [2])
    assert row["skips_time"] == [START + 5]
    assert row["last_rating"] == 4


def test_the_target_holds_only_what_describes_the_film(source: Source) -> None:
    sides = {feature.name: feature.side for feature in source.schema.features}
    sequences = [feature for feature in source.schema.features if isinstance(feature, Sequence)]
    assert [feature.name for feature in sequences] == ["clicks", "skips"]
    for sequence in sequences:
        assert [sides[c.target] for c in sequence.behaviour if c.target is not None] == ["ad", "ad"]


def test_new_people_are_marked(source: Source) -> None:
    assert set(source.table("train")["user_is_new"].to_pylist()) == {0}
    assert row_of(source, 1, 13)["user_is_new"] == 0
    assert row_of(source, 4, 10)["user_is_new"] == 1


def test_nothing_but_the_click_depends_on_the_rating_of_a_row(tmp_path: Path) -> None:
    before = rows_of(movielens.load(raw_dir=write_recbole(tmp_path / "before")))
    folder = write_recbole(tmp_path / "after")
    text = (folder / "ml-100k.inter").read_text()
    last = f"4\t10\t4\t{START + 3 * DAY}"
    assert last in text
    (folder / "ml-100k.inter").write_text(text.replace(last, last.replace("\t4\t", "\t1\t")))
    after = rows_of(movielens.load(raw_dir=folder))
    assert after[:-1] == before[:-1]
    assert (before[-1].pop("click"), after[-1].pop("click")) == (1, 0)
    assert after[-1] == before[-1]


def test_the_notice_names_the_licence(source: Source) -> None:
    assert "forbids redistribution" in source.notice


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ml-100k.inter", "1\t10\t5", "1\t99\t5", "rates with item 99"),
        ("ml-100k.inter", "1\t10\t5", "8\t10\t5", "rates with user 8"),
        ("ml-100k.inter", "1\t10\t5", "1\t10\tfive", "ml-100k.inter"),
        ("ml-100k.inter", "1\t10\t5", "1\t\t5", "line 12 has no item_id:token"),
        ("ml-100k.user", "24\tM", "\tM", "line 2 has no age:token"),
        ("ml-100k.item", "class:token_seq", "genres", "class:token_seq"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    folder = write_recbole(tmp_path / "raw")
    text = (folder / name).read_text(encoding="utf8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding="utf8")
    with pytest.raises(ValueError, match=message) as error:
        movielens.load(raw_dir=folder)
    assert name in str(error.value)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ml-100k\.inter or u\.data.*--raw_dir"):
        movielens.load(raw_dir=tmp_path)


class Pip:
    """Stands for `pip download`: counts its calls, and leaves a wheel or fails."""

    def __init__(self, *, wheel: dict[str, str] | None, error: str = "") -> None:
        self.calls: list[list[str]] = []
        self._wheel = wheel
        self._error = error

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.calls.append(command)
        if self._wheel is None:
            return subprocess.CompletedProcess(command, 1, "", self._error)
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "recbole-1.2.1-py3-none-any.whl", "w") as archive:
            for name, text in self._wheel.items():
                archive.writestr(recbole_wheel.FOLDER + name, text)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in recbole_texts().items()}
    monkeypatch.setattr(recbole_wheel, "DIGESTS", digests)
    return tmp_path / "cache" / "fullrank"


def test_it_is_fetched_once_and_then_found_in_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = Pip(wheel=recbole_texts())
    monkeypatch.setattr(subprocess, "run", pip)
    first, second = movielens.load(), movielens.load()
    assert len(pip.calls) == 1
    assert "recbole==1.2.1" in pip.calls[0]
    assert "--no-deps" in pip.calls[0]
    assert rows_of(first) == rows_of(second)
    assert sorted(path.name for path in (cache / "ml-100k").iterdir()) == sorted(recbole_texts())


@pytest.mark.parametrize(
    ("pip", "reason"),
    [
        (
            Pip(wheel=None, error="WARNING: x\nERROR: No matching distribution found for recbole==1.2.1\n"),
            "No matching",
        ),
        (Pip(wheel=None, error=""), "pip gave no reason"),
        (Pip(wheel={"ml-100k.inter": ""}), "does not hold"),
        (Pip(wheel=recbole_texts() | {"ml-100k.user": "changed"}), r"ml-100k\.user .* is not the file"),
    ],
)
def test_one_that_cannot_be_fetched_says_what_to_do(
    pip: Pip, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(recbole_wheel.UnreachableError, match=reason) as error:
        movielens.load()
    message = str(error.value)
    assert "--raw_dir=DIR" in message
    assert "--dataset=synthetic" in message
    assert "\n" not in message
    assert not cache.exists()


def test_a_pip_that_hangs_is_given_up(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(recbole_wheel.UnreachableError, match="did not answer within"):
        movielens.load()
    assert not cache.exists()


def test_the_real_set_has_the_published_size_and_rates() -> None:
    folder = recbole_wheel.cache_directory() / "ml-100k"
    if not (folder / "ml-100k.inter").is_file():
        pytest.skip("MovieLens 100K is not in the cache: run fullrank prepare --dataset=movielens once")
    source = movielens.load(raw_dir=folder)
    table = pa.concat_tables([source.table(name) for name in source.splits])
    assert [source.table(name).num_rows for name in source.splits] == [80_000, 10_000, 10_000]
    assert np.mean(table["click"].to_numpy()) == pytest.approx(0.55375)
    assert len(set(table["user_id"].to_pylist())) == 943
    assert len(set(table["item_id"].to_pylist())) == 1682
    assert np.mean(source.table("test")["user_is_new"].to_numpy()) == pytest.approx(0.858, abs=0.001)
