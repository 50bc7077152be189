"""The table of public layers, each with inputs and what must come out: the promises of every layer are tested on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

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
    sequences=(layers.BehaviourSequence(name="s", parts=(layers.BehaviourPart(table="a", target="a"),), length=4),),
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
        lambda **k: layers.EmbeddingSet(PLAN, 3, table_variables=1, **k), lookups, (None, 3, 3), single=True
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
    layers.PiecewiseEmbedding: Row(
        lambda **k: layers.PiecewiseEmbedding(3, knots=(-0.5, 0.0, 0.5), **k),
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
