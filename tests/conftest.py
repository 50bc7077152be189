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

from fullrank.data.features import (
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
from fullrank.data.schema import Schema

# How long an example takes says more about the machine than about the code. Hypothesis's own profile for CI, which it
# loads where the environment variable CI is set, has no deadline either and draws the same examples every time.
settings.register_profile("local", deadline=None)
if "CI" not in os.environ:
    settings.load_profile("local")

REPOSITORY = Path(__file__).resolve().parent.parent


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
            Sparse(name="shop", dtype="bytes", ids=IdMap(kind="hash", size=20), side="ad"),
            Sparse(name="tags", dtype="bytes", max_values=3, weights="tag_weights", ids=IdMap(size=2), side="ad"),
            Sequence(
                name="history", ids=(("past_items", "item"), ("past_shops", "shop")), times="past_times", max_length=5
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
