"""Reads MovieLens 100K in either of its usual layouts: GroupLens' own, or RecBole's atomic files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.sources.raw_files import find_file, read_delimited

GENRES: Final = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_YEAR_IN_TITLE: Final = re.compile(r"\((\d{4})\)\s*$")


class Ratings(NamedTuple):
    """`[n]` arrays, in the order of the file."""

    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    rating: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]


class Item(NamedTuple):
    """A film's genres, and the year in its title or `None`."""

    year: int | None
    genres: tuple[str, ...]


class User(NamedTuple):
    """A person's attributes."""

    age: int
    gender: str
    occupation: str
    zip_code: str


class Files(NamedTuple):
    """The three files of the data set."""

    ratings: Ratings
    items: dict[int, Item]
    users: dict[int, User]


def read_files(directory: Path) -> Files:
    """Reads whichever layout `directory` holds.

    Raises:
      FileNotFoundError: If it holds neither.
      ValueError: If a file is not what its name says, or a rating names an unknown user or item.
    """
    path = find_file(directory, "ml-100k.inter", "u.data", dataset="movielens")
    files = _recbole(directory) if path.name == "ml-100k.inter" else _grouplens(directory)
    for kind, ids, known in (("user", files.ratings.user, files.users), ("item", files.ratings.item, files.items)):
        strange = next((number for number in np.unique(ids) if number not in known), None)
        if strange is not None:
            raise ValueError(f"{path} rates with {kind} {strange}, which the {kind} file next to it does not describe.")
    return files


def _recbole(directory: Path) -> Files:
    def read(suffix: str, types: dict[str, pa.DataType]) -> Any:
        path = find_file(directory, f"ml-100k.{suffix}", dataset="movielens")
        required = [name for name in types if name not in ("release_year:token", "class:token_seq")]
        return _columns(read_delimited(path, types=types, delimiter="\t", required=required))

    number, text = pa.float64(), pa.string()
    user, item, rating, time = read(
        "inter", {"user_id:token": number, "item_id:token": number, "rating:float": number, "timestamp:float": number}
    )
    items = read("item", {"item_id:token": number, "release_year:token": text, "class:token_seq": text})
    names = ("user_id", "age", "gender", "occupation", "zip_code")
    users = read("user", {f"{name}:token": text if name in names[2:] else number for name in names})
    return Files(
        ratings=_ratings(user, item, rating, time),
        items={
            int(number): Item(year=int(year) if (year or "").isdigit() else None, genres=tuple((genres or "").split()))
            for number, year, genres in zip(*items, strict=True)
        },
        users=_users(users),
    )


def _grouplens(directory: Path) -> Files:
    def read(name: str, names: list[str], types: dict[str, pa.DataType], delimiter: str) -> Any:
        path = find_file(directory, name, dataset="movielens")
        required = [name for name in types if name != "title"]
        return _columns(
            read_delimited(path, types=types, delimiter=delimiter, names=names, encoding="latin1", required=required)
        )

    number, text = pa.float64(), pa.string()
    names = ["user_id", "item_id", "rating", "timestamp"]
    user, item, rating, time = read("u.data", names, dict.fromkeys(names, number), "\t")
    names = ["item_id", "title", "released", "released_on_video", "url", *GENRES]
    types = {"item_id": number, "title": text} | dict.fromkeys(GENRES, number)
    numbers, titles, *flags = read("u.item", names, types, "|")
    years = [_YEAR_IN_TITLE.search(title or "") for title in titles]
    names = ["user_id", "age", "gender", "occupation", "zip_code"]
    users = read("u.user", names, {name: text if name in names[2:] else number for name in names}, "|")
    return Files(
        ratings=_ratings(user, item, rating, time),
        items={
            int(number): Item(
                year=int(year.group(1)) if year else None,
                genres=tuple(genre for genre, flag in zip(GENRES, has, strict=True) if flag),
            )
            for number, year, *has in zip(numbers, years, *flags, strict=True)
        },
        users=_users(users),
    )


def _columns(table: pa.Table) -> list[list[Any]]:
    return [column.to_pylist() for column in table.columns]


def _ratings(user: list[float], item: list[float], rating: list[float], time: list[float]) -> Ratings:
    return Ratings(*(np.array(column, dtype=np.float64).astype(np.int64) for column in (user, item, rating, time)))


def _users(columns: list[list[Any]]) -> dict[int, User]:
    return {int(number): User(int(age), *rest) for number, age, *rest in zip(*columns, strict=True)}
