"""Every public layer keeps the same promises: one table with a row a layer, and one test a promise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import layers

Inputs = tuple[Any, ...]
PLAN = layers.LookupPlan.ordered(
    tables=(layers.Table(name="a", rows=7), layers.Table(name="b", rows=5)),
    fields=(
        layers.Field(name="a", table="a"),
        layers.Field(name="b", table="b", lookups=2),
        layers.Field(name="c", table="b", lookups=2, weighted=True),
    ),
    sequences=(layers.BehaviourSequence(name="s", tables=("a",), fields=("a",), length=4),),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer, how to feed it, and what must come out for B examples (`None` stands for B).

    `dtype` is that of the output, and `low` that under mixed_bfloat16. `exact` allows products of matrices in float32
    even then; such a layer says which, in its docstring or beside the code. `single`: computes or stores in float32
    even if its dtype is float64, and says so. `ranks`: what the first input may have beside the rank of `inputs`.
    `ints`: whether the first input may be integers. `optional`: whether the last input may be left out.
    """

    make: Callable[..., keras.layers.Layer]
    inputs: Callable[[int], Inputs]
    shape: tuple[int | None, ...]
    low: tf.DType = tf.bfloat16
    dtype: tf.DType = tf.float32
    exact: bool = False
    single: bool = False
    ranks: tuple[int, ...] = ()
    ints: bool = False
    optional: bool = False


def real(*shape: int | None) -> Callable[[int], tf.Tensor]:
    def draw(batch: int) -> tf.Tensor:
        return tf.random.stateless_normal([batch if n is None else n for n in shape], seed=(len(shape), batch))

    return draw


def lengths(batch: int) -> tf.Tensor:
    """Mask `[B, 4]`; the first example has no behaviour at all."""
    return tf.sequence_mask(tf.range(batch) % 5, 4)


def lookups(batch: int) -> Inputs:
    rows = tf.random.stateless_uniform([batch, 5], seed=(1, 2), maxval=5, dtype=tf.int64)
    sequences = {"s": tf.random.stateless_uniform([batch, 4, 1], seed=(3, 4), maxval=7, dtype=tf.int64)}
    return (layers.Lookups(rows=rows, weights=real(None, 2)(batch), sequences=sequences),)


