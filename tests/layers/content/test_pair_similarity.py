"""The similarity of pretrained vectors ([Tencent] §3.3), by hand, against NumPy and through a model."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from scipy.spatial.distance import cosine

from fullrank import layers, models
from fullrank.data import IdMap, Label, Numeric, NumericStatistics, Schema, SchemaError, Sparse, Vector
from fullrank.models.encoding.dense_inputs import DenseEncoder
from fullrank.models.options import RankerOptions, VectorEncoding

NAN = float("nan")
DOTS = NumericStatistics(mean=0.0, std=1.0, minimum=-4.0, maximum=4.0, missing=0.0, quantiles=(-4.0, 0.0, 4.0))


def similar(first: Any, second: Any, **arguments: Any) -> Any:
    return layers.PairSimilarity(**arguments)(tf.constant(first), tf.constant(second)).numpy()


def test_by_hand() -> None:
    # (3, 4) and (4, 3): 24 / 25. (1, 0) and (-2, 0): -1. A zero vector is similar to nothing: 0.
    first, second = [[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]], [[4.0, 3.0], [-2.0, 0.0], [5.0, 1.0]]
    np.testing.assert_allclose(similar(first, second), [0.96, -1.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(similar(first, second, similarity="dot"), [24.0, -2.0, 0.0])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_missing_vector_on_either_side_is_nan(similarity: str) -> None:
    known, missing = [1.0, 2.0], [NAN, NAN]
    found = similar(
        [known, missing, known, missing, [1.0, float("inf")]],
        [known, known, missing, missing, known],
        similarity=similarity,
    )
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, True, True])


def test_cosine_equals_scipy_and_ignores_length() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(2, 20, 8)).astype(np.float32)
    expected = [1 - cosine(u, v) for u, v in zip(first, second, strict=True)]
    np.testing.assert_allclose(similar(first, second), expected, atol=1e-6)
    np.testing.assert_allclose(similar(1e30 * first, 1e-30 * second), expected, atol=1e-6)
    assert similar(first, first).max() <= 1.0


def test_gradient_of_a_cosine_is_that_of_the_formula() -> None:
    # Of u at v: (v - cos u) / |u| for unit vectors; here u = (1, 0), v = (0.6, 0.8): (0, 0.8). At 0 it stays finite.
    first = tf.Variable([[1.0, 0.0], [0.0, 0.0]])
    with tf.GradientTape() as tape:
        found = layers.PairSimilarity()(first, tf.constant([[0.6, 0.8], [1.0, 1.0]]))
    gradient = tape.gradient(found, first).numpy()
    np.testing.assert_allclose(gradient[0], [0.0, 0.8], atol=1e-6)
    assert np.isfinite(gradient).all()


def test_float32_whatever_the_policy() -> None:
    low = layers.PairSimilarity(dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    found = low(tf.constant([[1.0, 0.001]]), tf.constant([[1.0, 0.0]]))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(low(tf.constant([[3.0, 4.0]]), tf.constant([[4.0, 3.0]])).numpy(), [0.96], rtol=1e-6)


def test_an_unknown_similarity() -> None:
    with pytest.raises(ValueError, match="'cosine' or 'dot'"):
        layers.PairSimilarity("euclid")  # type: ignore[arg-type]


def schema_of(**changes: Any) -> Schema:
    """A pair, a vector without one, and an id so that something interacts."""
    pair = Vector(name="ad", length=2, pair="user", side="ad", statistics=DOTS)
    return Schema(
        name="vectors",
        features=(
            Sparse(name="item", ids=IdMap(kind="identity", size=5)),
            Vector(name="user", length=2, side="user"),
            dataclasses.replace(pair, **changes),
            Vector(name="text", length=3),
        ),
        labels=(Label(name="click", mean=0.5),),
    )


BATCH = {
    "item": tf.constant([0, 1, 2, 3, -1], tf.int64),
    "user": tf.constant([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [NAN, NAN], [1.0, 1.0]]),
    "ad": tf.constant([[4.0, 3.0], [-2.0, 0.0], [5.0, 1.0], [1.0, 1.0], [NAN, NAN]]),
    "text": tf.constant([[1.0, 2.0, 3.0], [NAN, NAN, NAN], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.0, 1.0, 1.0]]),
    "click": tf.constant([1.0, 0.0, 1.0, 0.0, 1.0]),
}


def drawn(size: int) -> dict[str, tf.Tensor]:
    """A batch of random vectors, a fifth of them missing."""
    draw = np.random.default_rng(3)
    batch = {"item": tf.constant(draw.integers(-1, 5, size))}
    for name, length in (("user", 2), ("ad", 2), ("text", 3)):
        vectors = draw.normal(size=(size, length)).astype(np.float32)
        vectors[draw.random(size) < 0.2] = NAN
        batch[name] = tf.constant(vectors)
    return {**batch, "click": tf.constant(draw.integers(0, 2, size), tf.float32)}


def test_what_each_option_makes_of_the_vectors() -> None:
    options: tuple[VectorEncoding, ...] = ("projection", "similarity", "raw")
    chosen = {name: DenseEncoder(schema_of(), vectors=name) for name in options}
    names = {name: tuple(f.name for f in encoder.vectors) for name, encoder in chosen.items()}
    assert names == {"projection": ("user", "ad", "text"), "similarity": ("text",), "raw": ()}
    found = chosen["similarity"](BATCH)
    np.testing.assert_allclose(found.similarities.numpy()[:, 0], [0.96, -1.0, 0.0, NAN, NAN], rtol=1e-6)
    huge = tf.tensor_scatter_nd_update(BATCH["text"], [[3, 0]], [1e9])
    raw = chosen["raw"]({**BATCH, "text": huge}).raw.numpy()
    # user and its indicator, ad and its, text and its; a missing vector is zeros and a 1, a huge component is clipped.
    np.testing.assert_array_equal(raw[3], [0, 0, 1, 1, 1, 0, 1e6, 0, 0, 0])
    np.testing.assert_array_equal(raw[1], [1, 0, 0, -2, 0, 0, 0, 0, 0, 1])


def ranker(schema: Schema | None = None, **options: Any) -> models.Ranker:
    keras.utils.set_random_seed(2)
    wiring = models.multi_embedding(widths=(3, 4), experts=(("flat", 0), ("fm", 1)), tasks=("click",), expert_width=6)
    return models.Ranker(schema or schema_of(), wiring, RankerOptions(tower=(4,), **options))


def test_an_encoded_similarity_joins_the_side_and_not_the_fields() -> None:
    model = ranker(bits=2, bases=(2,))
    read = model.trunk.inputs_of_sets["set0"]
    lookups, dense = model.trunk.encoder(BATCH), model.trunk.dense(BATCH)
    # 2 bits of -1..1: 0.96 is 2.94 -> 3 = 11, -1 is 0 = 00, 0 is 1.5 -> the even 2 = 10. Row 0 is missing, read once;
    # bit k of value b is row 1 + 2 k + b, the lowest bit first; row r holds 10^r in each of the 3 places.
    assert read.similarities is not None
    read.similarities.set_weights([np.tile(10.0 ** np.arange(5)[:, None], 3)])
    fields, side = read(lookups, dense, {})
    assert read.field_names == ("item", "text")
    assert fields.shape == (5, 2, 3)
    np.testing.assert_allclose(side.numpy(), np.tile([[10100.0], [1010.0], [10010.0], [1.0], [1.0]], 3))


def test_sides_of_the_other_options() -> None:
    for vectors, names, width in (("projection", ("item", "user", "ad", "text"), None), ("raw", ("item",), 10)):
        model = ranker(vectors=vectors)
        read = model.trunk.inputs_of_sets["set1"]
        fields, side = read(model.trunk.encoder(BATCH), model.trunk.dense(BATCH), {})
        assert read.field_names == names
        assert fields.shape == (5, len(names), 4)
        assert (None if side is None else side.shape[1]) == width


@pytest.mark.parametrize("vectors", ["projection", "similarity", "raw"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_gradient_reaches_every_weight_and_a_graph_agrees(vectors: str, similarity: str) -> None:
    model, batch = ranker(vectors=vectors, similarity=similarity), drawn(64)
    for weight in model.trainable_weights:
        if "bias" in weight.name:
            weight.assign_add(0.1 * tf.ones_like(weight))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None, weight.name
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0, weight.name
    inputs = {name: values for name, values in batch.items() if name != "click"}
    unknown = {name: tf.TensorSpec([None, *t.shape[1:]], t.dtype) for name, t in inputs.items()}
    graph = tf.function(model, input_signature=[unknown])
    np.testing.assert_allclose(graph(inputs)["click"].numpy(), model(inputs)["click"].numpy(), rtol=1e-5)
    merged = model.merged(table_variables=1)
    np.testing.assert_allclose(merged(inputs)["click"].numpy(), model(inputs)["click"].numpy(), rtol=1e-6)


def test_equal_similarities_give_equal_predictions_whatever_the_vectors() -> None:
    model = ranker(schema_of())
    turned = np.array([[0.0, -1.0], [1.0, 0.0]], np.float32)
    other = {**BATCH, "user": 7.0 * BATCH["user"] @ turned, "ad": BATCH["ad"] @ turned}
    np.testing.assert_allclose(model(other)["click"].numpy(), model(BATCH)["click"].numpy(), rtol=1e-6)


def test_a_dot_product_needs_its_statistics() -> None:
    with pytest.raises(ValueError, match=r"'ad' has no statistics of its dot product with 'user'.*'cosine'"):
        ranker(schema_of(statistics=None), similarity="dot")


def test_vectors_alone_leave_nothing_that_interacts() -> None:
    schema = dataclasses.replace(schema_of(), features=schema_of().features[1:3])
    with pytest.raises(ValueError, match="--vectors=projection"):
        ranker(schema)


def test_numbers_alone_interact_by_a_network() -> None:
    numbers = tuple(Numeric(name=name, statistics=DOTS) for name in ("a", "b"))
    schema = dataclasses.replace(schema_of(), features=numbers)
    model = ranker(schema, numeric="periodic")
    batch = {"a": tf.constant([1.0, NAN]), "b": tf.constant([0.0, 2.0]), "click": tf.constant([1.0, 0.0])}
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(tf.data.Dataset.from_tensors(batch).repeat(3), epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair": "item"}, "'ad' is paired with 'item', which is not another vector. Known: user, text"),
        ({"pair": "ad"}, "'ad' is paired with 'ad'"),
        ({"pair": "text"}, "'ad' has length 2, but its pair 'text' has 3"),
    ],
)
def test_pairs_that_cannot_be_compared(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        schema_of(**changes)


def test_a_pair_is_declared_once() -> None:
    item, _, *others = schema_of().features
    user = Vector(name="user", length=2, pair="ad", side="user")
    with pytest.raises(SchemaError, match="name each other"):
        dataclasses.replace(schema_of(), features=(item, user, *others))
