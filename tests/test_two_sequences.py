"""Two behaviour sequences in one model, one of two ids with times, one of a single id without, by every encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.data.features import IdMap, Label, Sequence, Sparse
from fullrank.data.schema import Schema
from fullrank.models import Ranker, RankerOptions, multi_embedding
from fullrank.models.sequence_encoders import EncoderName
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