FIELDS = real(None, 4, 3)
ROWS: dict[type[keras.layers.Layer], Row] = {
    layers.EmbeddingSet: Row(
        lambda **k: layers.EmbeddingSet(PLAN, 3, groups=1, **k), lookups, (None, 3, 3), single=True
    ),
    layers.Dense: Row(lambda **k: layers.Dense(4, **k), lambda b: (real(None, 5)(b),), (None, 4), ranks=(3,)),
    layers.FlatDNN: Row(lambda **k: layers.FlatDNN((6, 5), **k), lambda b: (FIELDS(b),), (None, 5)),
    layers.CrossNetV2: Row(lambda **k: layers.CrossNetV2(2, **k), lambda b: (FIELDS(b),), (None, 12)),
    layers.ConversionChain: Row(
        lambda **k: layers.ConversionChain(**k), lambda b: (real(None, 3)(b),), (None, 3), tf.float32
    ),
    layers.InnerProduct: Row(lambda **k: layers.InnerProduct(**k), lambda b: (FIELDS(b),), (None, 18)),
    layers.FactorizationMachine: Row(lambda **k: layers.FactorizationMachine(**k), lambda b: (FIELDS(b),), (None, 3)),
    layers.GroupWeightedFM: Row(
        lambda **k: layers.GroupWeightedFM((0, 0, 1, 2), (0, 1, 1, 2), **k),
        lambda b: (FIELDS(b),),
        (None, 1),
        exact=True,
    ),
    layers.FieldWeightedFM: Row(lambda **k: layers.FieldWeightedFM(**k), lambda b: (FIELDS(b),), (None, 3)),
    layers.FieldAwareFM: Row(lambda **k: layers.FieldAwareFM(**k), lambda b: (real(None, 3, 6)(b),), (None, 2)),
    layers.FieldPairProjection: Row(lambda **k: layers.FieldPairProjection(**k), lambda b: (FIELDS(b),), (None, 3)),
    layers.OuterProduct: Row(lambda **k: layers.OuterProduct(**k), lambda b: (FIELDS(b),), (None, 18)),
    layers.CompressedInteraction: Row(
        lambda **k: layers.CompressedInteraction((5, 4), **k), lambda b: (FIELDS(b),), (None, 9)
    ),
    layers.FieldAttention: Row(
        lambda **k: layers.FieldAttention(2, heads=2, width=3, **k), lambda b: (FIELDS(b),), (None, 24)
    ),
    layers.TwoStream: Row(
        lambda **k: layers.TwoStream((6, 4), heads=2, contexts=((0, 2), ()), gate=5, **k),
        lambda b: (FIELDS(b),),
        (None, 12),
    ),
    layers.InteractionStack: Row(
        lambda **k: layers.InteractionStack(
            [[layers.FlatDNN((5,), **k), layers.CrossNetV2(1, **k)], [layers.FactorizationMachine(**k)]], **k
        ),
        # Width 16: layer normalisation over very few numbers magnifies the rounding of low precision.
        lambda b: (real(None, 4, 16)(b),),
        (None, 64),
    ),
    layers.Expert: Row(
        lambda **k: layers.Expert(layers.FlatDNN((4,), **k), 6, **k),
        lambda b: (FIELDS(b), real(None, 2)(b)),
        (None, 6),
        optional=True,
    ),
    layers.Gate: Row(
        lambda **k: layers.Gate((("train", "off", "detached"), ("train", "train", "train")), **k),
        lambda b: (real(None, 3, 4)(b), real(None, 5)(b)),
        (None, 2, 4),
    ),
    layers.TaskHeads: Row(
        lambda **k: layers.TaskHeads((0, 1, 1, 0, 1), **k), lambda b: (real(None, 2, 3)(b),), (None, 5)
    ),
    layers.Towers: Row(lambda **k: layers.Towers((4, 3), **k), lambda b: (real(None, 2, 5)(b),), (None, 2, 3)),
    layers.SequenceMean: Row(
        lambda **k: layers.SequenceMean(**k), lambda b: (real(None, 4, 3)(b), lengths(b)), (None, 3)
    ),
    layers.TemporalInterest: Row(
        lambda **k: layers.TemporalInterest(4, **k),
        lambda b: (real(None, 4, 3)(b), real(None, 3)(b), lengths(b), 1e5 * tf.abs(real(None, 4)(b))),
        (None, 3),
        exact=True,
    ),
    layers.TargetAttention: Row(
        lambda **k: layers.TargetAttention((5, 4), **k),
        lambda b: (real(None, 4, 3)(b), real(None, 3)(b), lengths(b)),
        (None, 3),
    ),
    layers.SelfAttention: Row(
        # Width 8: layer normalisation over very few numbers magnifies the rounding of low precision.
        lambda **k: layers.SelfAttention(4, blocks=2, **k),
        lambda b: (real(None, 4, 8)(b), real(None, 8)(b), lengths(b)),
        (None, 8),
    ),
    layers.MeanAggregator: Row(
        lambda **k: layers.MeanAggregator(5, **k),
        lambda b: (real(None, 3)(b), real(None, 4, 3)(b), lengths(b)),
        (None, 5),
    ),
    layers.MultipleNumeralSystem: Row(
        lambda **k: layers.MultipleNumeralSystem(3, bits=4, low=-1.0, high=1.0, **k),
        lambda b: (_numbers(b),),
        (None, 3),
        exact=True,
        ranks=(2,),
        ints=True,
    ),
    layers.ScaledNumber: Row(
        lambda **k: layers.ScaledNumber(3, mean=(0.1, 0.2), std=2.0, **k),
        lambda b: (_two_numbers(b),),
        (None, 2, 3),
        ranks=(1,),
        ints=True,
    ),
    layers.BucketEmbedding: Row(
        lambda **k: layers.BucketEmbedding(3, boundaries=(-0.5, 0.0, 0.5), **k),
        lambda b: (_two_numbers(b),),
        (None, 2, 3),
        ranks=(1,),
        ints=True,
    ),
    layers.AutoDis: Row(
        lambda **k: layers.AutoDis(3, buckets=4, **k),
        lambda b: (_two_numbers(b),),
        (None, 2, 3),
        exact=True,
        ranks=(1,),
        ints=True,
    ),
    layers.PeriodicFeatures: Row(
        lambda **k: layers.PeriodicFeatures(3, frequencies=4, **k),
        lambda b: (_two_numbers(b),),
        (None, 2, 3),
        ranks=(1,),
        ints=True,
    ),
    layers.PairSimilarity: Row(
        lambda **k: layers.PairSimilarity(**k),
        lambda b: (real(None, 4)(b), real(None, 4)(b + 1)[1:]),
        (None,),
        tf.float32,
    ),
    layers.HashID: Row(
        lambda **k: layers.HashID(5, seed=1, center=(0.1, 0.2, 0.3, 0.4), **k),
        lambda b: (_vectors(b),),
        (None, 5),
        tf.int64,
        tf.int64,
    ),
    layers.BitCode: Row(lambda **k: layers.BitCode(3, 5, group=2, **k), lambda b: (_bits(b),), (None, 3), ints=True),
    layers.ResidualQuantizer: Row(
        lambda **k: layers.ResidualQuantizer(2, 3, **k),
        lambda b: (real(None, 4)(b),),
        (None, 4),
        exact=True,
        single=True,
    ),
    layers.GaussianProcessHead: Row(
        lambda **k: layers.GaussianProcessHead(4, base_rate=0.1, features=3, **k),
        lambda b: (real(None, 5)(b),),
        (None, 2),
        tf.float32,
        single=True,
        ranks=(3,),
    ),
    layers.LastLayerLaplace: Row(
        lambda **k: layers.LastLayerLaplace(**k),
        lambda b: (real(None, 5)(b),),
        (None, 2),
        tf.float32,
        single=True,
        ranks=(3,),
    ),
    layers.RandomFeatureGP: Row(
        # Wide and smooth: rounding to low precision must not move the cosines far.
        lambda **k: layers.RandomFeatureGP(64, base_rate=0.1, length_scale=2.0, **k),
        lambda b: (real(None, 5)(b),),
        (None, 2),
        tf.float32,
        single=True,
        ranks=(3,),
    ),
    layers.TrainingHeads: Row(
        lambda **k: layers.TrainingHeads(("pseudo", "residual"), tower_of=(0, 1, 1), hidden=(4,), **k),
        lambda b: (real(None, 2, 3)(b),),
        (None, 6),
        low=tf.float32,
    ),
    layers.GroupStructureLearning: Row(
        lambda **k: layers.GroupStructureLearning(2, 3, 4, hidden=(6,), **k),
        lambda b: (real(None, 5)(b),),
        (None, 9),
        exact=True,
        single=True,
    ),
    layers.VectorProjection: Row(lambda **k: layers.VectorProjection(3, **k), lambda b: (_vectors(b),), (None, 3)),
}


