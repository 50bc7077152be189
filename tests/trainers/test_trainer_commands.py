"""The commands as a person runs them, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

EPOCHS = 6
FLAGS = (
    "--model=me",
    "--widths=4,4",
    "--expert_width=8",
    "--hidden=8",
    "--tower=8",
    "--dropout=0.2",
    "--batch_size=64",
    "--patience=none",
    f"--epochs={EPOCHS}",
    "--table_learning_rate=0.2",
    "--deterministic",
    "--checkpoint_steps=5",
    "--notensorboard",
)


def start(command: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"fullrank.trainers.{command}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a command that went well has written."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out, err


def variables(checkpoint: Path) -> dict[str, np.ndarray]:
    """Every saved value, but the position in the data, which holds addresses of buffers."""
    reader = tf.train.load_checkpoint(str(checkpoint))
    names = [name for name in reader.get_variable_to_shape_map() if "iterator" not in name]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
def test_train_kill_resume_evaluate_predict(toy_records: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = start("train", f"--data={toy_records}", f"--output={whole}", *FLAGS)
    process = start("train", f"--data={toy_records}", f"--output={killed}", *FLAGS)
    # 19 steps per epoch: state-3 is step 15 of the first epoch, state-7 is step 15 of the second.
    deadline = time.monotonic() + 240
    while not (killed / "checkpoints" / "state-7.index").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "result.json").exists()

    out, _ = end(start("train", f"--data={toy_records}", f"--output={killed}", *FLAGS))
    assert f"{killed}: resumes after " in out
    out, _ = end(uninterrupted)
    assert "resumes" not in out
    assert f"Epoch {EPOCHS}/{EPOCHS}" in out

    ours, theirs = variables(killed / "checkpoints"), variables(whole / "checkpoints")
    assert set(ours) == set(theirs)
    assert any("optimizer" in name for name in ours)
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    assert json.loads((killed / "result.json").read_text()) == json.loads((whole / "result.json").read_text())

    out, _ = end(
        start("evaluate", f"--run={killed}", f"--json={tmp_path / 'eval.json'}", f"--output={tmp_path / 'figures'}")
    )
    assert "log_loss" in out
    results = json.loads((tmp_path / "eval.json").read_text())
    assert results["click"]["auc"] > 0.7
    assert (tmp_path / "figures" / "click_reliability.png").exists()

    out, err = end(start("predict", f"--run={killed}", f"--data={toy_records}", f"--output={tmp_path / 'p.parquet'}"))
    assert "300 rows" in out
    assert "predicting" in err
    assert pq.read_table(tmp_path / "p.parquet").num_rows == 300


def test_help_needs_no_tensorflow() -> None:
    code = (
        "import sys; from fullrank.trainers import train; train.run(['train', '--help']); "
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "--table_optimizer=rowwise_adagrad|lazy_adagrad|lazy_adam|lazy_ftrl" in done.stdout
