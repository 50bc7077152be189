"""Evaluating a run and writing its predictions."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ran_commands import run
from sklearn.metrics import log_loss, roc_auc_score

from fullrank.data import Ragged, read_records, read_schema, write_records
from fullrank.trainers import evaluate as evaluate_command
from fullrank.trainers import predict as predict_command
from fullrank.trainers.evaluation.configs import EvaluateConfig, PredictConfig
from fullrank.trainers.evaluation.evaluate_run import COLUMNS, evaluate_run
from fullrank.trainers.evaluation.predict_run import predict_run
from fullrank.trainers.evaluation.scorer import scorer_of_run
from fullrank.trainers.training.load_run import LoadedRun, load_run

STATISTICS = {"auc", "log_loss", "ne", "gauc", "ece", "bias", "base_rate", "mean_prediction", "examples", "positives"}


@pytest.fixture(scope="module")
def evaluated(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What `evaluate` gives on the test split, and the directory it wrote to."""
    directory = tmp_path_factory.mktemp("evaluated")
    config = EvaluateConfig(run=str(toy_run), json=str(directory / "eval.json"), output=str(directory / "figures"))
    return evaluate_run(config), directory


@pytest.fixture(scope="module")
def predicted(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictions of the test split of the data that the run was trained on."""
    file = tmp_path_factory.mktemp("predicted") / "out" / "predictions.parquet"
    predict_run(PredictConfig(run=str(toy_run), output=str(file), columns=("region", "age")))
    return file


@pytest.fixture(scope="module")
def loaded(toy_run: Path) -> LoadedRun:
    return load_run(toy_run)


def test_evaluate_writes_every_statistic_by_task_and_segment(evaluated: tuple[dict[str, Any], Path]) -> None:
    results, directory = evaluated
    assert json.loads((directory / "eval.json").read_text()) == results
    assert list(results) == ["click", "like"]
    for result in results.values():
        assert set(result) >= STATISTICS
        assert set(result["segments"]) == {"region"}
        assert set(result["segments"]["region"]) == {"de", "fr", "jp"}
        assert all(set(entry) >= STATISTICS for entry in result["segments"]["region"].values())
    assert results["click"]["examples"] == 300
    assert results["like"]["examples"] < 300  # some were not observed
    assert results["click"]["auc"] > 0.75
    assert results["click"]["ne"] < 0.95


def test_evaluate_agrees_with_scikit_learn_on_the_predictions(
    evaluated: tuple[dict[str, Any], Path], predicted: Path
) -> None:
    table = pq.read_table(predicted)
    for task in ("click", "like"):
        label = table[task].to_numpy(zero_copy_only=False)
        score = table[f"{task}_probability"].to_numpy()
        seen = ~np.isnan(label)
        result = evaluated[0][task]
        assert result["auc"] == pytest.approx(roc_auc_score(label[seen], score[seen]), abs=1e-3)
        loss = log_loss(label[seen], score[seen].astype(np.float64))
        assert result["log_loss"] == pytest.approx(loss, rel=1e-5)
        rate = label[seen].mean()
        entropy = -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)
        assert result["ne"] == pytest.approx(loss / entropy, rel=1e-5)
        assert result["bias"] == pytest.approx(score[seen].sum() / label[seen].sum(), rel=1e-5)


def test_evaluate_draws_figures(evaluated: tuple[dict[str, Any], Path]) -> None:
    names = {path.name for path in (evaluated[1] / "figures").iterdir()}
    kinds = ("reliability", "roc", "region_auc", "region_ne", "region_bias")
    assert names == {f"{task}_{kind}.png" for task in ("click", "like") for kind in kinds}
    assert all((evaluated[1] / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_rows_without_an_id_are_told_how_to_get_one(
    toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scorer = scorer_of_run(str(toy_run))
    config = PredictConfig(run=str(toy_run), output=str(tmp_path / "scores.parquet"), overwrite=True)
    advice = "Rows keep the order of the input; --columns=NAME copies a column, such as an id."
    for keys, columns, told in ((scorer.schema.keys, (), False), ((), (), True), ((), ("region",), False)):
        found = dataclasses.replace(scorer, schema=dataclasses.replace(scorer.schema, keys=keys))
        monkeypatch.setattr(
            "fullrank.trainers.evaluation.predict_run.scorer_of_run", lambda path, found=found, **_: found
        )
        predict_run(dataclasses.replace(config, columns=columns))
        assert (advice in capsys.readouterr().out.splitlines()) == told


def test_evaluate_prints_a_table(toy_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(evaluate_command, f"--run={toy_run}", "--split=validation", "--key=item", "--segments=user") == 0
    shown = capsys.readouterr().out.splitlines()
    assert "on the validation split" in shown[0]
    assert "GAUC by item" in shown[0]
    assert shown[1].split() == ["task", "segment", *COLUMNS]
    assert shown[3].split()[:3] == ["click", "all", "300"]
    assert sum("user=" in line for line in shown) == 10  # the five largest of each task


def test_predictions_are_the_model_s_in_the_order_of_the_records(
    predicted: Path, loaded: LoadedRun, toy_records: Path
) -> None:
    table = pq.read_table(predicted)
    assert table.column_names == ["user", "click", "like", "region", "age", "click_probability", "like_probability"]
    batch = next(iter(read_records(toy_records, split="test", batch_size=300)))
    np.testing.assert_array_equal(table["user"].to_numpy(), batch["user"].numpy())
    np.testing.assert_array_equal(table["age"].to_numpy(), batch["age"].numpy())
    assert [text.encode() for text in table["region"].to_pylist()] == batch["region"].numpy().tolist()
    assert table["like"].null_count == int(np.isnan(batch["like"].numpy()).sum()) > 0
    expected = loaded.model(batch)
    for task in ("click", "like"):
        np.testing.assert_allclose(table[f"{task}_probability"].to_numpy(), expected[task].numpy(), rtol=1e-5)


def test_record_files_of_either_layout_are_scored_without_a_schema(
    toy_run: Path, toy_records: Path, predicted: Path, make_records: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "p.parquet"
    predict_run(PredictConfig(run=str(toy_run), input=f"{toy_records}/test-*", output=str(out)))
    expected = pq.read_table(predicted)["click_probability"].to_numpy()
    np.testing.assert_allclose(pq.read_table(out)["click_probability"].to_numpy(), expected, rtol=1e-6)
    examples = make_records(tmp_path / "examples", layout="example")
    predict_run(
        PredictConfig(run=str(toy_run), input=f"{examples}/test-*", output=str(out), overwrite=True, batch_size=70)
    )
    np.testing.assert_allclose(pq.read_table(out)["click_probability"].to_numpy(), expected, rtol=1e-5)


def test_files_that_do_not_fit_are_refused_by_name(toy_run: Path, toy_records: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "p.parquet")
    with pytest.raises(ValueError, match=r"--input=.*nothing\*: no such file"):
        predict_run(PredictConfig(run=str(toy_run), input=f"{tmp_path}/nothing*", output=out))
    damaged = tmp_path / "damaged.tfrecord"
    content = bytearray((toy_records / "test-00000-of-00003.tfrecord").read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged\.tfrecord.*record 0.*checksum"):
        predict_run(PredictConfig(run=str(toy_run), input=str(damaged), output=out))
    text = tmp_path / "text.tfrecord"
    text.write_text("no records at all, but long enough to be one")
    with pytest.raises(ValueError, match=r"text\.tfrecord"):
        predict_run(PredictConfig(run=str(toy_run), input=str(text), output=out))
    assert not list(tmp_path.glob("*.parquet*"))


def test_a_prediction_that_fails_leaves_the_old_file(
    toy_run: Path, toy_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "p.parquet"
    out.write_text("old")

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device", str(out))

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", full)
    config = PredictConfig(run=str(toy_run), data=str(toy_records), output=str(out))
    with pytest.raises(FileExistsError, match=r"p\.parquet exists already: .* replace it by --overwrite"):
        predict_run(config)
    with pytest.raises(OSError, match="No space left"):
        predict_run(dataclasses.replace(config, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]
    assert out.read_text() == "old"


def edited(records: Path, target: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a data set with another schema.json."""
    shutil.copytree(records, target)
    schema = json.loads((target / "schema.json").read_text())
    edit(schema)
    (target / "schema.json").write_text(json.dumps(schema))
    return target


def test_another_data_set_is_refused_and_the_column_named(toy_run: Path, toy_records: Path, tmp_path: Path) -> None:
    def drop_age(schema: dict[str, Any]) -> None:
        schema["name"] = "other"
        schema["features"] = [feature for feature in schema["features"] if feature["name"] != "age"]

    def longer_tags(schema: dict[str, Any]) -> None:
        next(feature for feature in schema["features"] if feature["name"] == "tags")["max_values"] = 5

    without = edited(toy_records, tmp_path / "without", drop_age)
    with pytest.raises(ValueError, match=r"has no column 'age', .* this is data set 'other', the run's is 'toy'"):
        evaluate_run(EvaluateConfig(run=str(toy_run), data=str(without)))
    longer = edited(toy_records, tmp_path / "longer", longer_tags)
    message = r"Column 'tags' of .* is int64, up to 5 values, but the model was trained with int64, up to 3 values"
    with pytest.raises(ValueError, match=message):
        predict_run(PredictConfig(run=str(toy_run), data=str(longer), output=str(tmp_path / "p.parquet")))
    assert not (tmp_path / "p.parquet").exists()


def test_statistics_and_vocabularies_of_the_records_do_not_matter(
    toy_run: Path, toy_records: Path, evaluated: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    schema = read_schema(toy_records)
    batch = next(iter(read_records(toy_records, split="test", batch_size=300)))
    columns = {name: value.numpy() for name, value in batch.items()}
    tags = columns["tags"]
    columns["tags"] = Ragged(tags[tags >= 0], (tags >= 0).sum(1).astype(np.int32))
    other = tmp_path / "other"
    write_records(other, schema=schema, splits={"test": columns}, vocabularies={"item": [b"item3", b"item1"]})
    results = evaluate_run(EvaluateConfig(run=str(toy_run), data=str(other)))
    assert results["click"]["auc"] == pytest.approx(evaluated[0]["click"]["auc"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--split=exam"], 1, "has no split 'exam'. Known: train, validation, test."),
        (["--key=nobody"], 1, "--key=nobody: the data has no such column"),
        (["--segments=age"], 1, "--segments=age: expected a column with one id per example"),
        (["--segments=tags"], 1, "--segments=tags: expected a column with one id per example"),
        (["--data=nowhere"], 1, "nowhere"),
        (["--batch_size=0"], 2, "--batch_size has to be at least 1"),
    ],
)
def test_evaluate_answers_mistakes_in_one_line(
    arguments: list[str], code: int, message: str, toy_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(evaluate_command, f"--run={toy_run}", *arguments) == code
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--output=-", "--data=d", "--input=x"], 2, "give either --data"),
        (["--output=p.csv", "--input=x", "--on_bad_record=skip"], 2, "--on_bad_record=skip needs --data"),
        (["--data=d"], 2, "flag --output is required"),
        (["--output=p.csv", "--data=DATA", "--columns=tags"], 1, "'tags' is not a column with one value per example"),
        (
            ["--output=p.csv", "--data=DATA", "--run=nowhere"],
            1,
            "nowhere is not a run directory: it has no config.json",
        ),
    ],
)
def test_predict_answers_mistakes_in_one_line(
    arguments: list[str],
    code: int,
    message: str,
    toy_run: Path,
    toy_records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [argument.replace("DATA", str(toy_records)) for argument in arguments]
    assert run(predict_command, f"--run={toy_run}", *filled) == code
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