def _numbers(batch: int) -> tf.Tensor:
    return tf.where(tf.range(batch) % 3 == 1, float("nan"), real(None)(batch))


def _two_numbers(batch: int) -> tf.Tensor:
    missing = tf.range(2 * batch) % 3 == 1
    return tf.where(tf.reshape(missing, (batch, 2)), float("nan"), real(None, 2)(batch))


def _vectors(batch: int) -> tf.Tensor:
    vectors = real(None, 4)(batch)
    return tf.where((tf.range(batch) % 3 == 0)[:, tf.newaxis], float("nan"), vectors)


def _bits(batch: int) -> tf.Tensor:
    bits = tf.random.stateless_uniform([batch, 5], seed=(5, batch), maxval=2, dtype=tf.int64)
    return tf.where((tf.range(batch) % 3 == 0)[:, tf.newaxis], tf.constant(-1, tf.int64), bits)


LOW_ROWS = [row for row in ROWS.values() if row.low == tf.bfloat16 and not row.exact]


def name_of(row: Row) -> str:
    return type(row.make()).__name__


EVERY_ROW = pytest.mark.parametrize("row", ROWS.values(), ids=name_of)


def called(layer: keras.layers.Layer, inputs: Inputs) -> tf.Tensor:
    """The layer's output; a loss that comes with it is added, what comes by name is joined: one tensor."""
    output = layer(*inputs)
    if isinstance(layer, layers.TrainingHeads):
        return tf.concat(list(output.values()), axis=1)
    if isinstance(output, layers.GaussianLogits):
        return tf.stack(output, axis=1)
    if isinstance(output, (layers.Quantized, layers.GroupStructure)):
        return output[0] + tf.cast(output.loss, output[0].dtype)[:, tf.newaxis]
    return output


