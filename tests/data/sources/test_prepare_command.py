"""The command: from a name to a directory of records, and one line for whatever goes wrong."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from fullrank import data
from fullrank.data import prepare
from fullrank.data.sources import synthetic
from fullrank.data.sources.synthetic_world import SyntheticConfig


def call(*arguments: str | Path) -> None:
    prepare.run(["prepare", *map(str, arguments)])


def failure(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> str:
    """The one line on standard error of a call that ends with exit code `code`."""
    with pytest.raises(SystemExit) as stopped:
        call(*arguments)
    assert stopped.value.code == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("prepared") / "records"
    call("--dataset=synthetic", "--rows=3000", "--seed=7", "--workers=1", "--noprogress", f"--output={output}")
    return output


def test_records_equal_what_was_drawn(records: Path) -> None:
    schema = data.read_schema(records)
    drawn = synthetic.load(config=SyntheticConfig(rows=3_000, seed=7))
    assert {split.name: split.examples for split in schema.splits} == {"train": 2_400, "validation": 300, "test": 300}
    batch = next(iter(data.read_records(schema, split="test", batch_size=300)))
    table = drawn.table("test")
    for name in ("user_id", "ad_id", "click", "true_click", "timestamp", "exposure_count", "creative"):
        assert batch[name].numpy().tolist() == table[name].to_pylist()
    history = [row[-20:] + [-1] * (20 - len(row)) for row in table["history_ad"].to_pylist()]
    assert batch["history_ad"].numpy().tolist() == history
    gap = np.array([np.nan if value is None else value for value in table["exposure_gap"].to_pylist()], np.float32)
    np.testing.assert_array_equal(batch["exposure_gap"].numpy(), gap)
    assert np.isnan(batch["user_vector"].numpy()).all(axis=1).sum() == table["user_vector"].null_count


def test_what_it_wrote_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--rows=200", "--workers=1", "--noprogress", "--layout=example", "--compression=gzip", "--shards=2")
    call("--dataset=synthetic", *options, f"--output={tmp_path / 'records'}")
    output = capsys.readouterr().out
    assert "Scores of the true probabilities" in output
    assert "train: 160 examples in 2 files" in output
    assert "gzip" in output
    schema = data.read_schema(tmp_path / "records")
    assert (schema.layout, schema.compression) == ("example", "GZIP")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records"]


def test_help_lists_every_set_and_flag(capsys: pytest.CaptureFixture[str]) -> None:
    call("--help")
    shown = capsys.readouterr().out
    for name in prepare.DATASETS:
        assert re.search(rf"^  {name} +\S", shown, re.MULTILINE)
    for flag in ("raw_dir", "layout", "compression", "shards", "seed", "rows"):
        assert f"--{flag}=" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--dataset=movie",), 2, "movielens|criteo"),
        ((), 2, "flag --dataset is required"),
        (
            ("--dataset=movielens", "--seed=3"),
            2,
            "--seed has no effect with --dataset=movielens, which takes --raw_dir.",
        ),
        (
            ("--dataset=synthetic", "--raw_dir=x"),
            2,
            "which takes --rows, --users, --ads, --latent, --affinity, --seed.",
        ),
        (("--dataset=synthetic", "--raw=x"), 2, "did you mean --raw_dir?"),
        (("--dataset=synthetic", "--rows=3"), 2, "rows"),
        (("--dataset=criteo",), 1, "criteo is not fetched: give --raw_dir=DIR with train.txt"),
        (("--dataset=obd", "--raw_dir=/nowhere/at/all"), 1, "is not a folder"),
        (("--dataset=census_income", "--raw_dir=.", "--tasks=rich"), 1, "Received: rich"),
    ],
)
def test_errors_are_one_line(
    arguments: tuple[str, ...], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "records"
    assert message in failure(capsys, code, *arguments, f"--output={output}")
    assert not any(tmp_path.iterdir())


def test_an_unreachable_set_points_to_the_synthetic_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        call("--dataset=movielens", f"--output={tmp_path / 'records'}")
    assert stopped.value.code == 1
    fetching, error = capsys.readouterr().err.splitlines()
    assert fetching.startswith("Fetching MovieLens 100K")
    assert error.startswith("error: movielens could not be fetched (")
    assert "--dataset=synthetic" in error
    assert not any(tmp_path.iterdir())


def test_an_existing_directory_is_kept(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (records / "schema.json").read_bytes()
    message = failure(capsys, 1, "--dataset=synthetic", "--rows=100", f"--output={records}")
    assert "exists already" in message
    assert (records / "schema.json").read_bytes() == before


def test_every_set_has_a_card() -> None:
    for name in prepare.DATASETS:
        card = importlib.import_module(f"fullrank.data.sources.{name}").__doc__ or ""
        for part in ("Origin", "Rows:", "Split:", "Leaks, decided"):
            assert part in card, f"{name} says nothing on {part}"
