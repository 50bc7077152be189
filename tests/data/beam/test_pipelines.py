"""What the pipelines connect, their options and their errors, on a stand-in for Apache Beam within the process."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_beam
from ran_commands import ran

from fullrank.data import convert, infer
from fullrank.data.beam import convert as beam_convert
from fullrank.data.beam import pipelines
from fullrank.data.beam.flags import Runner
from fullrank.data.beam.pipelines import Pipelines
from fullrank.data.command.errors import UsageError

Convert = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, small_beam.PipelineOptions]]:
    """The runner and options of each pipeline."""
    return small_beam.install(monkeypatch)


@pytest.fixture
def converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Convert:
    """Converts a log of two files, whose rows take the items that the user clicked before, into a directory."""
    for part in range(2):
        lines = [f"{row % 5},item{row % 7},{row * row % 3 % 2},{row / 4},{1000 + row}" for row in range(part, 60, 2)]
        (tmp_path / f"log-{part}.csv").write_text("user,item,click,price,at\n" + "\n".join(lines) + "\n")
    given, schema = f"--input={tmp_path}/log-*.csv", tmp_path / "schema.json"
    past = ["--history=user:item", "--history_where=click", "--past=seen=count() by user, item"]
    code, _, err = ran(capsys, infer.run, given, "--label=click", "--time=at", *past, f"--output={schema}")
    assert code == 0, err

    def convert_to(output: str, *more: str) -> tuple[int, str, str]:
        flags = ("--split=time", "--shards=2", "--noprogress", f"--output={tmp_path / output}")
        return ran(capsys, convert.run, given, f"--schema={schema}", *flags, *more)

    return convert_to


def test_the_pipelines_write_what_the_local_conversion_writes(
    tmp_path: Path,
    converted: Convert,
    made: list[tuple[str, small_beam.PipelineOptions]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beam_convert, "GROUP_ROWS", 20)
    local = converted("local")
    beam = converted("beam", "--runner=Flink", "--beam_options=--flink_master=host:8081 --direct_num_workers=3")
    assert (local[0], beam[0]) == (0, 0), beam[2]
    assert beam[1].replace(str(tmp_path / "beam"), str(tmp_path / "local")) == local[1]
    names = sorted(str(file.relative_to(tmp_path / "local")) for file in (tmp_path / "local").rglob("*"))
    assert names == sorted(str(file.relative_to(tmp_path / "beam")) for file in (tmp_path / "beam").rglob("*"))
    files = [name for name in names if (tmp_path / "local" / name).is_file()]
    assert filecmp.cmpfiles(tmp_path / "local", tmp_path / "beam", files, shallow=False) == (files, [], [])
    # Reading, earlier rows, counting, writing: each with the runner's options, also those that only its server knows.
    assert [runner for runner, _ in made] == ["FlinkRunner"] * 4
    assert {**made[0][1].known, **made[0][1].rest} == {"direct_num_workers": 3, "flink_master": "host:8081"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Traceback\n  the disk is full [while running 'keep']\n\n"), "the disk is full [while running"),
        (MemoryError(), "MemoryError"),
    ],
    ids=["last line of a message", "no message"],
)
@pytest.mark.usefixtures("made")
def test_a_step_that_fails_is_one_line_with_what_was_going_on(
    tmp_path: Path, converted: Convert, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pipelines, "count_file", fail)
    code, _, err = converted("failed", "--runner=direct")
    assert code == 1
    assert f"--runner=direct failed while counting: {said}" in err
    assert "Traceback" not in err
    assert not (tmp_path / "failed").exists()


@pytest.mark.usefixtures("made")
def test_options_are_checked_as_far_as_they_can_be_known() -> None:
    with pytest.raises(UsageError, match=r"--beam_options=--paralelism is not an option of Apache Beam\."):
        Pipelines(Runner(name="direct", options=("--paralelism=8",)))
    with pytest.raises(UsageError, match=r"--direct_num_workers=many: argument .*: invalid int value: 'many'\."):
        Pipelines(Runner(name="spark", options=("--direct_num_workers=many",)))
    Pipelines(Runner(name="spark", options=("--paralelism=8",)))
