"""Killed at any file operation and started again, online training trains on every row once with the same weight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import kills
from fullrank.data.events.event_files import start_stream
from fullrank.trainers.streaming.online_state import TRACE
from kafka_topics import end, mock_cluster, send
from online_streams import SCHEMA, SMALL, stream_columns, write_stream

FLAGS = (*SMALL, "--trace", "--checkpoint_steps=3", "--log_steps=4", "--late=es_dfm", "--wait=rule", "--dropout=0.1")
IMPORTS = ("fullrank.trainers.streaming.online_run",)


def rows(file: Path) -> np.ndarray:
    found = np.fromfile(file, TRACE)
    return found[np.lexsort((found["role"], found["id"]))]


def same_rows(found: Iterator[dict[str, object]], work: Path) -> None:
    """Compares what was trained on after each kill with the uninterrupted run."""
    next(found)
    file = work.with_name("killed") / "run" / "trained.bin"
    expected = rows(file)
    assert len(expected) > 2000
    for line in found:
        kills.check(line)
        trained = rows(file)
        for name in ("id", "role"):
            np.testing.assert_array_equal(trained[name], expected[name], err_msg=str(line["killed_at"]))
        np.testing.assert_allclose(trained["weight"], expected["weight"], rtol=1e-4, err_msg=str(line["killed_at"]))


@pytest.mark.slow
def test_killed_while_reading_a_directory(tmp_path: Path) -> None:
    work = tmp_path / "work"
    write_stream(work / "events", clicks=2000)
    found = kills.kills(
        kills.build_shim(tmp_path), work, "--source=events", "--output=run", *FLAGS,
        module="fullrank.trainers.online", imports=IMPORTS, sample=6,
    )  # fmt: skip
    same_rows(found, work)


@pytest.mark.slow
def test_killed_while_reading_a_topic(tmp_path: Path) -> None:
    work = tmp_path / "work"
    start_stream(work / "described", schema=SCHEMA)
    with mock_cluster() as (producer, servers):
        send(producer, "clicks", stream_columns(clicks=2000), partitions=4)
        end(producer, "clicks", partitions=4)
        found = kills.kills(
            kills.build_shim(tmp_path), work, f"--source=kafka://{servers}/clicks", "--schema=described",
            "--output=run", *FLAGS, module="fullrank.trainers.online", imports=IMPORTS, sample=6,
        )  # fmt: skip
        same_rows(found, work)
