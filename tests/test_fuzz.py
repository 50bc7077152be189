"""A few mutated records and schemas; `make fuzz` tries many more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fuzz_records
from mutations import mutated, mutated_json


@pytest.mark.parametrize("layout", fuzz_records.LAYOUTS)
def test_reader_and_search_agree_on_mutated_records(layout: str, tmp_path: Path) -> None:
    """In a process of its own: bytes that TensorFlow cannot bear must not end this one."""
    command = [sys.executable, fuzz_records.__file__, f"--layout={layout}", "--records=250", "--schemas=0"]
    done = subprocess.run([*command, f"--leave={tmp_path}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"250 records of layout {layout}: 0 faults" in done.stdout
    taken = int(done.stderr.split("the reader took ")[1].split()[0])
    assert 10 < taken < 240, "neither all nor none may be good, or the test says nothing"
    assert not list(tmp_path.iterdir())


def test_mutated_schemas_are_read_or_refused_in_one_line() -> None:
    assert list(fuzz_records.schema_faults(300, seed=1)) == []


def test_a_seed_gives_the_same_mutations() -> None:
    both = [fuzz_records.columns_of(3, random=np.random.default_rng(1))["item"].tolist() for _ in range(2)]
    assert both[0] == both[1]
    for change in (
        lambda r: mutated(b"\x0a\x02abcdef", b"other", random=r),
        lambda r: mutated_json({"a": [1]}, random=r),
    ):
        assert change(np.random.default_rng(5)) == change(np.random.default_rng(5))
