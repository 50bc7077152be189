"""Chain and value tasks by the command line, on real e-mail ads: visit, conversion and what was spent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from ran_commands import run

from fullrank.data import prepare, read_records, read_schema
from fullrank.trainers import evaluate, export, predict, train
from fullrank.trainers.training.callbacks.monitors import monitored
from fullrank.trainers.training.load_run import load_run

TASKS = ("visit", "conversion", "spend")
OUTPUTS = (*TASKS, "conversion_given_visit", "spend_given_conversion", "spend_q50", "spend_q99")


@pytest.fixture(scope="module")
def trained(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of records and of a run of two epochs over them."""
    directory = tmp_path_factory.mktemp("hillstrom")
    records, output = directory / "records", directory / "run"
    raw = real_data / "hillstrom"
    assert run(prepare, "--dataset=hillstrom", f"--raw_dir={raw}", f"--output={records}") == 0
    flags = ("--model=mmoe", f"--chain={','.join(TASKS)}", "--quantiles=0.5,0.99", "--monitor=mean_ne")
    # The rate falls, so that the means do not hang on the last batches, whose order depends on threads.
    more = ("--epochs=2", "--batch_size=512", "--widths=8", "--progress=none", "--notensorboard", "--schedule=linear",
            "--final_rate=0.02")  # fmt: skip
    assert run(train, f"--data={records}", f"--output={output}", *flags, *more) == 0
    return directory


@pytest.mark.slow
def test_the_schema_knows_how_often_and_how_little_is_spent(trained: Path) -> None:
    schema = read_schema(trained / "records")
    assert schema.label("spend").positive == pytest.approx(schema.label("conversion").mean)
    assert schema.label("spend").minimum == 0
    assert schema.label("visit").positive is None


@pytest.mark.slow
def test_evaluate_prints_and_the_means_are_right(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = trained / "train.json"
    assert run(evaluate, f"--run={trained / 'run'}", "--split=train", f"--json={file}") == 0
    printed = capsys.readouterr().out
    assert "decile_error" in printed
    assert "spend by predicted value" in printed
    found = json.loads(file.read_text())
    # 7,547, 460 and 460 positives of the training split: 4 deviations of a sum are 5 % and 19 %; spend is noisier.
    assert found["visit"]["bias"] == pytest.approx(1, abs=0.05)
    assert found["conversion"]["bias"] == pytest.approx(1, abs=0.19)
    assert found["spend"]["bias"] == pytest.approx(1, abs=0.25)
    assert found["visit"]["ne"] < 0.98
    assert found["conversion"]["auc"] > 0.6
    assert found["spend"]["gini"] > 0.1
    assert len(found["spend"]["deciles"]["weight"]) == 10


@pytest.mark.slow
def test_predictions_keep_the_order_of_the_chain(trained: Path) -> None:
    file = trained / "predictions.parquet"
    assert run(predict, f"--run={trained / 'run'}", "--split=test", f"--output={file}") == 0
    table = pq.read_table(file)
    of = {name: table[name].to_numpy() for name in table.column_names if name.startswith(TASKS)}
    ends = ["visit_probability", "conversion_probability", "spend_mean", *OUTPUTS[3:]]
    assert [name for name in table.column_names if name not in TASKS][-len(ends) :] == ends
    assert (of["conversion_probability"] <= of["visit_probability"]).all()
    product = of["visit_probability"] * of["conversion_given_visit"]
    np.testing.assert_allclose(of["conversion_probability"], product, rtol=1e-5)
    assert (of["spend_q50"] == 0).all()  # one in a hundred buys
    assert (of["spend_q99"] >= 0).all()


@pytest.mark.slow
def test_the_export_agrees(trained: Path) -> None:
    assert run(export, f"--run={trained / 'run'}", f"--output={trained / 'served'}") == 0
    served = tf.saved_model.load(str(trained / "served" / "1")).signatures["serving_default"]
    loaded = load_run(trained / "run")
    batch = next(iter(read_records(read_schema(trained / "records"), split="test", batch_size=200)))
    columns = [column.name for column in loaded.schema.input_columns]
    answer = served(**{name: batch[name] for name in columns})
    expected = loaded.model({name: batch[name] for name in columns})
    assert set(answer) == set(OUTPUTS)
    for name in OUTPUTS:
        np.testing.assert_allclose(answer[name].numpy(), expected[name].numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_what_can_be_monitored() -> None:
    tasks, values = ("visit", "conversion"), ("spend",)
    assert monitored("auc", tasks=tasks, values=values) == "val_visit_auc"
    assert monitored("rmse", tasks=tasks, values=values) == "val_spend_rmse"
    assert monitored("spend_mae", tasks=tasks, values=values) == "val_spend_mae"
    assert monitored("mean_rmse", tasks=(), values=values) == "val_mean_rmse"
    with pytest.raises(ValueError, match=r"no such metric\. Known: auto, rmse, mae, mean_rmse, mean_mae, spend_rmse"):
        monitored("auc", tasks=(), values=values)
