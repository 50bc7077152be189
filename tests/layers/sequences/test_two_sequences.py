"""Two behaviour sequences in one model, one of two ids with times, one of a single id without, by every encoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.data.schema.features import IdMap, Label, Sequence, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.layers import TemporalInterest
from fullrank.models import Ranker, RankerOptions, multi_embedding
from fullrank.models.encoding.dense_inputs import elapsed_seconds
from fullrank.models.options import EncoderName
from fullrank.models.serving import export_model

SIZE = 12
SCHEMA = Schema(
    name="two",
    features=(
        Sparse(name="item", side="ad", ids=IdMap(kind="identity", size=20)),
        Sparse(name="category", side="ad", ids=IdMap(kind="identity", size=5)),
        Sparse(name="query", side="context", ids=IdMap(kind="identity", size=7)),
        Sequence(
            name="clicks", ids=(("clicked", "item"), ("clicked_category", "category")), times="click_time", max_length=4
        ),
        Sequence(name="searches", ids=(("searched", "query"),), max_length=3),
    ),
    labels=(Label(name="click", mean=0.5),),
    time="time",
)


def batch() -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(0)
    now = 1_700_000_000

    def history(ids: int, longest: int) -> np.ndarray:
        lengths = draw.integers(0, longest + 1, (SIZE, 1))
        return np.where(np.arange(longest) < lengths, draw.integers(0, ids, (SIZE, longest)), -1)

    clicked = history(20, 4)
    columns = {
        "item": draw.integers(0, 20, SIZE),
        "category": draw.integers(0, 5, SIZE),
        "query": draw.integers(0, 7, SIZE),
        "clicked": clicked,
        "clicked_category": np.where(clicked < 0, -1, clicked % 5),
        "click_time": np.where(clicked < 0, -1, now - draw.integers(1, 10**6, (SIZE, 4))),
        "searched": history(7, 3),
        "time": np.full(SIZE, now),
        "click": draw.integers(0, 2, SIZE).astype(np.float32),
    }
    return {name: tf.constant(values) for name, values in columns.items()}


@pytest.mark.slow
@pytest.mark.parametrize("encoder", get_args(EncoderName))
def test_trains_and_exports(encoder: Any, tmp_path: Path) -> None:
    rows = batch()
    wiring = multi_embedding(tasks=("click",), widths=(4, 6), experts=(("fm", 0), ("flat", 1)), expert_width=8)
    model = Ranker(SCHEMA, wiring, RankerOptions(sequence=encoder))
    before = model(rows)["click"].numpy()
    for column in ("clicked", "searched"):  # both are read
        emptied = {**rows, column: tf.fill(rows[column].shape, tf.constant(-1, tf.int64))}
        assert np.abs(model(emptied)["click"].numpy() - before).max() > 0, column
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    losses = model.fit(tf.data.Dataset.from_tensors(rows).repeat(20), epochs=1, verbose=0)
    assert np.isfinite(losses.history["loss"][0])
    after = model(rows)["click"].numpy()
    assert np.abs(after - before).max() > 1e-3
    inputs = {column.name: rows[column.name] for column in SCHEMA.input_columns}
    exported = export_model(model, output=tmp_path, rows={name: each.numpy() for name, each in inputs.items()})
    served = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
    assert set(served.structured_input_signature[1]) == set(inputs)
    np.testing.assert_allclose(served(**inputs)["click"].numpy(), after, rtol=1e-5, atol=1e-6)


def test_intervals_are_exact_at_milliseconds_since_1970() -> None:
    # A float32 near 1.7e12 moves in steps of 131,072 ms: cast first, gaps of a second would be 0 or 131 s.
    now, gaps = 1_700_000_000_123, np.array([[86_400_000, 131_000, 2_500, 1]])
    times = {"time": tf.constant([now]), "click_time": tf.constant(now - gaps)}
    seconds = elapsed_seconds(times, schema=dataclasses.replace(SCHEMA, time_unit="ms"))["clicks"]
    np.testing.assert_allclose(seconds, gaps / 1000, rtol=1e-7)
    behaviours, target = tf.random.stateless_normal([1, 4, 3], (1, 2)), tf.random.stateless_normal([1, 3], (3, 4))
    layer = TemporalInterest(4, position=False)
    output = layer(behaviours, target, tf.ones([1, 4], tf.bool), seconds).numpy()
    # The equation in float64, from the exact gaps.
    buckets = np.floor(layer.buckets_per_octave * np.log2(1 + gaps[0] / 1000)).astype(int)
    table = layer.weights[0].numpy().astype(np.float64)
    e, v = behaviours[0].numpy() + table[buckets], target[0].numpy() + table[0]
    weights = np.exp(e @ v / np.sqrt(3))
    np.testing.assert_allclose(output[0], (weights / weights.sum()) @ e * v, rtol=1e-5, atol=1e-6)
