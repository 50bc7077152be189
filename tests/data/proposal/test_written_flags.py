"""Flags that infer proposes can be pasted into a shell, whatever the columns are called."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.data import infer
from fullrank.data.proposal.written_flags import in_expression, written_flag

_TIMES = [f"{1 + row % 28:02d}/01/2026 {row % 24:02d}:15:00" for row in range(300)]


@pytest.mark.parametrize("value", ["plain", "clicked at", "it's", 'say "it\'s"', "cost in $'", "a\\'b", "`'"])
def test_a_shell_reads_what_is_meant(value: str) -> None:
    shown = subprocess.run(["sh", "-c", f"printf %s {written_flag('time', value)}"], capture_output=True, check=True)
    assert shown.stdout.decode() == f"--time={value}"


def test_names_in_expressions() -> None:
    names = ["price", "time", "when", "Order", "seen at", 'a"b', "größe"]
    assert [in_expression(name) for name in names] == [
        "price", "time", '"when"', '"Order"', '"seen at"', '"a""b"', '"größe"',
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["when", "seen at", "user's", 'so "called"'])
def test_the_proposed_time_is_the_event_time(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.arange(300)
    pq.write_table(pa.table({"click": rows % 2, "item_id": rows % 7, name: _TIMES}), "log.parquet")
    command = ["infer", "--input=log.parquet", "--label=click", "--output=schema.json"]
    infer.run(command)
    (proposed,) = set(re.findall(r"(--column=.*) makes them the event time", capsys.readouterr().out))
    infer.run([*command, *shlex.split(proposed), "--overwrite"])
    assert data.read_schema(tmp_path / "schema.json").time == name
