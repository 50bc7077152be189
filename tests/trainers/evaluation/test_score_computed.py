"""Rows that are scored: columns that are computed from others, and histories that earlier rows fill in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from fullrank.data import convert as convert_command
from fullrank.data import infer as infer_command
from fullrank.data.schema.features import Label, Numeric
from fullrank.data.schema.reading import Derived, Input, Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.bad_rows import BadRows
from fullrank.trainers import train as train_command
from fullrank.trainers.evaluation.configs import PredictConfig
from fullrank.trainers.evaluation.predict_run import predict_run
from fullrank.trainers.evaluation.table_input import TableBatches, TableReading, open_tables


def test_columns_are_computed_where_their_inputs_are_there(tmp_path: Path) -> None:
    of_rating = Derived(name="click", expression="rating >= 4", inputs=(Input(name="rating", kind="number"),))
    double = Derived(name="double", expression="2 * price", inputs=(Input(name="price", kind="number"),))
    pruned = Derived(name="pruned", expression="rating * 2", inputs=(Input(name="rating", kind="number"),))
    schema = Schema(
        name="computed",
        features=(Numeric(name="double"),),
        labels=(Label(name="click"),),
        reading=Reading(columns=(of_rating, double, pruned), missing=("unknown",)),
    )
    (tmp_path / "new.csv").write_text("id,price\na,1.5\nb,unknown\n")
    (tmp_path / "old.csv").write_text("id,price,rating\na,1.5,4\nb,,3\n")
    for name, labels in (("new", [np.nan, np.nan]), ("old", [1.0, 0.0])):
        (tmp_path / f"rows-{name}").mkdir()
        with open_tables(
            (tmp_path / f"{name}.csv",),
            schema=schema,
            needed=["double"],
            carried=["id"],
            reading=TableReading(),
            bad_rows=BadRows(),
            directory=tmp_path / f"rows-{name}",
        ) as given:
            (batch,) = TableBatches(given.rows, batch_size=8)
        assert given.present == ({"double", "id"} if name == "new" else {"double", "id", "click"})
        np.testing.assert_array_equal(batch["double"], np.array([3.0, np.nan], np.float32))
        np.testing.assert_array_equal(batch["click"], np.array(labels, np.float32))
        assert batch["id"].numpy().tolist() == [b"a", b"b"]


@pytest.mark.slow
def test_histories_of_new_rows_are_those_of_a_conversion_that_held_them(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    # The last twenty rows are of one time, so that none of them is in the history of another.
    times = np.concatenate([900_000_000 + np.sort(draw.integers(0, 10_000, 480)), np.full(20, 900_020_000)])
    log = pa.table(
        {
            "user_id": draw.integers(0, 12, 500),
            "item_id": [f"i{k}" for k in draw.integers(0, 30, 500)],
            "rating": draw.integers(1, 6, 500),
            "timestamp": times,
        }
    )
    pq.write_table(log, tmp_path / "all.parquet")
    pa_csv.write_csv(log[:480], tmp_path / "log.csv")
    pa_csv.write_csv(log[480:].drop_columns(["rating"]), tmp_path / "new.csv")
    asked = ["--label=click=rating>=4", "--history=user_id:item_id", "--history_where=click", "--history_length=5"]
    infer_command.run(["infer", f"--input={tmp_path}/all.parquet", *asked, f"--output={tmp_path}/s.json"])
    given = [f"--schema={tmp_path}/s.json", f"--output={tmp_path}/records", "--split_fractions=0.86,0.1,0.04"]
    convert_command.run(["convert", f"--input={tmp_path}/all.parquet", *given, "--noprogress"])
    arguments = ["--model=single", "--experts=flat", "--hidden=4", "--widths=4", "--tower=", "--epochs=1"]
    arguments += [f"--data={tmp_path}/records", f"--output={tmp_path}/run", "--batch_size=64", "--progress=none"]
    train_command.run(["train", *arguments, "--expert_width=4"])
    run, new = str(tmp_path / "run"), f"{tmp_path}/new.csv"
    predict_run(PredictConfig(run=run, output=str(tmp_path / "old.parquet")))
    output = str(tmp_path / "new.parquet")
    predict_run(PredictConfig(run=run, input=new, log=f"{tmp_path}/log.csv", output=output))
    found, expected = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("new", "old"))
    assert len(set(found["click_probability"].to_pylist())) > 5
    for name in ("user_id", "click_probability"):
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy())
    with pytest.raises(
        ValueError, match="lacks history_item_id, history_time, which come from earlier rows: name their tables"
    ):
        predict_run(PredictConfig(run=run, input=new, output=str(tmp_path / "none.parquet")))
