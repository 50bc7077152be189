"""Commands that are killed before each of their file operations, and then run again.

After the kill the same command line must give what an uninterrupted run gives, and leave nothing beside it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from fullrank.data import convert, infer, prepare
from kills import below, build_shim, check, kills

ONE_OF_EACH_KIND: Final = 1_000


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture
def with_run(work: Path, toy_records: Path, toy_run: Path) -> Path:
    shutil.copytree(toy_records, work / "records")
    shutil.copytree(toy_run, work / "run")
    return work


def write_log(file: Path, *, rows: int) -> None:
    draw = np.random.default_rng(rows)
    lines = (f"{draw.integers(50)},{draw.integers(99)},{draw.random():.3f},{draw.integers(2)}" for _ in range(rows))
    file.write_text("\n".join(["user_id,item_id,price,click", *lines]) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("without_exchange", [False, True])
def test_convert_over_a_data_set(
    shim: Path, work: Path, without_exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old data set or the new one stands under the name, at every moment where names can be exchanged."""
    monkeypatch.chdir(work)
    options = ("--input=log.csv", "--schema=schema.json", "--output=records", "--workers=1", "--noprogress")
    write_log(Path("log.csv"), rows=100)
    infer.run(["infer", "--input=log.csv", "--label=click", "--output=schema.json"])
    convert.run(["convert", *options])
    write_log(Path("log.csv"), rows=200)
    absent = check_replacing(shim, work, *options, module="fullrank.data.convert", without_exchange=without_exchange)
    assert absent == int(without_exchange)


