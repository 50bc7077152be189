"""KuaiRand-27K, the part with an explicit like or hate: seven feedbacks on short videos, with millisecond times.

Origin: Kuaishou, KuaiRand (Gao et al. 2022, doi:10.1145/3511808.3557624), CC BY-SA 4.0; the part was cut by
alessandrosocc/predict_explicit_negative_feedback_kuairand from the standard log of 8 to 21 April 2022 (users with both
a like and a hate, 15-core on the likes).

Rows: 41,828 impressions, 664 users, 9,359 videos. `click` 65.7 %, `long_view` 46.2 %, `like` (1 like, 0 hate) 80.7 %,
`profile_enter` 5.3 %, `comment` 3.0 %, `forward` .78 %, `follow` .73 %. The rows are those somebody reacted to, so none
of the rates is that of the feed.

Split: global time order, stable sort by millisecond, 80/10/10. 63 % of the test rows show a video that train does not.

Leaks, decided:

* Play time and the time spent in the comments are outcomes, and dropped; the video's duration is known before, and 0
  stands for an unknown one.
* Histories and rates include only events of a strictly smaller millisecond, in whichever split those are. A rate is
  smoothed by 5 events of a prior: the running global rate.
* There are rates per person but none per video. A video is here only if it was hated, or liked 15 times over the whole
  log, so one that nobody has seen yet is almost surely a hated one: its count alone predicts `like` with an AUC above
  .99, which is knowledge of the future and not of taste.
* Histories: `clicks` are videos that were clicked, `likes` those that were liked, the rarer and later response. A video
  that was clicked may be one that was hated, so each click comes with the response to it, click + 2 long_view + 4 like,
  which describes the behaviour alone and shares the table of `last_response`, the person's previous one.
* The two id columns keep every id of the training split; the row of unknown ids is trained by `train --unknown_share`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.schema.features import BehaviourColumn, Feature, IdMap, Key, Label, Numeric, Sequence, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.past import along, latest, past_count, past_events, past_rate
from fullrank.data.sources.raw_files import find_file, read_delimited, required
from fullrank.data.sources.source import Source, by_position, divided

NOTICE: Final = (
    "KuaiRand is under CC BY-SA 4.0 (cite Gao et al. 2022). Only impressions with an explicit like or hate are in this "
    "part: its rates are not those of the feed."
)
FILE: Final = "kuairand27k_explicit.tsv"
LABELS: Final = {
    "click": "is_click",
    "long_view": "long_view",
    "like": "label",
    "profile_enter": "is_profile_enter",
    "comment": "is_comment",
    "forward": "is_forward",
    "follow": "is_follow",
}
RATED: Final = ("click", "long_view", "like")
HISTORY: Final = 50
PRIOR_EVENTS: Final = 5.0


def load(*, raw_dir: Path | None) -> Source:
    """Reads the explicit-feedback part of KuaiRand-27K.

    Args:
      raw_dir: Folder with `kuairand27k_explicit.tsv`, or with the file under its first name,
        `processed_standard_kcore_15.csv`; both are separated by tabs.

    Raises:
      ValueError: If no folder was given or the file is malformed.
      FileNotFoundError: If the folder does not hold the file.
    """
    directory = required(raw_dir, dataset="kuairand", holds=FILE)
    path = find_file(directory, FILE, "processed_standard_kcore_15.csv", dataset="kuairand")
    names = ("user_id", "video_id", "hourmin", "time_ms", "duration_ms", *LABELS.values())
    raw = read_delimited(path, types=dict.fromkeys(names, pa.int64()), delimiter="\t", required=names)
    column = {name: raw[name].to_numpy() for name in names}
    order = np.argsort(column["time_ms"], kind="stable")
    table = _rows({name: values[order] for name, values in column.items()})
    splits = by_position(table.num_rows)
    for side in ("user", "video"):
        ids = table[f"{side}_id"].to_numpy()
        new = ~np.isin(ids, ids[splits["train"]])
        table = table.append_column(f"{side}_is_new", pa.array(new.astype(np.int64)))
    return Source(schema=_schema(), splits=divided(table, splits), notice=NOTICE)


def _schema() -> Schema:
    features: list[Feature] = [
        Sparse(name="user_id", side="user", ids=IdMap()),
        Sparse(name="last_response", side="user", ids=IdMap(kind="identity", size=8)),
        Numeric(name="user_history_count", side="user"),
        *(Numeric(name=f"user_past_{name}", side="user") for name in RATED),
        Sparse(name="video_id", side="ad", ids=IdMap()),
        Numeric(name="duration_ms", side="ad"),
        Sparse(name="hour", side="context", ids=IdMap(kind="identity", size=24)),
        Sparse(name="weekday", side="context", ids=IdMap(kind="identity", size=7)),
        Sequence(
            name="clicks",
            behaviour=(
                BehaviourColumn(name="clicks_video", table="video_id", target="video_id"),
                BehaviourColumn(name="clicks_response", table="last_response"),
            ),
            times="clicks_time",
            max_length=HISTORY,
        ),
        Sequence(
            name="likes",
            behaviour=(BehaviourColumn(name="likes_video", table="video_id", target="video_id"),),
            times="likes_time",
            max_length=HISTORY,
        ),
    ]
    return Schema(
        name="kuairand",
        features=tuple(features),
        labels=tuple(Label(name=name) for name in LABELS),
        keys=(Key(name="user_id"),),
        segments=(Key(name="video_is_new"), Key(name="user_is_new")),
        time="time_ms",
        time_unit="ms",
    )


def _rows(column: dict[str, npt.NDArray[np.int64]]) -> pa.Table:
    user, video, time = column["user_id"], column["video_id"], column["time_ms"]
    label = {name: column[raw].astype(np.float64) for name, raw in LABELS.items()}
    response = column["is_click"] + 2 * column["long_view"] + 4 * column["label"]
    columns = {"video": video, "response": response, "time": time}
    histories: dict[str, pa.Array] = {}
    for name, label_of, kept in (("clicks", "click", columns), ("likes", "like", {"video": video, "time": time})):
        past = past_events(key=user, time=time, most=HISTORY, where=label[label_of] == 1)
        histories.update({f"{name}_{each}": along(past, values) for each, values in kept.items()})
    rates: dict[str, npt.NDArray[Any]] = {}
    for name in RATED:
        value = label[name]
        overall = past_rate(key=np.zeros_like(user), time=time, value=value, prior=0.5, strength=2.0)
        rate = past_rate(key=user, time=time, value=value, prior=overall, strength=PRIOR_EVENTS)
        rates[f"user_past_{name}"] = rate.astype(np.float32)
    return pa.table(
        {
            "user_id": user,
            "last_response": latest(past_events(key=user, time=time, most=1), response),
            "user_history_count": past_count(key=user, time=time).astype(np.float32),
            "video_id": video,
            "duration_ms": pa.array(column["duration_ms"].astype(np.float32), mask=column["duration_ms"] <= 0),
            **rates,
            "hour": column["hourmin"] // 100 % 24,
            # The hours are those of China, eight ahead of UTC; 1970-01-01 was a Thursday; Monday is 0.
            "weekday": ((time // 3_600_000 + 8) // 24 + 3) % 7,
            **histories,
            **{name: values.astype(np.float32) for name, values in label.items()},
            "time_ms": time,
        }
    )
