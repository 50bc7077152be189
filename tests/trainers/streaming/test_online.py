"""The command: it trains, resumes, starts from a run, follows a stream, and refuses what cannot be."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fullrank.data.events.event_files import END, end_stream
from fullrank.trainers import online
from fullrank.trainers.streaming.online_state import TRACE
from fullrank.trainers.streaming.training_rows import LATE, ROLES
from fullrank.trainers.training.load_run import load_run
from kafka_topics import end, mock_cluster, send
from online_streams import SMALL, stream_columns, write_stream


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stream(tmp_path_factory.mktemp("stream") / "events", clicks=3000)


def go(source: Path, output: Path, *flags: str) -> dict[str, object]:
    online.run(["online", f"--source={source}", f"--output={output}", *SMALL, *flags])
    file = output / "result.json"
    result: dict[str, object] = json.loads(file.read_text()) if file.exists() else {}
    return result


def trained(output: Path) -> np.ndarray:
    return np.fromfile(output / "trained.bin", TRACE)


def test_a_stream_is_trained_on_and_a_finished_run_stays(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = go(stream, tmp_path / "run", "--late=es_dfm", "--trace", "--log_steps=5", "--tensorboard")
    counters, metrics = result["counters"], result["metrics"]
    assert isinstance(counters, dict)
    assert isinstance(metrics, dict)
    assert counters["clicks"] == 3000
    rows = trained(tmp_path / "run")
    pairs = list(zip(rows["id"].tolist(), rows["role"].tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert np.isin(np.arange(3000), rows["id"]).all()
    assert (rows["role"] == LATE).sum() == counters["late"]
    assert set(rows["role"].tolist()) <= set(range(len(ROLES)))
    assert 0.5 < metrics["all"]["bias"] < 1.5
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == result["steps"] // 5  # type: ignore[operator]
    assert list((tmp_path / "run" / "events").iterdir())
    assert len(json.loads((tmp_path / "run" / "windows.json").read_text())) >= 8
    go(stream, tmp_path / "run", "--late=es_dfm", "--trace", "--report")
    assert "is finished. Give --overwrite" in capsys.readouterr().out
    page = (tmp_path / "run" / "report" / "online.md").read_text()
    assert re.search(r"\| clicks +\| 3,000 +\|", page)
    for name in ("bias", "quality", "waits", "decisions"):
        assert f"({name}.png)" in page
        assert (tmp_path / "run" / "report" / f"{name}.png").stat().st_size > 5000
    with pytest.raises(SystemExit):
        go(stream, tmp_path / "run", "--late=naive", "--trace")
    assert "--late=es_dfm, not naive" in capsys.readouterr().err


def test_a_stream_that_grows_is_continued_with_equal_results(tmp_path: Path) -> None:
    whole = write_stream(tmp_path / "whole", clicks=1500)
    go(whole, tmp_path / "once", "--trace", "--late=dfm", "--wait=fixed")
    parts = write_stream(tmp_path / "parts", clicks=1500)
    (parts / END).unlink()
    away = [file.rename(file.with_suffix(".later")) for file in sorted(parts.glob("events-*"))[2:]]
    assert go(parts, tmp_path / "twice", "--trace", "--late=dfm", "--wait=fixed") == {}
    for file in away:
        file.rename(file.with_suffix(".tfrecord"))
    end_stream(parts)
    assert go(parts, tmp_path / "twice", "--trace", "--late=dfm", "--wait=fixed")["ended"]
    once, twice = trained(tmp_path / "once"), trained(tmp_path / "twice")
    for name in ("step", "id", "role"):
        np.testing.assert_array_equal(once[name], twice[name])
    np.testing.assert_allclose(once["weight"], twice["weight"], rtol=1e-4)


def test_a_stream_is_followed_until_it_ends(tmp_path: Path) -> None:
    source = write_stream(tmp_path / "events", clicks=600, end=False)

    def end() -> None:
        time.sleep(1.5)
        end_stream(source)

    writer = threading.Thread(target=end)
    writer.start()
    try:
        assert go(source, tmp_path / "run", "--follow", "--poll_seconds=0.1", "--late=naive")["ended"]
    finally:
        writer.join()


@pytest.mark.slow
def test_it_starts_from_a_run_and_exports_versions(stream: Path, tmp_path: Path) -> None:
    go(stream, tmp_path / "first", "--late=naive")
    flags = (
        "--late=naive",
        "--overwrite",
        f"--start={tmp_path / 'first'}",
        f"--export={tmp_path / 'serving'}",
        "--export_steps=8",
    )
    result = go(stream, tmp_path / "second", *flags, "--keep=2")
    versions = sorted(int(path.name) for path in (tmp_path / "serving").iterdir())
    assert versions == [int(result["steps"]) // 8 - 1, int(result["steps"]) // 8]  # type: ignore[call-overload]
    assert (tmp_path / "serving" / str(versions[-1]) / "saved_model.pb").is_file()
    again, before = (json.loads((tmp_path / run / "result.json").read_text()) for run in ("second", "first"))
    # Nearly all conversions are late and `naive` never learns them, so a run predicts lower and lower: the second
    # begins where the first ended.
    assert again["metrics"]["all"]["bias"] < 0.5 * before["metrics"]["all"]["bias"]


def test_a_topic_is_trained_on_as_a_directory_is(tmp_path: Path) -> None:
    flags = ("--trace", "--late=fnc", "--wait=none")
    source = write_stream(tmp_path / "events", clicks=600, files=1)
    go(source, tmp_path / "of_files", *flags)
    with mock_cluster() as (producer, servers):
        send(producer, "clicks", stream_columns(clicks=600), partitions=1, rows=1000)
        end(producer, "clicks", partitions=4)
        address = f"--source=kafka://{servers}/clicks"
        online.run(["online", address, f"--schema={source}", f"--output={tmp_path / 'of_topic'}", *SMALL, *flags])
        with pytest.raises(SystemExit):
            online.run(["online", address, f"--output={tmp_path / 'none'}", *SMALL, *flags])
    files, topic = trained(tmp_path / "of_files"), trained(tmp_path / "of_topic")
    for name in ("step", "id", "role"):
        np.testing.assert_array_equal(files[name], topic[name])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--late=fnw",), "give --wait=none"),
        (("--late=oracle",), "knows all labels"),
        (("--late=dfm", "--wait=none"), "does not wait"),
        (("--wait=fixed", "--wait_hours=48"), "not below --attribution_hours=48"),
        (("--keys=nobody",), "'nobody' is not a column"),
        (("--head=gp",), "--head=gp is not trained online"),
        (("--schedule=cosine",), "leave out --schedule"),
        (("--tasks=buy,visit",), "one task"),
    ],
)
def test_what_cannot_be_is_refused(
    stream: Path, tmp_path: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        go(stream, tmp_path / "run", *flags)
    assert message in capsys.readouterr().err


def test_a_run_is_loaded_like_any_other(stream: Path, tmp_path: Path) -> None:
    go(stream, tmp_path / "run", "--late=naive", "--wait=none")
    loaded = load_run(tmp_path / "run")
    batch = {name: np.array([0, 1]) for name in ("ad", "advertiser", "user")}
    assert loaded.model(batch)["buy"].shape == (2,)