@pytest.fixture
def as_in_a_container() -> tuple[str, ...]:
    """Starts a command as process 1 of its own PID namespace, which ends with the process that started it."""
    if shutil.which("unshare") is None:
        pytest.skip("no command unshare to make a PID namespace with")
    unshare = ("unshare", "--pid", "--fork", "--kill-child=KILL")
    problems = []
    for options in ((), ("--user", "--map-root-user")):
        tried = subprocess.run([*unshare, *options, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return (*unshare, *options)
        problems.append(tried.stderr.strip())
    pytest.skip(f"PID namespaces are not permitted here: {problems}")


@pytest.mark.slow
def test_convert_after_a_kill_in_a_container(
    as_in_a_container: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command there is process 1, so that a process id does not tell a writer from one that is dead."""
    monkeypatch.chdir(tmp_path)
    write_log(Path("log.csv"), rows=100)
    infer.run(["infer", "--input=log.csv", "--label=click", "--output=schema.json"])
    command = [*as_in_a_container, sys.executable, "-m", "fullrank.data.convert", "--input=log.csv"]
    command += ["--schema=schema.json", "--output=records", "--workers=1", "--noprogress"]

    def again(*options: str) -> tuple[int, str]:
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not list(tmp_path.glob("records.writing-*/new")):
            assert first.poll() is None
            time.sleep(0.001)
        writer = int(Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text())
        try:
            os.kill(writer, signal.SIGSTOP)
            code, said = again()
        finally:
            os.kill(writer, signal.SIGKILL)
    assert (code, said.count("\n")) == (1, 1), said
    assert "Another process is writing" in said
    assert list(tmp_path.glob("records.writing-*"))
    assert not Path("records").exists()
    assert again()[0] == 0
    assert again("--overwrite")[0] == 0
    assert sorted(os.listdir()) == ["log.csv", "records", "schema.json"]


SYNTHETIC: Final = ("--dataset=synthetic", "--rows=100", "--users=20", "--ads=40", "--workers=1", "--noprogress")


@pytest.mark.slow
def test_prepare(shim: Path, work: Path) -> None:
    lines = kills(shim, work, *SYNTHETIC, "--output=records", module="fullrank.data.prepare", sample=2)
    whole = next(lines)
    for line in lines:
        check(line, said="exists already")
        assert line["after"] == whole["after"]
        assert below(line["left"], "records") in ({}, below(whole["after"], "records"))


@pytest.mark.slow
@pytest.mark.parametrize("without_exchange", [False, True])
def test_prepare_over_a_data_set(
    shim: Path, work: Path, without_exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    options = (*SYNTHETIC, "--output=records")
    prepare.run(["prepare", *options, "--seed=1"])
    module = "fullrank.data.prepare"
    check_replacing(shim, work, *options, "--seed=2", module=module, sample=3, without_exchange=without_exchange)


def check_replacing(
    shim: Path,
    work: Path,
    *options: str,
    module: str,
    sample: int = ONE_OF_EACH_KIND,
    without_exchange: bool,
) -> int:
    """Compares the records; in how many states there were none under the name."""
    lines = kills(shim, work, *options, "--overwrite", module=module, sample=sample, without_exchange=without_exchange)
    whole = next(lines)
    old, new = below(whole["before"], "records"), below(whole["after"], "records")
    assert old != new
    absent = 0
    for line in lines:
        check(line)
        assert line["after"] == whole["after"]
        standing = below(line["left"], "records")
        assert standing in (old, new) or (without_exchange and not standing), line["killed_at"]
        absent += not standing
    return absent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("evaluate", ("--json=eval.json", "--output=figures")),
        ("predict", ("--output=predictions.parquet", "--overwrite")),
    ],
)
def test_evaluate_and_predict(shim: Path, with_run: Path, command: str, options: tuple[str, ...]) -> None:
    lines = kills(
        shim,
        with_run,
        *("--run=run", "--data=records", "--split=test", *options),
        module=f"fullrank.trainers.{command}",
        imports=[f"fullrank.trainers.evaluation.{command}_run"],
        sample=2,
    )
    whole = next(lines)
    for line in lines:
        check(line)
        assert line["after"] == whole["after"]


@pytest.mark.slow
def test_export(shim: Path, with_run: Path) -> None:
    """The bytes of a SavedModel differ each time; `export` itself checks that its answers are the model's."""
    options = ("--run=run", "--data=records", "--output=export", "--version=1")
    imports = ["fullrank.trainers.evaluation.export_run"]
    lines = kills(shim, with_run, *options, module="fullrank.trainers.export", imports=imports, sample=2)
    whole = next(lines)
    for line in lines:
        check(line, said="exists already")
        assert set(line["after"]) == set(whole["after"]), line["killed_at"]
        assert set(below(line["left"], "export/1")) in (set(), set(below(whole["after"], "export/1")))


@pytest.mark.slow
def test_train(shim: Path, work: Path, make_records: Callable[..., Path]) -> None:
    """The result, the metrics, the weights and the curves of TensorBoard are those of the uninterrupted run."""
    make_records(work / "records", train=200)
    options = ["--data=records", "--output=run", "--epochs=2", "--batch_size=64", "--model=single", "--experts=flat"]
    options += ["--widths=2", "--hidden=2", "--expert_width=2", "--tower=", "--deterministic", "--progress=none"]
    options += ["--log_steps=2", "--checkpoint_steps=2", "--checkpoint_minutes=1000"]
    imports = ["fullrank.trainers.training.train_model"]
    lines = kills(shim, work, *options, module="fullrank.trainers.train", imports=imports, sample=2)
    whole = next(lines)
    run = work.with_name("killed") / "run"
    expected = trained(run)
    for line in lines:
        check(line)
        assert set(map(unnumbered, line["after"])) == set(map(unnumbered, whole["after"])), line["killed_at"]
        assert trained(run) == expected, line["killed_at"]


def unnumbered(path: str) -> str:
    """A path in a run, without what differs from time to time."""
    return re.sub(r"best/weights-\d+|(events.out.tfevents)\S*", r"\1", path)


def trained(run: Path) -> dict[str, Any]:
    """What a run came to, without times."""
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    curves = {}
    for directory in run.glob("events/*"):
        events = EventAccumulator(str(directory), size_guidance={TENSORS: 0})
        events.Reload()
        for tag in events.Tags()[TENSORS]:
            if "per_second" not in tag:
                found = [(event.step, event.tensor_proto.SerializeToString()) for event in events.Tensors(tag)]
                curves[directory.name, tag] = found
    return {
        "result": (run / "result.json").read_bytes(),
        "metrics": [{name: value for name, value in line.items() if "per_second" not in name} for line in metrics],
        "weights": {unnumbered(f"best/{path.name}"): path.read_bytes() for path in run.glob("best/weights*")},
        "state": {path.stem: saved(path.with_suffix("")) for path in run.glob("checkpoints/state*.index")},
        "curves": curves,
    }


def saved(checkpoint: Path) -> dict[str, bytes]:
    """The bytes of everything in a checkpoint but the graph of objects.

    In it Keras lists `test_function` from the first validation of a process on, which a resumed one may not have had.
    """
    types = tf.train.load_checkpoint(str(checkpoint)).get_variable_to_dtype_map()
    del types["_CHECKPOINTABLE_OBJECT_GRAPH"]
    values = tf.raw_ops.RestoreV2(
        prefix=str(checkpoint),
        tensor_names=list(types),
        shape_and_slices=[""] * len(types),
        dtypes=list(types.values()),
    )
    return {name: tf.io.serialize_tensor(value).numpy() for name, value in zip(types, values, strict=True)}
