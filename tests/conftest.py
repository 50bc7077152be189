"""Settings and fixtures shared by every test."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

if "tensorflow" in sys.modules:
    raise pytest.UsageError("tensorflow was imported before tests/conftest.py; remove the plugin that imports it")

# TensorFlow reads these when it is first imported, which the imports below do. Several pytest workers on
# few cores would otherwise start one pool of threads each for all cores and slow one another down.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from fullrank.data.schema.features import (
    BehaviourColumn,
    Bits,
    IdMap,
    Key,
    Label,
    Numeric,
    NumericStatistics,
    Sequence,
    Sparse,
    Vector,
)
from fullrank.data.schema.schema import Schema

# How long an example takes says more about the machine than about the code. Hypothesis's own profile for CI, which it
# loads where the environment variable CI is set, has no deadline either and draws the same examples every time.
settings.register_profile("local", deadline=None)
if "CI" not in os.environ:
    settings.load_profile("local")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    """Seeds what draws weights, so that a test cannot fail in one run of a hundred."""
    import tf_keras as keras

    keras.utils.set_random_seed(1)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree; a test that needs it cannot run from an installed wheel alone."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public data sets named by FULLRANK_TEST_DATA, or a skip that says how to name it."""
    named = os.environ.get("FULLRANK_TEST_DATA")
    if not named:
        pytest.skip("FULLRANK_TEST_DATA is not set: set it to a folder with the public data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"FULLRANK_TEST_DATA is {named!r}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def every_kind() -> tuple[Schema, dict[str, np.ndarray[Any, Any]]]:
    """A schema with a feature of every kind, and the vocabularies it needs."""
    quantiles = tuple(float(q) for q in np.linspace(-3, 3, 257))
    real = NumericStatistics(mean=0.0, std=1.0, minimum=-3.0, maximum=3.0, missing=0.1, quantiles=quantiles)
    binary = dataclasses.replace(real, minimum=0.0, maximum=1.0, quantiles=(0.0,) * 200 + (1.0,) * 57)
    schema = Schema(
        name="every_kind",
        features=(
            Sparse(name="user", ids=IdMap(kind="vocabulary", size=3), side="user"),
            Sparse(name="item", ids=IdMap(kind="identity", size=50), side="ad"),
            Sparse(name="shop", dtype="bytes", ids=IdMap(kind="hash", size=20, hashes=2), side="ad"),
            Sparse(name="tags", dtype="bytes", max_values=3, weights="tag_weights", ids=IdMap(size=2), side="ad"),
            Sequence(
                name="history",
                behaviour=(
                    BehaviourColumn(name="past_items", table="item", target="item"),
                    BehaviourColumn(name="past_shops", table="shop", target="shop"),
                ),
                times="past_times",
                max_length=5,
            ),
            Numeric(name="price", statistics=real),
            Numeric(name="new", statistics=binary),
            Vector(name="picture", length=4),
            Bits(name="hash_id", length=8),
        ),
        labels=(Label(name="click", mean=0.25), Label(name="buy", mean=0.1)),
        weight="weight",
        keys=(Key(name="user"),),
        time="time",
        time_unit="ms",
    )
    return schema, {"user": np.array([5, 7, -3]), "tags": np.array([b"red", b"blue"], object)}


@pytest.fixture(scope="session")
def make_batch(every_kind: tuple[Schema, Any]) -> Callable[..., dict[str, Any]]:
    """Makes a batch of `every_kind`, seeded: known, unknown and missing values in every column."""
    import tensorflow as tf

    def make(*, size: int, seed: int = 0) -> dict[str, Any]:
        draw = np.random.default_rng(seed)
        now = 1_700_000_000_000
        pictures = draw.normal(size=(size, 4)).astype(np.float32)
        pictures[draw.random(size) < 0.2] = np.nan
        shops = np.array([b"", b"a", b"b", b"c"], object)
        batch = {
            "user": draw.choice([5, 7, -3, 4, -1], size),
            "item": draw.integers(-1, 52, size),
            "shop": draw.choice(shops, size),
            "tags": np.sort(draw.choice(np.array([b"", b"red", b"blue", b"x"], object), (size, 3)), axis=1)[:, ::-1],
            "tag_weights": draw.random((size, 3), np.float32),
            "past_items": _left_aligned(draw.integers(0, 50, (size, 5)), draw.integers(0, 6, size)),
            "past_shops": draw.choice(shops, (size, 5)),
            "past_times": now - draw.integers(0, 10**9, (size, 5)),
            "price": np.where(draw.random(size) < 0.2, np.nan, draw.normal(size=size)).astype(np.float32),
            "new": draw.integers(0, 2, size).astype(np.float32),
            "picture": pictures,
            "hash_id": draw.integers(0, 2, (size, 8)),
            "click": draw.integers(0, 2, size).astype(np.float32),
            "buy": np.where(draw.random(size) < 0.3, np.nan, draw.integers(0, 2, size)).astype(np.float32),
            "weight": draw.random(size, np.float32),
            "time": np.full(size, now),
        }
        return {name: tf.constant(values) for name, values in batch.items()}

    return make


def _left_aligned(values: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.where(np.arange(values.shape[1]) < lengths[:, None], values, -1)


@pytest.fixture(scope="session")
def make_records() -> Callable[..., Path]:
    """Writes a small data set of two tasks whose clicks depend on user and item, so that training shows in the AUC."""
    from fullrank.data import Columns, IdMap, Ragged, write_records

    items = [b"item%d" % number for number in range(20)]

    def columns(size: int, draw: np.random.Generator) -> Columns:
        user, item, age = draw.integers(0, 30, size), draw.integers(0, 20, size), draw.normal(size=size)
        logit = 2.0 * np.sin(1.7 * user) + 2.0 * np.cos(2.3 * item) + 0.5 * age - 1.0
        click = draw.random(size) < 1 / (1 + np.exp(-logit))
        like = np.where(draw.random(size) < 0.2, np.nan, draw.random(size) < 1 / (1 + np.exp(1.0 - logit)))
        return {
            "user": user,
            "item": np.array(items, object)[item],
            "tags": Ragged(draw.integers(0, 9, 2 * size), np.full(size, 2, np.int32)),
            "age": age.astype(np.float32),
            "click": click.astype(np.float32),
            "like": like.astype(np.float32),
            "region": np.array([b"de", b"fr", b"jp"], object)[user % 3],
        }

    def make(directory: Path, *, seed: int = 0, layout: Any = "block", name: str = "toy", train: int = 1200) -> Path:
        quantiles = tuple(float(q) for q in np.linspace(-2, 2, 33))
        schema = Schema(
            name=name,
            features=(
                Sparse(name="user", ids=IdMap(kind="identity", size=30), side="user"),
                Sparse(name="item", dtype="bytes", ids=IdMap(kind="vocabulary", size=20), side="ad"),
                Sparse(name="tags", ids=IdMap(kind="hash", size=8), max_values=3, side="ad"),
                Numeric(
                    name="age",
                    statistics=NumericStatistics(
                        mean=0.0, std=1.0, minimum=-4.0, maximum=4.0, missing=0.0, quantiles=quantiles
                    ),
                ),
            ),
            labels=(Label(name="click", mean=0.4), Label(name="like", mean=0.25)),
            keys=(Key(name="user"),),
            segments=(Key(name="region", dtype="bytes"),),
            layout=layout,
        )
        draw = np.random.default_rng(seed)
        sizes = {"train": train, "validation": 300, "test": 300}
        splits = {split: columns(size, draw) for split, size in sizes.items()}
        write_records(directory, schema=schema, splits=splits, vocabularies={"item": items}, shards=3, block_rows=100)
        return directory

    return make


@pytest.fixture(scope="session")
def toy_records(make_records: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set directory of `make_records`; tests only read it."""
    return make_records(tmp_path_factory.mktemp("toy") / "records")


@pytest.fixture(scope="session")
def toy_run(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two tasks on `toy_records`; tests only read it."""
    from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
    from fullrank.trainers.config.model import ModelConfig
    from fullrank.trainers.config.optimizer import OptimizerConfig
    from fullrank.trainers.training.train_model import train_model

    output = tmp_path_factory.mktemp("toy") / "run"
    train_model(
        RunConfig(
            data=DataConfig(data=str(toy_records), batch_size=64),
            model=ModelConfig(tasks=("click", "like"), widths=(8, 8), expert_width=16, hidden=(16,), tower=(16,)),
            optimizer=OptimizerConfig(learning_rate=0.005, table_learning_rate=0.2),
            train=TrainConfig(output=str(output), epochs=3, log_steps=5, progress="none"),
        )
    )
    return output
