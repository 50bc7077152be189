"""Two behaviour sequences in one model, one of two ids with times, one of a single id without, by every encoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.data.content.sign_bits import bit_codes
from fullrank.data.schema.features import BehaviourColumn, Bits, IdMap, Label, Sequence, Sparse
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
            name="clicks",
            behaviour=(
                BehaviourColumn(name="clicked", table="item", target="item"),
                BehaviourColumn(name="clicked_category", table="category", target="category"),
            ),
            times="click_time",
            max_length=4,
        ),
        Sequence(
            name="searches", behaviour=(BehaviourColumn(name="searched", table="query", target="query"),), max_length=3
        ),
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


def test_each_sequence_has_parts_and_an_output_of_its_own() -> None:
    """Clicks and conversions of the same ads: shared embeddings, tables of positions and intervals per sequence."""
    bought = (BehaviourColumn(name="bought", table="item", target="item"), BehaviourColumn(name="paid_by"))
    own = dataclasses.replace(bought[1], ids=IdMap(kind="identity", size=4))
    conversions = Sequence(name="bought", behaviour=(bought[0], own), times="buy_time", max_length=3)
    schema = dataclasses.replace(SCHEMA, features=(*SCHEMA.features[:-1], conversions))
    given = batch()
    bought_items = np.where(np.arange(3) < np.arange(SIZE)[:, np.newaxis] % 4, 5, -1)
    given |= {
        "bought": tf.constant(bought_items),
        "buy_time": tf.constant(np.where(bought_items < 0, -1, 1_699_999_000)),
    }
    given["paid_by"] = tf.where(bought_items < 0, tf.constant(-1, tf.int64), tf.constant(3, tf.int64))
    width = 6
    wiring = multi_embedding(tasks=("click",), widths=(width,), experts=(("flat", 0),), expert_width=8)
    model = Ranker(schema, wiring, RankerOptions(sequence="tim", initial_scale=0.5))
    model(given)
    (inputs,) = model.trunk.inputs_of_sets.values()
    clicks, buys = inputs.sequences
    shapes = [{w.name.rpartition("/")[2]: tuple(w.shape) for w in layer.weights} for layer in (clicks, buys)]
    # clicks compare item and category, at most 4; conversions compare the item alone, at most 3.
    assert [s["positions:0"] for s in shapes] == [(5, 2 * width), (4, width)]
    assert [s["intervals:0"] for s in shapes] == [(32, 2 * width), (32, width)]
    assert not {w.ref() for w in clicks.weights} & {w.ref() for w in buys.weights}

    def side(rows: dict[str, tf.Tensor]) -> np.ndarray:
        lookups = model.trunk.encoder(rows)
        found = inputs(lookups, model.trunk.dense(rows), elapsed_seconds(rows, schema=schema))[1]
        return np.asarray(found)

    whole = side(given)
    assert whole.shape == (SIZE, 3 * width)
    none = tf.fill([SIZE, 3], tf.constant(-1, tf.int64))
    emptied = side({**given, "bought": none, "paid_by": none})
    np.testing.assert_array_equal(emptied[:, : 2 * width], whole[:, : 2 * width])
    assert (emptied[:, 2 * width :] == 0).all()
    # How something was paid tells of the behaviour: it moves the conversions' output, and that alone.
    otherwise = side({**given, "paid_by": tf.where(bought_items < 0, none, tf.ones_like(none))})
    np.testing.assert_array_equal(otherwise[:, : 2 * width], whole[:, : 2 * width])
    there = (bought_items >= 0).any(axis=1)
    assert (np.abs(otherwise - whole)[there, 2 * width :].max(axis=1) > 1e-4).all()
    # A step on the conversions' output leaves the parts of the clicks exactly as they are, and the reverse.
    with tf.GradientTape(persistent=True) as tape:
        lookups = model.trunk.encoder(given)
        found = inputs(lookups, model.trunk.dense(given), elapsed_seconds(given, schema=schema))[1]
        first, second = tf.reduce_sum(found[:, : 2 * width]), tf.reduce_sum(found[:, 2 * width :])
    for output, moved, left in ((first, clicks, buys), (second, buys, clicks)):
        assert all(np.abs(tf.convert_to_tensor(g)).max() == 0 for g in tape.gradient(output, left.trainable_weights))
        assert all(np.abs(tf.convert_to_tensor(g)).max() > 0 for g in tape.gradient(output, moved.trainable_weights))


def test_hash_ids_of_past_ads_are_compared_with_that_of_the_target() -> None:
    """[Tencent] §3.2 replaces ids by HashIDs, in histories too: an ad never seen is near those that look like it."""
    bits, width = 6, 4
    schema = Schema(
        name="bits",
        features=(
            Bits(name="content", length=bits),
            Sequence(
                name="clicks",
                behaviour=(BehaviourColumn(name="past_content", table="content", target="content"),),
                max_length=3,
            ),
        ),
        labels=(Label(name="click", mean=0.5),),
    )
    wiring = multi_embedding(tasks=("click",), widths=(width,), experts=(("flat", 0),), expert_width=8)
    model = Ranker(schema, wiring, RankerOptions(sequence="mean"))
    code = np.array([[0, 1, 1, 0, 1, 0], [-1] * 6])
    past = np.array([[bit_codes(code[0]), -1, -1], [2**62 - 1 + 2**60, bit_codes(code[0]), -1]])
    given = {"content": tf.constant(code), "past_content": tf.constant(past)}
    model(given)
    (inputs,) = model.trunk.inputs_of_sets.values()
    fields, side = inputs(model.trunk.encoder(given), model.trunk.dense(given), {})
    # One behaviour with the HashID of the target: their embeddings are the same sum of six rows.
    np.testing.assert_allclose(side[0], fields[0, 0], rtol=1e-5, atol=1e-7)
    table = inputs.embeddings.table("content").numpy()
    mine = table[[1, 4, 6, 7, 10, 11]].sum(axis=0)
    np.testing.assert_allclose(side[0], mine, rtol=1e-5, atol=1e-7)
    # The second example: bits beyond the sixth do not count, so that no request reads beyond the table.
    ones = table[[2, 4, 6, 8, 10, 12]].sum(axis=0)
    np.testing.assert_allclose(side[1], (ones + mine) / 2, rtol=1e-5, atol=1e-7)


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
