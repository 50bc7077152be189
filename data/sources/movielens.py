"""MovieLens 100K as click prediction: will this user rate this film 4 or 5?

Origin: GroupLens Research, University of Minnesota (Harper and Konstan 2015, doi:10.1145/2827872), collected September
1997 to April 1998. Its licence forbids redistribution and commercial use without permission, so it is read from the
user's own copy, or fetched by the user's pip from the wheel of RecBole 1.2.1.

Rows: 100,000 ratings of 1,682 films by 943 people; 55.4 % are clicks (rating >= 4).

Split: global time order, stable sort by timestamp, 80/10/10. 86 % of the test rows are by people who have no rating in
train, so ids of people carry little; what people did earlier, and what others thought of the film, carry most.

Leaks, decided:

* Every history and every rate uses events of a strictly smaller timestamp only, never the row itself. Earlier events
count in whichever split they are, as they would for a server that scores requests one by one.
* The rating of the row itself is dropped. `last_rating` is the person's previous rating.
* Histories: `clicks` are films rated 4 or 5, as [Tencent] §3.1 looks at clicks; `skips` are those rated lower, in a
  sequence of their own, since a dislike is informative as well. Film and genre of a behaviour are compared
  with those of the row. The rating given describes the behaviour alone: the row's own is not known before. It shares
  the table of `last_rating`.
* `*_rate` is the share of clicks among earlier events, smoothed by 5 events of a prior (the running global rate; for
  genres the person's own). `item_past_lift` is the same for (click - the rater's own rate at that time): how much
  better a film did than its raters usually rate, because a film rated by lenient people looks better than it is.
* `user_id` and `item_id` keep every id of the training split. The row of unknown ids, which the many people who first
  appear in the test period get, is trained by `train --unknown_share`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.schema.features import BehaviourColumn, Feature, IdMap, Key, Label, Numeric, Sequence, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.movielens_files import Files, read_files
from fullrank.data.sources.past import along, latest, past_count, past_events, past_rate, past_sum
from fullrank.data.sources.recbole_wheel import movielens_directory
from fullrank.data.sources.source import Source, by_position, divided

NOTICE: Final = (
    "MovieLens 100K belongs to GroupLens Research, University of Minnesota. Its licence allows research use, asks for "
    "a citation (Harper and Konstan 2015, doi:10.1145/2827872), and forbids redistribution and, without permission, "
    "commercial use. The records written from it fall under it too: do not publish them."
)
LIKED: Final = 4
HISTORY: Final = 50
PRIOR_EVENTS: Final = 5.0


def load(*, raw_dir: Path | None = None) -> Source:
    """Reads MovieLens 100K.

    Args:
      raw_dir: Folder with `u.data`, `u.item` and `u.user`, or with RecBole's `ml-100k.inter`, `.item` and `.user`;
        `None` to take them from the cache or to fetch them.

    Raises:
      UnreachableError: If it has to be fetched and cannot be.
      FileNotFoundError: If `raw_dir` holds neither layout.
      ValueError: If a file is malformed.
    """
    table = _rows(read_files(raw_dir if raw_dir is not None else movielens_directory()))
    splits = by_position(table.num_rows)
    users = table["user_id"].to_numpy()
    known = np.isin(users, users[splits["train"]])
    table = table.append_column("user_is_new", pa.array((~known).astype(np.int64)))
    return Source(
        schema=_schema(),
        splits=divided(table, splits),
        notice=NOTICE,
    )


def _schema() -> Schema:
    features: tuple[Feature, ...] = (
        Sparse(name="user_id", side="user", ids=IdMap()),
        Numeric(name="age", side="user"),
        Sparse(name="gender", side="user", dtype="bytes"),
        Sparse(name="occupation", side="user", dtype="bytes"),
        Sparse(name="zip_region", side="user", dtype="bytes"),
        Sparse(name="last_rating", side="user", ids=IdMap(kind="identity", size=6)),
        Numeric(name="user_history_count", side="user"),
        Numeric(name="user_past_rate", side="user"),
        Sparse(name="item_id", side="ad", ids=IdMap()),
        Numeric(name="release_year", side="ad"),
        Sparse(name="genres", side="ad", dtype="bytes", max_values=6),
        Numeric(name="item_past_count", side="ad"),
        Numeric(name="item_past_rate", side="ad"),
        Numeric(name="item_past_lift", side="ad"),
        Numeric(name="user_genre_past_rate", side="context"),
        Sparse(name="hour", side="context", ids=IdMap(kind="identity", size=24)),
        Sparse(name="weekday", side="context", ids=IdMap(kind="identity", size=7)),
        *(
            Sequence(
                name=name,
                behaviour=(
                    BehaviourColumn(name=f"{name}_item", table="item_id", target="item_id"),
                    BehaviourColumn(name=f"{name}_genre", table="genres", target="genres"),
                    BehaviourColumn(name=f"{name}_rating", table="last_rating"),
                ),
                times=f"{name}_time",
                max_length=HISTORY,
            )
            for name in ("clicks", "skips")
        ),
    )
    return Schema(
        name="movielens",
        features=features,
        labels=(Label(name="click"),),
        keys=(Key(name="user_id"),),
        segments=(Key(name="gender", dtype="bytes"), Key(name="user_is_new")),
        time="timestamp",
        time_unit="s",
    )


def _rows(files: Files) -> pa.Table:
    order = np.argsort(files.ratings.time, kind="stable")
    user, item, rating, time = (column[order] for column in files.ratings)
    people = [files.users[number] for number in user.tolist()]
    films = [files.items[number] for number in item.tolist()]
    click = (rating >= LIKED).astype(np.float64)
    first_genre = pa.array([film.genres[0] if film.genres else None for film in films])
    columns = {"item": item, "genre": first_genre, "rating": rating, "time": time}
    histories: dict[str, pa.Array] = {}
    for name, where in (("clicks", click == 1), ("skips", click == 0)):
        history = past_events(key=user, time=time, most=HISTORY, where=where)
        histories.update({f"{name}_{column}": along(history, values) for column, values in columns.items()})
    return pa.table(
        {
            "user_id": user,
            "age": pa.array([person.age for person in people], pa.float32()),
            "gender": pa.array([person.gender for person in people]),
            "occupation": pa.array([person.occupation for person in people]),
            # The first character of a US zip code is a region; that of a Canadian one a province.
            "zip_region": pa.array([person.zip_code[:1] for person in people]),
            "last_rating": latest(past_events(key=user, time=time, most=1), rating),
            "item_id": item,
            "release_year": pa.array([film.year for film in films], pa.float32()),
            "genres": pa.array([list(film.genres) for film in films], pa.list_(pa.string())),
            "hour": time // 3600 % 24,
            "weekday": (time // 86400 + 3) % 7,  # 1970-01-01 was a Thursday; Monday is 0
            **histories,
            **{name: values.astype(np.float32) for name, values in _past(user, item, time, click, files).items()},
            "click": click.astype(np.float32),
            "timestamp": time,
        }
    )


def _past(
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    time: npt.NDArray[np.int64],
    click: npt.NDArray[np.float64],
    files: Files,
) -> dict[str, npt.NDArray[Any]]:
    everyone = np.zeros_like(user)
    overall = past_rate(key=everyone, time=time, value=click, prior=0.5, strength=2.0)
    own = past_rate(key=user, time=time, value=click, prior=overall, strength=PRIOR_EVENTS)
    lift = past_rate(key=item, time=time, value=click - own, prior=0.0, strength=PRIOR_EVENTS)
    return {
        "user_history_count": past_count(key=user, time=time),
        "user_past_rate": own,
        "item_past_count": past_count(key=item, time=time),
        "item_past_rate": past_rate(key=item, time=time, value=click, prior=overall, strength=PRIOR_EVENTS),
        "item_past_lift": lift,
        "user_genre_past_rate": _genre_rate(user, item, time, click, own, files),
    }


def _genre_rate(
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    time: npt.NDArray[np.int64],
    click: npt.NDArray[np.float64],
    own: npt.NDArray[np.float64],
    files: Files,
) -> npt.NDArray[np.float64]:
    """The person's rate over the film's genres, each earlier film counted once for every genre it shares."""
    names = sorted({genre for film in files.items.values() for genre in film.genres})
    number = {genre: k for k, genre in enumerate(names)}
    of_row = [[number[genre] for genre in files.items[k].genres] for k in item.tolist()]
    row = np.repeat(np.arange(len(user)), [len(genres) for genres in of_row])
    pair = user[row] * len(names) + np.array([k for genres in of_row for k in genres], dtype=np.int64)
    rated = past_count(key=pair, time=time[row])
    clicked = past_sum(key=pair, time=time[row], value=click[row])
    total = np.bincount(row, weights=rated, minlength=len(user))
    liked = np.bincount(row, weights=clicked, minlength=len(user))
    return (liked + PRIOR_EVENTS * own) / (total + PRIOR_EVENTS)