def test_every_public_layer_has_a_row() -> None:
    public = {
        value for value in vars(layers).values() if isinstance(value, type) and issubclass(value, keras.layers.Layer)
    }
    assert public == set(ROWS)


@EVERY_ROW
@pytest.mark.parametrize("batch", [1, 6])
def test_shape_and_dtype(row: Row, batch: int) -> None:
    output = called(row.make(), row.inputs(batch))
    assert tuple(output.shape) == tuple(batch if n is None else n for n in row.shape)
    assert output.dtype == row.dtype
    assert np.isfinite(output.numpy()).all()


@EVERY_ROW
def test_graph_with_unknown_batch_equals_eager(row: Row) -> None:
    layer, inputs = row.make(), row.inputs(6)
    eager = called(layer, inputs)
    unknown = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), inputs)
    graph = tf.function(lambda *given: called(layer, given), input_signature=unknown)
    np.testing.assert_allclose(graph(*inputs).numpy(), eager.numpy(), rtol=1e-5, atol=1e-6)
    assert graph.get_concrete_function().output_shapes.as_list()[1:] == list(row.shape[1:])
    one = row.inputs(1)
    np.testing.assert_allclose(graph(*one).numpy(), called(layer, one).numpy(), rtol=1e-5, atol=1e-6)


@EVERY_ROW
def test_config_and_weights_rebuild_the_layer(row: Row) -> None:
    layer, inputs = row.make(), row.inputs(5)
    expected = called(layer, inputs)
    copy = layer.__class__.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    called(copy, inputs)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(called(copy, inputs).numpy(), expected.numpy())


@EVERY_ROW
def test_saved_model_equals_the_layer(row: Row, tmp_path: Path) -> None:
    layer, inputs = row.make(), row.inputs(5)
    expected = called(layer, inputs)
    unknown = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), inputs)
    module = tf.Module()
    module.layer = layer
    module.score = tf.function(lambda *given: called(layer, given), input_signature=unknown)
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={})
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.score(*inputs).numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)


@EVERY_ROW
def test_gradient_reaches_every_weight(row: Row) -> None:
    layer, inputs = row.make(), row.inputs(8)
    called(layer, inputs)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(tf.cast(called(layer, inputs), tf.float32) - 0.3))
    gradients = tape.gradient(loss, layer.trainable_weights)
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.name
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).sum() > 0, weight.name


