"""Training by several replicas and processes is the training of one process with the same batches."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_runs import lines
from started import started

from fullrank.data.schema.schema import Schema
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.config.flags import run_config
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.records import Histories, training_batches
from fullrank.trainers.training.train_model import train_model

pytestmark = pytest.mark.slow

FLAGS = [
    *("--tasks=click,like", "--widths=8,8", "--expert_width=16", "--hidden=16", "--tower=16", "--dropout=0"),
    *("--unknown_share=0", "--batch_size=64", "--epochs=6", "--patience=none", "--deterministic"),
    *("--progress=none", "--notensorboard"),
]
"""114 steps."""


def flags(records: Path, output: Path, *more: str) -> list[str]:
    return [f"--data={records}", f"--output={output}", *FLAGS, *more]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fullrank", *arguments]


def saved(run: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Weights, slots of the optimisers and sums of the metrics, as the last checkpoint holds them."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    kinds = reader.get_variable_to_dtype_map()
    return {
        name: reader.get_tensor(name)
        for name, kind in kinds.items()
        if kind.is_floating and "iterator" not in name and reader.get_variable_to_shape_map()[name] is not None
    }


def check_equal(run: Path, reference: Path) -> None:
    ours, theirs = saved(run), saved(reference)
    assert ours.keys() == theirs.keys()
    assert sum(name.startswith("optimizer/") for name in ours) > 10
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    for line, other in zip(lines(run, "epoch"), lines(reference, "epoch"), strict=True):
        for name in ("loss", "val_loss", "click_auc", "val_click_auc", "val_like_ne", "val_mean_prediction"):
            if name in other:
                assert line[name] == pytest.approx(other[name], abs=1e-5), name


@pytest.fixture(scope="module")
def of_one(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("of_one") / "run"
    train_model(run_config(flags(toy_records, output)))
    return output


def test_two_devices_take_the_steps_of_one_process(toy_records: Path, of_one: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    mirrored = flags(toy_records, output, "--strategy=mirrored", "--replicas=2")
    done = subprocess.run(command("train", *mirrored), capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    check_equal(output, of_one)
    model, reference = load_run(output).model, load_run(of_one).model
    batch = reference.example_batch(3)
    for task, predicted in reference(batch).items():
        np.testing.assert_allclose(model(batch)[task], predicted, atol=1e-5)


def _side_by_side(
    config: RunConfig, schema: Schema, *, cache: Path, worker: int, workers: int, histories: Histories
) -> tf.data.Dataset:  # the batches of two workers, as one process would read them
    assert (worker, workers) == (0, 1)
    parts = [
        training_batches(config, schema, cache=cache, worker=number, workers=2, histories=histories)
        for number in range(2)
    ]
    return tf.data.Dataset.zip(tuple(parts)).map(lambda a, b: {name: tf.concat([a[name], b[name]], 0) for name in a})


def _processes_of(output: Path) -> list[str]:
    """Command lines of the processes that train into a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().decode().split("\0")
        except OSError:
            continue
        if f"--output={output}" in line:
            found.append(" ".join(line))
    return found


def _terminated(arguments: Sequence[str], output: Path) -> subprocess.CompletedProcess[str]:
    """Ends the cluster by SIGTERM once it has written a checkpoint within the second epoch."""
    log = output / "metrics.jsonl"
    with started(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        last = time.monotonic() + 400
        while process.poll() is None and time.monotonic() < last:
            listed = tf.train.get_checkpoint_state(str(output / "checkpoints"))
            if listed and len(listed.all_model_checkpoint_paths) == 2 and log.exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_two_processes_take_the_steps_of_one_and_resume(
    toy_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, reference = tmp_path / "run", tmp_path / "reference"
    started = [sys.executable, "-m", "fullrank.trainers.cluster", "--workers=2", "--"]
    arguments = [*started, *flags(toy_records, output, "--checkpoint_steps=7")]
    ended = _terminated(arguments, output)
    assert ended.returncode == 143, ended.stderr
    assert ended.stderr.count("error: terminated.") >= 2, (
        ended.stderr
    )  # by SIGTERM, before the cluster resorts to SIGKILL
    assert not _processes_of(output)
    assert not (output / "result.json").exists()
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    assert f"[worker 0] {output}: resumes after" in done.stdout
    assert not _processes_of(output)
    with monkeypatch.context() as patch:
        patch.setattr("fullrank.trainers.training.train_model.training_batches", _side_by_side)
        train_model(run_config(flags(toy_records, reference)))
    check_equal(output, reference)
    assert json.loads((output / "result.json").read_text())["steps"] == 114
    (output / "result.json").unlink()
    with pytest.raises(ValueError, match="its checkpoints are of 2 process"):
        train_model(run_config(flags(toy_records, output)))
