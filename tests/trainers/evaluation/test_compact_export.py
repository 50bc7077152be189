"""`fullrank export --weights`: what it measures, writes and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ran_commands import run

from fullrank.data import read_records, read_schema
from fullrank.trainers import export as export_command
from fullrank.trainers.evaluation.export_loss import Change, LossTooLargeError, check_loss
from fullrank.trainers.training.load_run import load_run

ALONE = """
import sys
sys.modules["fullrank"] = None
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
with np.load(sys.argv[2]) as given:
    inputs = {name: tf.constant(values) for name, values in given.items()}
answers = loaded.signatures["serving_default"](**inputs)
np.savez(sys.argv[3], **{task: values.numpy() for task, values in answers.items()})
"""


def run_command(*arguments: str) -> int:
    return run(export_command, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
def test_the_command_measures_and_serves(
    toy_run: Path, toy_records: Path, tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "served"
    assert run_command(f"--run={toy_run}", f"--output={output}", f"--weights={weights}") == 0
    printed = capsys.readouterr().out
    assert f"--weights={weights} against float32 on the validation split of {toy_records}:" in printed
    written = json.loads((output / "1" / "assets" / "weights.json").read_text())
    assert written["weights"] == weights
    assert set(written["tasks"]) == {"click", "like"}
    assert f"{written['table_bytes_float32']:,} bytes (float32), now {written['table_bytes']:,}" in printed
    assert written["table_bytes"] == written["table_bytes_float32"] * (12 if weights == "int8" else 16) // 32
    for found in written["tasks"].values():
        assert abs(found["auc"] - found["auc_float32"]) < 0.01
        assert abs(found["ne"] - found["ne_float32"]) < 0.01
        assert 0 < found["difference"] < 0.02
    # A process without the package answers within what was measured.
    batch = next(iter(read_records(toy_records, split="validation", batch_size=64)))
    columns = [column.name for column in read_schema(toy_run).input_columns]
    given, answers = tmp_path / "given.npz", tmp_path / "answers.npz"
    inputs: dict[str, Any] = {name: _plain(batch[name]) for name in columns}
    np.savez(given, **inputs)
    command = [sys.executable, "-c", ALONE, str(output / "1"), str(given), str(answers)]
    subprocess.run(command, check=True, cwd=tmp_path)
    exact = load_run(toy_run).model({name: batch[name] for name in columns}, training=False)
    with np.load(answers) as served:
        for task, found in written["tasks"].items():
            largest = np.abs(served[task] - exact[task].numpy()).max()
            assert 0 < largest <= found["difference"] + (1e-6 if weights == "int8" else 0.02)


def _plain(values: tf.Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = values.numpy()
    return array.astype("S") if array.dtype == object else array


def test_a_loss_above_the_limit_is_refused_in_one_line(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "served"
    arguments = (f"--run={toy_run}", f"--output={output}", "--weights=int8", "--max_difference=0")
    assert run_command(*arguments) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.startswith("error: --weights=int8: a prediction of click changes by ")
    assert line.endswith("more than --max_difference=0. Nothing was exported.")
    assert not list(output.glob("*"))


def test_without_records_there_is_nothing_to_compare_on(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    arguments = (f"--run={toy_run}", f"--output={tmp_path / 'out'}", "--weights=int8", f"--data={gone}")
    assert run_command(*arguments, "--warmup=statistics") == 1
    assert str(gone) in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights=int4",), "weights"),
        (("--weights=int8", "--format=onnx"), "--weights=int8 is for --format=saved_model"),
        (("--max_difference=0.1",), "takes effect only with --weights=int8 or bfloat16"),
        (("--weights=int8", "--max_auc_loss=-1"), "--max_auc_loss has to be at least 0"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("--run=r", "--output=o", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"auc_float32": 0.75, "auc": 0.7494, "difference": 0.0}, r"AUC of click falls from 0\.75000 to 0\.74940"),
        ({"auc_float32": 0.75, "auc": 0.76, "difference": 0.003}, r"a prediction of click changes by 0\.003, more"),
        ({"auc_float32": None, "auc": None, "difference": float("nan")}, "a prediction of click changes by nan"),
        ({"rmse_float32": 1.0, "rmse": 1.0, "difference": 0.003}, "changes by 0.003"),
    ],
)
def test_limits(found: dict[str, Any], message: str) -> None:
    change = Change(flag="--weights=int8", before="float32", auc=0.0005, difference=0.002)
    with pytest.raises(LossTooLargeError, match=message):
        check_loss({"tasks": {"click": found}}, change=change)
    close = {"auc_float32": 0.75, "auc": 0.7496, "difference": 0.0019}
    check_loss({"tasks": {"click": close}}, change=change)
