"""The export command, from a trained run to a version directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ran_commands import run
from tensorflow.core.protobuf import saved_model_pb2

from fullrank.data import read_records, read_schema
from fullrank.models.serving import export as export_module
from fullrank.models.serving.check import Replayed
from fullrank.models.serving.warmup import read_warmup
from fullrank.trainers import export as export_command
from fullrank.trainers.evaluation.configs import ExportConfig
from fullrank.trainers.evaluation.export_run import export_run
from fullrank.trainers.training.load_run import load_run


def run_command(*arguments: str) -> int:
    return run(export_command, *arguments)


@pytest.fixture(scope="module")
def exported(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A version directory that the command wrote, and what it printed."""
    output = tmp_path_factory.mktemp("serving") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda *values, **_: printed.append(" ".join(map(str, values))))
        assert run_command(f"--run={toy_run}", f"--output={output}") == 0
    return output / "1", "\n".join(printed)


@pytest.fixture
def without_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the second process, which one test of this file is enough for."""
    answer = Replayed(signature="serving_default", rows=1, seconds=0.001, difference=0.0)
    monkeypatch.setattr(export_module, "check_export", lambda *_, **__: [answer])


def test_the_command_exports_the_best_weights(exported: tuple[Path, str], toy_run: Path, toy_records: Path) -> None:
    model = load_run(toy_run).model
    batch = next(iter(read_records(toy_records, split="test", batch_size=50)))
    signature = tf.saved_model.load(str(exported[0])).signatures["serving_default"]
    outputs = signature(**{c.name: batch[c.name] for c in read_schema(toy_run).input_columns})
    expected = model(batch, training=False)
    assert set(outputs) == {"click", "like"}
    for task in outputs:
        assert outputs[task].shape == (50,)
        np.testing.assert_allclose(outputs[task], expected[task], atol=1e-6)


def test_each_signature_is_traced_and_stored_once(exported: tuple[Path, str]) -> None:
    saved = saved_model_pb2.SavedModel.FromString((exported[0] / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0]
    scoring = [f for f in graph.graph_def.library.function if f.signature.name.startswith("__inference_score_")]
    assert len(scoring) == len([name for name in graph.signature_def if name.startswith("serving_")]) == 4


def test_the_command_prints_inputs_and_the_time_of_each_request(exported: tuple[Path, str]) -> None:
    lines = exported[1].splitlines()
    assert lines[0] == f"{exported[0]}: click, like from user, item, tags, age"
    assert lines[1].split() == ["signature", "rows", "ms", "difference"]
    assert len(lines) == 3 + 12 + 1
    assert lines[3].startswith("serving_default")
    assert lines[-1] == f"Next: fullrank request --export={exported[0].parent} --example=2"


def test_the_schema_goes_with_the_export(exported: tuple[Path, str], toy_run: Path) -> None:
    assert read_schema(exported[0] / "assets" / "schema.json") == read_schema(toy_run)


def test_the_model_is_warmed_up_with_rows_of_the_validation_split(
    exported: tuple[Path, str], toy_records: Path
) -> None:
    name, inputs = next(iter(read_warmup(exported[0])))
    batch = next(iter(read_records(toy_records, split="validation", batch_size=1)))
    assert name == "serving_default"
    for column, values in inputs.items():
        np.testing.assert_array_equal(values, batch[column].numpy())


def test_the_next_export_is_the_next_version(
    exported: tuple[Path, str], toy_run: Path, without_replay: None, capsys: pytest.CaptureFixture[str]
) -> None:
    del without_replay
    output = exported[0].parent
    assert run_command(f"--run={toy_run}", f"--output={output}", "--warmup=statistics") == 0
    assert sorted(path.name for path in output.iterdir()) == ["1", "2"]
    assert str(output / "2") in capsys.readouterr().out


def test_an_existing_version_is_refused_before_anything_is_loaded(
    exported: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("--run=no/such/run", f"--output={exported[0].parent}", "--version=1") == 1
    assert capsys.readouterr().err == (
        f"error: {exported[0]} exists already: choose another version, or leave it out for the next one.\n"
    )


def test_a_run_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(f"--run={tmp_path}", f"--output={tmp_path / 'out'}") == 1
    assert "is not a run directory" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--run=r",), "flag --output is required"),
        (("--run=r", "--output="), "--output cannot be empty"),
        (("--run=r", "--output=o", "--version=0"), "--version has to be at least 1"),
        (("--run=r", "--output=o", "--warmup=none"), "warmup"),
        (("--run=r", "--output=o", "--warmup=statistics", "--data=d"), "--data has no effect"),
        (("--run=r", "--output=o", "--ouput=x"), "did you mean --output?"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def moved_run(toy_run: Path, tmp_path: Path) -> Path:
    """The run, of which the records are not where they were."""
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    config = json.loads((run / "config.json").read_text())
    config["config"]["data"]["data"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(config))
    return run


def test_without_the_records_warmup_rows_are_drawn(
    moved_run: Path, tmp_path: Path, without_replay: None, capsys: pytest.CaptureFixture[str]
) -> None:
    del without_replay
    export_run(ExportConfig(run=str(moved_run), output=str(tmp_path / "out")))
    assert "drawn from the schema's statistics" in capsys.readouterr().err
    name, inputs = next(iter(read_warmup(tmp_path / "out" / "1")))
    assert name == "serving_default"
    assert inputs["item"][0].startswith(b"item")
    assert 0 <= inputs["user"][0] < 30


def test_records_that_were_asked_for_have_to_be_there(moved_run: Path, tmp_path: Path) -> None:
    config = ExportConfig(run=str(moved_run), output=str(tmp_path / "out"), warmup="records")
    with pytest.raises(ValueError, match="gone"):
        export_run(config)
    assert not (tmp_path / "out").exists()


def test_records_of_another_data_set_are_refused(
    toy_run: Path, tmp_path: Path, make_records: Callable[..., Path]
) -> None:
    other = make_records(tmp_path / "records", train=10)
    schema = json.loads((other / "schema.json").read_text())
    next(feature for feature in schema["features"] if feature["name"] == "tags")["max_values"] = 2
    (other / "schema.json").write_text(json.dumps(schema))
    with pytest.raises(ValueError, match="Column 'tags'"):
        export_run(ExportConfig(run=str(toy_run), output=str(tmp_path / "out"), data=str(other)))
