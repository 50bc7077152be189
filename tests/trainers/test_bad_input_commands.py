"""Damaged records and full disks end a training command in one clear line, with nothing half-written left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from ran_commands import run

from fullrank.trainers import train as train_command

SMALL = (
    "--model=single",
    "--widths=4",
    "--experts=flat",
    "--hidden=8",
    "--tower=",
    "--batch_size=64",
    "--epochs=1",
    "--progress=none",
    "--notensorboard",
)


def train(*arguments: str) -> int:
    return run(train_command, *SMALL, *arguments)


def errors(text: str) -> list[str]:
    """The error lines of what a command wrote to its standard error."""
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith("error: ")]


def damage_a_byte(records: Path) -> None:
    # Four blocks of 100 rows lie in each shard of 400; this byte is in the data of the third one.
    file = records / "train-00001-of-00003.tfrecord"
    content = bytearray(file.read_bytes())
    content[int(len(content) * 0.6)] ^= 1
    file.write_bytes(content)


def cut_off(records: Path) -> None:
    file = records / "train-00001-of-00003.tfrecord"
    file.write_bytes(file.read_bytes()[:-50])


def empty_file(records: Path) -> None:
    (records / "train-00001-of-00003.tfrecord").write_bytes(b"")


def remove_file(records: Path) -> None:
    (records / "train-00001-of-00003.tfrecord").unlink()


def remove_vocabulary(records: Path) -> None:
    (records / "vocabulary" / "item.txt").unlink()


def drop_schema(records: Path) -> None:
    (records / "schema.json").unlink()


def break_schema(records: Path) -> None:
    (records / "schema.json").write_text('{"name": "x"')


def retype_a_feature(records: Path) -> None:
    content = json.loads((records / "schema.json").read_text())
    next(feature for feature in content["features"] if feature["name"] == "tags")["dtype"] = "bytes"
    (records / "schema.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (damage_a_byte, ["train-00001-of-00003.tfrecord", "record", "checksum", "--on_bad_record=skip"]),
        (cut_off, ["train-00001-of-00003.tfrecord", "bytes"]),
        (empty_file, ["train-00001-of-00003.tfrecord", "bytes"]),
        (remove_file, ["train-00001-of-00003.tfrecord"]),
        (remove_vocabulary, ["item.txt"]),
        (drop_schema, ["schema.json"]),
        (break_schema, ["schema.json", "not valid JSON"]),
        (retype_a_feature, ["train-00000-of-00003.tfrecord", "'tags'", "int64", "bytes"]),
    ],
)
def test_damaged_data_is_one_line_that_says_where(
    damage: Callable[[Path], None],
    parts: list[str],
    toy_records: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    records, run = tmp_path / "records", tmp_path / "run"
    shutil.copytree(toy_records, records)
    damage(records)
    assert train(f"--data={records}", f"--output={run}") == 1
    (message,) = errors(capfd.readouterr().err)
    assert all(part in message for part in parts), message
    assert not (run / "result.json").exists()
    assert not list(tmp_path.glob("*.writing-*"))


def test_skipping_bad_records_trains_on_the_rest_and_reports_them(
    toy_records: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records, run = tmp_path / "records", tmp_path / "run"
    shutil.copytree(toy_records, records)
    damage_a_byte(records)
    few = ("--on_bad_record=skip", "--max_bad_fraction=0.01")
    assert train(f"--data={records}", f"--output={run}", *few) == 1
    (message,) = errors(capfd.readouterr().err)
    assert "100 of 1200 examples of split 'train' are bad" in message  # one block of a hundred
    assert train(f"--data={records}", f"--output={run}", "--on_bad_record=skip", "--max_bad_fraction=0.1") == 0
    assert "Left out 100 of 1200 examples" in capfd.readouterr().err
    assert json.loads((run / "result.json").read_text())["epochs"] == 1


def test_a_value_that_must_not_be_is_named(
    make_records: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records = make_records(tmp_path / "records", layout="example")
    # fullrank's own writer refuses a label of 3, but other tools write examples, too.
    file = records / "train-00002-of-00003.tfrecord"
    serialized = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
    example = tf.train.Example.FromString(serialized[17])
    example.features.feature["click"].float_list.value[0] = 3.0
    serialized[17] = example.SerializeToString()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in serialized:
            writer.write(record)
    assert train(f"--data={records}", f"--output={tmp_path / 'run'}") == 1
    (message,) = errors(capfd.readouterr().err)
    for part in (str(file), "record 17", "feature 'click'", "a binary label must be 0 or 1", "3.0"):
        assert part in message, message


def test_a_full_disk_at_a_checkpoint_is_one_line_and_the_run_can_go_on(
    toy_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = (f"--data={toy_records}", f"--output={run}", "--epochs=2")
    saves = []
    original = tf.train.CheckpointManager.save

    def full(self: Any, *args: Any, **options: Any) -> Any:
        saves.append(1)
        if len(saves) == 4:  # best and state of the first epoch, best of the second, and then
            Path(self.directory, "state-2.data-00000-of-00001.tempstate1").write_text("half")
            raise tf.errors.ResourceExhaustedError(None, None, f"{self.directory}/state-2; No space left on device")
        return original(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.CheckpointManager, "save", full)
        assert train(*arguments) == 1
    (message,) = errors(capfd.readouterr().err)
    assert "no space left on the device" in message
    assert "state-2" in message
    assert not list(run.rglob("*temp*"))
    assert not (run / "result.json").exists()
    assert train(*arguments) == 0
    assert "resumes after 19 steps, at epoch 2" in capfd.readouterr().out
