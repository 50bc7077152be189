"""From raw files to a served model by commands alone: MovieLens as GroupLens ships it, KuaiRand, Criteo's form."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullrank import data
from fullrank.data import convert, infer, prepare
from fullrank.data.sources.movielens_files import read_files
from fullrank.data.sources.recbole_wheel import DIGESTS, cache_directory
from fullrank.trainers import evaluate, export, request, train

TRAINING = ["--epochs=1", "--batch_size=1024", "--seed=0", "--progress=none"]


def movielens(real_data: Path) -> Path:
    """The folder of MovieLens 100K, or a skip that says how to get it."""
    for folder in (real_data / "ml-100k", cache_directory() / "ml-100k"):
        if (folder / "u.data").is_file() or all((folder / name).is_file() for name in DIGESTS):
            return folder
    pytest.skip(f"MovieLens 100K is neither in {real_data}/ml-100k nor in the cache of prepare --dataset=movielens")


def write_grouplens(raw: Path, directory: Path) -> None:
    """Writes `ratings.csv`, by person and film, and `movies.csv` as GroupLens ships its larger sets."""
    files = read_files(raw)
    order = np.lexsort((files.ratings.item, files.ratings.user))
    with open(directory / "ratings.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["userId", "movieId", "rating", "timestamp"])
        user, item, rating, time = (column[order].tolist() for column in files.ratings)
        writer.writerows(zip(user, item, map(float, rating), time, strict=True))
    with open(directory / "movies.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["movieId", "title", "genres"])
        for number, film in files.items.items():
            writer.writerow([number, f"Film, {number} ({film.year})", "|".join(film.genres) or "(no genres listed)"])


def metrics_of(run: Path, task: str) -> dict[str, float]:
    """The metrics of a task over the whole test split."""
    evaluate.run(["evaluate", f"--run={run}", f"--json={run}.json"])
    found: dict[str, float] = json.loads(Path(f"{run}.json").read_text())[task]
    return found


def sorted_columns(records: Path, names: list[str]) -> list[np.ndarray[Any, Any]]:
    """Columns of the test split, ordered by the first two of them."""
    batches = list(data.read_records(records, split="test", batch_size=4096))
    columns = [np.concatenate([batch[name].numpy() for batch in batches]) for name in names]
    order = np.lexsort((columns[1], columns[0]))
    return [column[order] for column in columns]


def answered(exported: Path, instance: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """What an export answers to a request of one row."""
    asked = exported.parent / "request.json"
    asked.write_text(json.dumps({"instances": [instance]}))
    capsys.readouterr()
    request.run(["request", f"--export={exported}", f"--json={asked}"])
    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    answer: dict[str, float] = prediction if isinstance(prediction, dict) else {"only": prediction}
    return answer


@pytest.mark.slow
def test_movielens_in_five_commands(tmp_path: Path, real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = movielens(real_data)
    write_grouplens(raw, tmp_path)
    table, join = f"--input={tmp_path}/ratings.csv", [f"--join={tmp_path}/movies.csv", "--on=movieId"]
    asked = ["--label=click=rating>=4", "--column=hour=hour(timestamp)"]
    asked += ["--history=userId:movieId", "--history_where=click"]
    asked += ["--past=user_rate=mean(click, 5) by userId", "--past=user_count=count() by userId"]
    asked += ["--past=movie_rate=mean(click, 5) by movieId", "--past=movie_count=count() by movieId"]
    asked += ["--past=last_rating=last(rating) by userId"]
    infer.run(["infer", table, *join, *asked, f"--output={tmp_path}/schema.json"])
    assert "'click' is computed from it" in capsys.readouterr().out
    convert.run(["convert", table, *join, f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records"])
    train.run(["train", f"--data={tmp_path}/records", f"--output={tmp_path}/run", *TRAINING])
    export.run(["export", f"--run={tmp_path}/run", f"--output={tmp_path}/serving"])
    instance = {
        **{"userId": 1, "movieId": 50, "title": "Film, 50 (1977)", "genres": ["Action", "Sci-Fi"], "hour": 20},
        **{"history_movieId": [172, 181], "history_time": [889751000, 889751600], "timestamp": 889751712},
        **{"user_rate": 0.6, "user_count": 20, "movie_rate": 0.9, "movie_count": 300, "last_rating": 4},
    }
    (liked,) = answered(tmp_path / "serving", instance, capsys).values()
    (disliked,) = answered(tmp_path / "serving", {**instance, "movie_rate": 0.1, "user_rate": 0.2}, capsys).values()
    assert 0 < disliked < liked < 1

    # The same flags on the records of `prepare`, which also know people's age and gender, rates by genre and more.
    folder = f"--raw_dir={raw}"
    prepare.run(["prepare", "--dataset=movielens", folder, f"--output={tmp_path}/prepared", "--noprogress"])
    train.run(["train", f"--data={tmp_path}/prepared", f"--output={tmp_path}/reference", *TRAINING])
    own, reference = metrics_of(tmp_path / "run", "click"), metrics_of(tmp_path / "reference", "click")
    print({name: (own[name], reference[name]) for name in ("auc", "ne")})
    # The rates that both have are the same, bit for bit.
    names = {"userId": "user_id", "movieId": "item_id", "user_rate": "user_past_rate", "movie_rate": "item_past_rate"}
    names |= {"user_count": "user_history_count", "movie_count": "item_past_count"}
    ours, theirs = (
        sorted_columns(tmp_path / "records", [*names]),
        sorted_columns(tmp_path / "prepared", [*names.values()]),
    )
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert own["examples"] == reference["examples"] == 10_000
    assert own["auc"] > reference["auc"] - 0.015
    assert own["ne"] < reference["ne"] + 0.02


@pytest.mark.slow
def test_raw_kuairand(tmp_path: Path, real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = real_data / "kuairand_explicit" / "kuairand27k_explicit.tsv"
    if not raw.is_file():
        pytest.skip(f"there is no {raw}")
    asked = ["--label=is_click,long_view", "--column=hour=hourmin//100"]
    # What happens after the impression, and what only names the time once more.
    asked += ["--ignore=label,is_follow,is_comment,is_forward,is_profile_enter,comment_stay_time,date,hourmin"]
    asked += ["--history=clicks=user_id:video_id", "--history_where=is_click"]
    asked += ["--history=seen=user_id:video_id", "--history_where=", "--history_length=20"]
    asked += ["--past=clicked=mean(is_click, 5) by user_id", "--past=viewed=mean(long_view, 5) by user_id"]
    infer.run(["infer", f"--input={raw}", *asked, f"--output={tmp_path}/schema.json"])
    said = capsys.readouterr().out
    assert "play_time_ms: alone it predicts 'is_click'" in said
    assert "Taken from earlier rows: clicks_video_id, clicks_time, seen_video_id, seen_time, clicked, viewed." in said
    convert.run(["convert", f"--input={raw}", f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records"])
    schema = data.read_schema(tmp_path / "records")
    assert [f.name for f in schema.features] == (
        ["user_id", "video_id", "duration_ms", "hour", "clicks", "seen", "clicked", "viewed"]
    )
    train.run(
        ["train", f"--data={tmp_path}/records", f"--output={tmp_path}/run", *TRAINING, "--tasks=is_click,long_view"]
    )
    click = metrics_of(tmp_path / "run", "is_click")
    print(click)
    assert click["auc"] > 0.68
    assert click["ne"] < 1
    export.run(["export", f"--run={tmp_path}/run", f"--output={tmp_path}/serving"])
    instance: dict[str, Any] = {
        "user_id": 111,
        "video_id": 3892024,
        "duration_ms": 45916,
        "hour": 17,
        "time_ms": 1649581149287,
    }
    instance |= {f"{name}_{what}": [] for name in ("clicks", "seen") for what in ("video_id", "time")}
    answer = answered(tmp_path / "serving", {**instance, "clicked": 0.6, "viewed": 0.4}, capsys)
    assert list(answer) == ["is_click", "long_view"]
    assert all(0 < value < 1 for value in answer.values())


def write_criteo(file: Path, rows: int) -> None:
    """Writes a click, 13 counts and 26 hexadecimal ids per line, separated by tabs, without names; some are empty."""
    draw = np.random.default_rng(0)
    counts = np.floor(draw.pareto(1.0, (rows, 13))).astype(int)
    counts[:, 1] -= 3  # the second goes down to -3, as in the original
    ids = np.minimum(np.floor(draw.pareto(0.7, (rows, 26))), np.arange(26) * 40 + 10).astype(int)
    logit = -1.2 + 0.5 * np.log1p(counts[:, 0]) + draw.normal(size=(26, 1100))[np.arange(26), ids][:, :6].sum(1) * 0.7
    click = draw.uniform(size=rows) < 1 / (1 + np.exp(-logit))
    empty = draw.uniform(size=(rows, 39)) < 0.1
    with open(file, "w", encoding="utf-8") as out:
        for row in range(rows):
            cells = [str(count) for count in counts[row]]
            cells += [f"{(int(k) * 2654435761 + place * 977) % 2**32:08x}" for place, k in enumerate(ids[row])]
            shown = ["" if gone else cell for gone, cell in zip(empty[row], cells, strict=True)]
            out.write("\t".join([str(int(click[row])), *shown]) + "\n")


@pytest.mark.slow
def test_criteo_without_a_line_of_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_criteo(tmp_path / "day_0.tsv", 12_000)
    table = [f"--input={tmp_path}/day_0.tsv", "--header=label,I1..I13,C1..C26"]
    infer.run(["infer", *table, "--label=label", f"--output={tmp_path}/schema.json"])
    schema = data.read_schema(tmp_path / "schema.json")
    assert [(f.name, f.kind) for f in schema.features] == (
        [(f"I{k}", "numeric") for k in range(1, 14)] + [(f"C{k}", "sparse") for k in range(1, 27)]
    )
    convert.run(["convert", *table, f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records", "--seed=1"])
    train.run(["train", f"--data={tmp_path}/records", f"--output={tmp_path}/run", *TRAINING, "--learning_rate=0.01"])
    found = metrics_of(tmp_path / "run", "label")
    print(found)
    assert found["auc"] > 0.65
    export.run(["export", f"--run={tmp_path}/run", f"--output={tmp_path}/serving"])
    instance: dict[str, Any] = {f"I{k}": k for k in range(1, 14)} | {f"C{k}": "" for k in range(1, 27)}
    (probability,) = answered(tmp_path / "serving", {**instance, "C1": "9e3779b1"}, capsys).values()
    assert 0 < probability < 1
