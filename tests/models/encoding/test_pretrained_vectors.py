"""Pretrained vectors of both sides, from a Parquet file by the commands to a served model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from fullrank import data
from fullrank.data import convert
from fullrank.data.schema.describe import describe_features
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.evaluation.configs import ExportConfig
from fullrank.trainers.evaluation.export_run import export_run
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.train_model import train_model

ROWS = 900


@pytest.fixture(scope="module")
def vectors() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Vectors of users and ads; some users have none."""
    draw = np.random.default_rng(0)
    user, ad = draw.normal(size=(2, ROWS, 4)).astype(np.float32)
    user[draw.random(ROWS) < 0.1] = np.nan
    return user, ad


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, vectors: Any) -> Path:
    """Records whose clicks depend on the cosine of the two vectors alone."""
    directory, draw = tmp_path_factory.mktemp("vectors"), np.random.default_rng(1)
    user, ad = vectors
    cosine = (user * ad).sum(1) / np.linalg.norm(user, axis=1) / np.linalg.norm(ad, axis=1)
    click = draw.random(ROWS) < 1 / (1 + np.exp(-6 * np.nan_to_num(cosine)))
    columns = {
        "item": draw.integers(0, 5, ROWS),
        "user_vector": pa.array(
            [None if np.isnan(row).any() else row.tolist() for row in user], pa.list_(pa.float32())
        ),
        "ad_vector": pa.array(ad.tolist(), pa.list_(pa.float32())),
        "click": click.astype(np.int64),
    }
    pq.write_table(pa.table(columns), directory / "log.parquet")
    schema = data.Schema(
        name="vectors",
        features=(
            data.Sparse(name="item", side="ad"),
            data.Vector(name="user_vector", length=4, side="user"),
            data.Vector(name="ad_vector", length=4, pair="user_vector", side="ad"),
        ),
        labels=(data.Label(name="click"),),
    )
    file = data.write_schema(schema, directory / "schema.json")
    output = directory / "records"
    convert.run(
        ["convert", f"--input={directory}/log.parquet", f"--schema={file}", f"--output={output}", "--workers=1"]
    )
    return output


def test_statistics_are_those_of_the_dot_product(records: Path) -> None:
    train = next(iter(data.read_records(records, split="train", batch_size=ROWS)))
    products = (train["user_vector"].numpy() * train["ad_vector"].numpy()).sum(1)
    schema = data.read_schema(records)
    user, ad = (f for f in schema.features if isinstance(f, data.Vector))
    assert user.statistics is None
    assert ad.statistics is not None
    known = products[~np.isnan(products)]
    np.testing.assert_allclose(ad.statistics.mean, known.mean(), rtol=1e-4)
    np.testing.assert_allclose(
        ad.statistics.quantiles, np.quantile(known, np.linspace(0, 1, 257)), rtol=1e-3, atol=1e-5
    )
    assert ad.statistics.missing == pytest.approx(np.isnan(products).mean())
    assert "x 4, with user_vector" in describe_features(schema)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_model_learns_from_the_similarity_and_is_exported(records: Path, tmp_path: Path, similarity: Any) -> None:
    run = tmp_path / "run"
    train_model(
        RunConfig(
            data=DataConfig(data=str(records), batch_size=64),
            model=ModelConfig(widths=(8,), model="single", hidden=(16,), tower=(16,), bits=5, similarity=similarity),
            optimizer=OptimizerConfig(learning_rate=0.01, table_learning_rate=0.1),
            train=TrainConfig(output=str(run), epochs=4, progress="none", tensorboard=False),
        )
    )
    model = load_run(str(run)).model
    batch = next(iter(data.read_records(records, split="test", batch_size=ROWS)))
    inputs = {column.name: batch[column.name] for column in model.schema.input_columns}
    scores, clicks = model(inputs)["click"].numpy(), batch["click"].numpy()
    assert np.mean(scores[clicks == 1][:, None] > scores[clicks == 0][None]) > 0.75
    export_run(ExportConfig(run=str(run), output=str(tmp_path / "served")))
    served = tf.saved_model.load(str(tmp_path / "served" / "1"))
    answer = served.signatures["serving_default"](**inputs)
    np.testing.assert_allclose(np.ravel(answer["click"].numpy()), scores, rtol=1e-4)