@EVERY_ROW
def test_mixed_bfloat16_computes_low_and_keeps_weights_high(row: Row) -> None:
    full = row.make()
    expected = called(full, row.inputs(6))
    low = row.make(dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    called(low, row.inputs(6))
    low.set_weights(full.get_weights())
    output = called(low, row.inputs(6))
    assert output.dtype == row.low
    assert all(weight.dtype == tf.float32 for weight in low.weights)
    scale = float(tf.reduce_max(tf.abs(expected)))
    np.testing.assert_allclose(tf.cast(output, tf.float32).numpy(), expected.numpy(), atol=0.04 * max(scale, 0.1))


@pytest.mark.parametrize("row", LOW_ROWS, ids=name_of)
def test_mixed_bfloat16_multiplies_no_matrices_in_float32(row: Row) -> None:
    layer, inputs = row.make(dtype=keras.mixed_precision.Policy("mixed_bfloat16")), row.inputs(6)
    called(layer, inputs)
    graph = tf.function(lambda *given: called(layer, given)).get_concrete_function(*inputs).graph
    products = [op for op in graph.get_operations() if op.type in ("MatMul", "BatchMatMulV2", "Einsum")]
    assert not [op.name for op in products if op.get_attr("T") == tf.float32]


@EVERY_ROW
def test_mixed_bfloat16_gives_each_weight_its_gradient(row: Row) -> None:
    """A large batch: what is summed over it in bfloat16 itself comes out several times too small."""
    keras.utils.set_random_seed(0)
    full, low = row.make(), row.make(dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    inputs = row.inputs(2048)
    gradients = []
    for layer in (full, low):
        called(layer, inputs)
        layer.set_weights(full.get_weights())
        with tf.GradientTape() as tape:
            output = tf.cast(called(layer, inputs), tf.float32)
            # Not the plain sum, which a layer normalisation keeps constant.
            loss = tf.reduce_sum(output * tf.linspace(0.5, 1.5, output.shape[-1]))
        gradients.append([tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, layer.trainable_weights)])
    # A weight that the output does not depend on, as the bias of attention's keys, has rounding for its gradient.
    nothing = 1e-3 * max((np.linalg.norm(gradient) for gradient in gradients[0]), default=0.0)
    for weight, expected, found in zip(full.trainable_weights, *gradients, strict=True):
        assert np.linalg.norm(found - expected) <= 0.1 * np.linalg.norm(expected) + nothing, weight.name


@EVERY_ROW
def test_same_seed_same_weights(row: Row) -> None:
    def weights() -> list[np.ndarray[Any, Any]]:
        keras.utils.set_random_seed(7)
        layer = row.make()
        called(layer, row.inputs(2))
        return layer.get_weights()  # type: ignore[no-any-return]

    for first, second in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@EVERY_ROW
def test_usable_in_a_functional_model(row: Row, tmp_path: Path) -> None:
    inputs = row.inputs(6)
    if isinstance(inputs[0], layers.Lookups):
        given = tf.nest.map_structure(lambda t: keras.Input(t.shape[1:], dtype=t.dtype), inputs[0])
        symbolic, flat = (given,), tf.nest.flatten(given)
    else:
        symbolic = tuple(keras.Input(t.shape[1:], dtype=t.dtype) for t in inputs)
        flat = list(symbolic)
    model = keras.Model(flat, called(row.make(), symbolic))
    expected = model(tf.nest.flatten(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(tf.nest.flatten(inputs)).numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)


WITHOUT_LOOKUPS = pytest.mark.parametrize(
    "row", [row for layer, row in ROWS.items() if layer is not layers.EmbeddingSet], ids=name_of
)


def refusal(row: Row, layer: keras.layers.Layer, inputs: Inputs, error: Any = (TypeError, ValueError)) -> str:
    """The layer's own message about wrong inputs."""
    with pytest.raises(error, match=rf"(?s){name_of(row)}.*Received: ") as caught:
        layer(*inputs)
    return str(caught.value)


def changed(inputs: Inputs, place: int, value: Any) -> Inputs:
    return (*inputs[:place], value, *inputs[place + 1 :])


def longer(value: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.concat([value, tf.gather(value, [0], axis=axis)], axis=axis)


@WITHOUT_LOOKUPS
@pytest.mark.parametrize("built", [False, True])
def test_an_input_of_the_wrong_rank_is_refused(row: Row, built: bool) -> None:
    inputs = row.inputs(6)
    for place, value in enumerate(inputs):
        legal = {value.shape.rank, *(row.ranks if place == 0 or row.ranks == (3,) else ())}
        if name_of(row) == "Gate" and place == 1:
            legal.add(3)
        for other in (value[..., 0], value[..., tf.newaxis]):
            layer = row.make(name="mine")
            if built:
                called(layer, inputs)
            if other.shape.rank not in legal:
                assert "mine" in refusal(row, layer, changed(inputs, place, other), ValueError)


@WITHOUT_LOOKUPS
def test_an_input_of_another_size_than_the_built_one_is_refused(row: Row) -> None:
    layer, inputs = row.make(name="mine"), row.inputs(6)
    called(layer, inputs)
    for place, value in enumerate(inputs):
        for axis in range(1, value.shape.rank):
            assert "mine" in refusal(row, layer, changed(inputs, place, longer(value, axis)), ValueError)
    called(layer, inputs)


@WITHOUT_LOOKUPS
def test_an_input_of_the_wrong_type_is_refused(row: Row) -> None:
    inputs = row.inputs(6)
    for place, value in enumerate(inputs):
        numbers = (
            value.dtype.is_bool or (row.ints and place == 0) or (name_of(row) == "TemporalInterest" and place == 3)
        )
        others: list[Any] = [tf.fill(value.shape, "text"), [value, value]]
        others.append(tf.cast(value, tf.float32) if value.dtype.is_bool else tf.zeros(value.shape, tf.bool))
        others += [] if numbers else [tf.zeros(value.shape, tf.int32), tf.RaggedTensor.from_tensor(tf.ones([2, 2]))]
        for other in others:
            assert "mine" in refusal(row, row.make(name="mine"), changed(inputs, place, other), TypeError)


@WITHOUT_LOOKUPS
def test_the_wrong_number_of_inputs_is_refused(row: Row) -> None:
    inputs = row.inputs(6)
    refusal(row, row.make(), (), TypeError)
    refusal(row, row.make(), (*inputs, inputs[0]), TypeError)
    if not row.optional:
        refusal(row, row.make(), inputs[:-1])


def test_wrong_lookups_are_refused() -> None:
    row = ROWS[layers.EmbeddingSet]
    (good,) = row.inputs(6)
    for wrong in (
        good._replace(rows=good.rows[:, :4]),
        good._replace(rows=good.rows[:, :, tf.newaxis]),
        good._replace(weights=good.weights[:, :1]),
    ):
        refusal(row, row.make(), (wrong,), ValueError)
    for wrong in (good._replace(rows=tf.cast(good.rows, tf.float32)), good.rows):
        refusal(row, row.make(), (wrong,), TypeError)


@EVERY_ROW
def test_unknown_sizes_pass_where_they_are_not_needed(row: Row) -> None:
    """A batch, and a history, of any size: the graph of `[None, None, ...]` is built from a layer that is."""
    layer, inputs = row.make(), row.inputs(6)
    eager = called(layer, inputs)
    sequences = any(t.dtype.is_bool for t in tf.nest.flatten(inputs))
    if sequences:
        of_history = [t.shape[:2] == [6, 4] for t in inputs]
        specs = [
            tf.TensorSpec([None, None, *t.shape[2:]] if long else [None, *t.shape[1:]], t.dtype)
            for t, long in zip(inputs, of_history, strict=True)
        ]
        graph = tf.function(lambda *given: called(layer, given), input_signature=specs)
        np.testing.assert_allclose(graph(*inputs).numpy(), eager.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", [row for row in ROWS.values() if not row.single], ids=name_of)
def test_float64_computes_in_float64(row: Row) -> None:
    """No operation has a result of lower precision, on the way to an output of float64."""
    layer = row.make(dtype="float64")
    inputs = tf.nest.map_structure(lambda t: tf.cast(t, tf.float64) if t.dtype.is_floating else t, row.inputs(6))
    output = called(layer, inputs)
    assert output.dtype == (tf.int64 if row.dtype.is_integer else tf.float64)
    assert all(weight.dtype == tf.float64 for weight in layer.weights)
    graph = tf.function(lambda *given: called(layer, given)).get_concrete_function(*inputs).graph
    low = {tf.float32, tf.float16, tf.bfloat16}
    assert not [op.name for op in graph.get_operations() if any(result.dtype in low for result in op.outputs)]


MASKED = [row for row in ROWS.values() if any(t.dtype.is_bool for t in tf.nest.flatten(row.inputs(1)))]


@pytest.mark.parametrize("row", MASKED, ids=name_of)
@pytest.mark.parametrize(
    ("junk", "compiled"), [(float("nan"), False), (-float("inf"), False), (float("nan"), True)], ids=str
)
def test_what_stands_at_masked_places_does_not_matter(row: Row, junk: float, compiled: bool) -> None:
    """Neither to the output nor to a gradient, that of the masked places being exactly 0."""
    layer, inputs = row.make(), row.inputs(6)
    called(layer, inputs)
    (mask,) = (t for t in inputs if t.dtype.is_bool)
    masked = [t.dtype.is_floating and t.shape[:2] == mask.shape for t in inputs]

    def filled(value: float) -> Inputs:
        return tuple(
            tf.where(mask[..., tf.newaxis] if t.shape.rank == 3 else mask, t, value) if here else t
            for t, here in zip(inputs, masked, strict=True)
        )

    @tf.function(jit_compile=compiled)
    def run(*given: tf.Tensor) -> Any:
        sources = [t for t in given if t.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            output = called(layer, given)
            loss = tf.reduce_sum(tf.square(output - 0.3))
        gradients = tape.gradient(loss, [*sources, *layer.trainable_weights], unconnected_gradients="zero")
        return output, [tf.convert_to_tensor(gradient) for gradient in gradients]

    expected, found = run(*filled(0.0)), run(*filled(junk))
    for one, other in zip(tf.nest.flatten(expected), tf.nest.flatten(found), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    behaviours = next(gradient for gradient, t in zip(found[1], inputs, strict=False) if t.shape.rank == 3)
    assert (behaviours.numpy()[~mask.numpy()] == 0).all()
    if not isinstance(layer, layers.MeanAggregator):
        nothing = ~mask.numpy().any(axis=1)
        assert nothing.any()
        assert (found[0].numpy()[nothing] == 0).all()


def wrong_arguments(config: dict[str, Any]) -> list[tuple[str, Any]]:
    """Arguments that count something as 0, negative or a fraction, and literals that are none."""
    wrong: list[tuple[str, Any]] = []
    for name, value in config.items():
        if isinstance(value, int) and not isinstance(value, bool) and name not in ("seed", "k_means_steps", "groups"):
            wrong += [(name, other) for other in (0, -1, 1.5)]
        if isinstance(value, tuple) and name in ("units", "hidden", "maps", "bases"):
            wrong += [(name, other) for other in ((0,), (-1,), (1.5,))]
        if name in ("form", "combine", "kind", "similarity", "kernel"):
            wrong.append((name, "no such thing"))
        if name == "dropout":
            wrong += [(name, other) for other in (-0.1, 1.0, float("nan"))]
    return wrong


# The arguments of Dense are Keras's.
@pytest.mark.parametrize("row", [row for layer, row in ROWS.items() if layer is not layers.Dense], ids=name_of)
def test_an_argument_that_cannot_be_is_refused(row: Row) -> None:
    layer = type(row.make())
    config = row.make().get_config()
    # Keras's own from_config makes a TypeError of whatever goes wrong.
    make = layer.from_config if "from_config" in vars(layer) else lambda config: layer(**config)
    for name, value in wrong_arguments(config):
        with pytest.raises(ValueError, match="Received: "):
            make({**config, name: value})
