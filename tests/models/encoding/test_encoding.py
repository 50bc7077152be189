"""From raw columns to rows and weights: ids, numbers, bits and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from fullrank import layers
from fullrank.data.schema.features import Bits, IdMap, Label, Numeric, NumericStatistics, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.layers.numbers.bucket_embedding import bucket_rows
from fullrank.layers.numbers.numeral_systems import scaled_integers
from fullrank.models.encoding import numbers
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.encoding.id_rows import IdColumn, IdRows

INT = "int64"


def rows_of(ids: Any, *, ids_map: IdMap, dtype: str = INT, vocabulary: Any = None) -> list[Any]:
    ids = np.array(ids, object) if dtype == "bytes" else np.array(ids, np.int64)
    width = ids.shape[1] if ids.ndim == 2 else 1
    mapper = IdRows(
        columns=[IdColumn(name="x", dtype=dtype, width=width, table="x")],
        maps={"x": ids_map},
        vocabularies={} if vocabulary is None else {"x": vocabulary},
    )
    found: list[Any] = mapper({"x": tf.constant(ids)})["x"].numpy().tolist()
    return found


def test_identity_rows_by_hand() -> None:
    rows = rows_of([0, 2, 3, -1, -7], ids_map=IdMap(kind="identity", size=3))
    assert rows == [[2], [4], [1], [0], [1]]


def test_vocabulary_rows_by_hand() -> None:
    ints = rows_of([9, -5, 4, -1], ids_map=IdMap(size=2), vocabulary=np.array([-5, 9]))
    assert ints == [[3], [2], [1], [0]]
    words = rows_of([b"b", b"", b"z", b"a"], ids_map=IdMap(size=2), dtype="bytes", vocabulary=np.array([b"a", b"b"]))
    assert words == [[3], [0], [1], [2]]


def test_many_ids_keep_their_places() -> None:
    rows = rows_of([[1, 0, -1], [5, -1, -1]], ids_map=IdMap(kind="identity", size=2))
    assert rows == [[3, 2, 0], [1, 0, 0]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30), st.integers(1, 1000))
def test_hashed_rows_stay_in_the_table_and_depend_on_the_id_alone(ids: list[int], size: int) -> None:
    ids_map = IdMap(kind="hash", size=size)
    rows = [row for (row,) in rows_of(ids, ids_map=ids_map)]
    assert all(row == 0 if given == -1 else 2 <= row < ids_map.rows for given, row in zip(ids, rows, strict=True))
    assert [row for (row,) in rows_of(ids[::-1], ids_map=ids_map)] == rows[::-1]


def test_hashed_rows_spread_evenly() -> None:
    rows = np.array(rows_of(np.arange(20_000), ids_map=IdMap(kind="hash", size=100)))[:, 0]
    counts = np.bincount(rows, minlength=102)[2:]
    # 200 a bucket expected, standard deviation 14: six of them either way.
    assert counts.min() > 115
    assert counts.max() < 285


def test_columns_of_all_kinds_at_once_equal_one_at_a_time() -> None:
    maps = {"a": IdMap(kind="identity", size=4), "b": IdMap(kind="hash", size=9)}
    maps |= {"c": IdMap(size=3), "d": IdMap(size=1)}
    vocabularies = {"c": np.array([7, 8, 9]), "d": np.array([b"x"], object)}
    columns = [
        IdColumn(name="d", dtype="bytes", width=1, table="d"),
        IdColumn(name="c", dtype=INT, width=2, table="c"),
        IdColumn(name="c2", dtype=INT, width=1, table="c"),
        IdColumn(name="b", dtype=INT, width=1, table="b"),
        IdColumn(name="b2", dtype="bytes", width=1, table="b"),
        IdColumn(name="a", dtype=INT, width=1, table="a"),
    ]
    batch = {
        "a": tf.constant([3, 4], tf.int64),
        "b": tf.constant([3, -1], tf.int64),
        "b2": tf.constant([b"q", b""]),
        "c": tf.constant([[9, -1], [8, 7]], tf.int64),
        "c2": tf.constant([9, 1], tf.int64),
        "d": tf.constant([b"x", b"y"]),
    }
    together = IdRows(columns=columns, maps=maps, vocabularies=vocabularies)(batch)
    for column in columns:
        alone = IdRows(columns=[column], maps=maps, vocabularies=vocabularies)(batch)
        np.testing.assert_array_equal(together[column.name].numpy(), alone[column.name].numpy())
    np.testing.assert_array_equal(together["c"].numpy(), [[4, 0], [3, 2]])
    np.testing.assert_array_equal(together["c2"].numpy(), [[4], [1]])


def test_an_id_listed_twice_is_found_out() -> None:
    with pytest.raises(ValueError, match="listed twice"):
        rows_of([1], ids_map=IdMap(size=2), vocabulary=np.array([4, 4]))


def test_string_ids_cannot_be_rows_themselves() -> None:
    with pytest.raises(ValueError, match="need a vocabulary or a hash"):
        rows_of([b"x"], ids_map=IdMap(kind="identity", size=2), dtype="bytes")


def real(name: str, quantiles: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0), **bins: tuple[float, ...]) -> Numeric:
    statistics = NumericStatistics(
        mean=2.0, std=0.5, minimum=0.0, maximum=4.0, missing=0.0, quantiles=quantiles, **bins
    )
    return Numeric(name=name, statistics=statistics)


def test_bucket_rows_by_hand() -> None:
    # Quantiles 0..4 in 4 buckets: inner boundaries 1, 2, 3; a value on a boundary belongs to the upper bucket.
    edges = numbers.boundaries([real("x")], buckets=4)
    np.testing.assert_array_equal(edges, [[1, 2, 3]])
    values = tf.constant([[-9.0], [1.0], [1.5], [3.0], [99.0], [float("nan")], [float("inf")]])
    np.testing.assert_array_equal(bucket_rows(values, tf.constant(edges)).numpy()[:, 0], [1, 2, 2, 4, 4, 0, 4])


def test_repeated_quantiles_leave_fewer_buckets() -> None:
    edges = numbers.boundaries([real("x", (0.0, 0.0, 0.0, 0.0, 1.0))], buckets=4)
    np.testing.assert_array_equal(edges, [[0, np.inf, np.inf]])
    rows = bucket_rows(tf.constant([[-1.0], [0.0], [1.0]]), tf.constant(edges)).numpy()[:, 0]
    np.testing.assert_array_equal(rows, [1, 2, 2])


def test_an_amount_that_is_mostly_zero_keeps_its_buckets() -> None:
    # 95 % are 0. Quartiles know nothing else; bins of at least 2 % join 1 with 2 and leave 0 alone.
    amount = real(
        "x", (0.0, 0.0, 0.0, 0.0, 4.0), values=(0.0, 1.0, 2.0, 3.0, 4.0), shares=(0.95, 0.01, 0.01, 0.02, 0.01)
    )
    np.testing.assert_array_equal(numbers.boundaries([amount], buckets=4), [[1, 3, 4]])
    np.testing.assert_array_equal(numbers.boundaries([amount], buckets=6), [[1, 2, 3, 4, np.inf]])
    np.testing.assert_array_equal(numbers.piecewise_knots([amount], buckets=4), [[0, 1, 3, 4, np.inf]])


@pytest.mark.parametrize(
    "bins",
    [
        {"values": (0.0, 1.0), "shares": (1.0,)},
        {"values": (1.0, 0.0), "shares": (0.5, 0.5)},
        {"values": (0.0, 1.0), "shares": (1.0, 0.0)},
    ],
)
def test_bins_of_a_schema_are_checked(bins: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match=r"bins of numeric feature 'x'.*Received: 2 values"):
        numbers.boundaries([real("x", **bins)], buckets=4)


def test_piecewise_code_of_a_model_is_that_of_the_layer() -> None:
    features = (real("x"), real("z", (0.0, 0.0, 4.0)))
    schema = Schema(name="s", features=features, labels=(Label(name="y"),))
    encoder = FeatureEncoder(schema, vocabularies={}, numeric="piecewise", buckets=4)
    knots = numbers.piecewise_knots(features, buckets=4)
    np.testing.assert_array_equal(knots, [[0, 1, 2, 3, 4], [0, 2, 4, np.inf, np.inf]])
    layer = layers.PiecewiseEmbedding(3, knots=tuple(map(tuple, knots.tolist())))
    embeddings = layers.EmbeddingSet(encoder.plan, 3, table_variables=1)
    values = tf.constant([[0.3, 3.9], [float("nan"), -7.0], [2.0, 99.0]])
    found = embeddings(encoder({"x": values[:, 0], "z": values[:, 1]})).numpy()
    layer(values)
    layer.set_weights(embeddings.get_weights())
    np.testing.assert_allclose(found, layer(values).numpy(), rtol=1e-6)


def test_buckets_need_fitted_quantiles() -> None:
    with pytest.raises(ValueError, match=r"'x' has no fitted quantiles.*'scaled'"):
        numbers.boundaries([Numeric(name="x")], buckets=4)


def test_scaled_rows_by_hand() -> None:
    # (2.5 - 2) / 0.5 = 1; 100 is clipped at 8 deviations; a missing number reads row 0 with weight 1.
    rows, weights = numbers.scaled_rows(
        tf.constant([[2.5], [100.0], [float("nan")]]), tf.constant([2.0]), tf.constant([0.5])
    )
    np.testing.assert_array_equal(rows.numpy()[:, 0], [1, 1, 0])
    np.testing.assert_array_equal(weights.numpy()[:, 0], [1, 8, 1])


def test_numeral_code_by_hand() -> None:
    # Quantiles 0..4 spread over 0..7: 0 -> 0, 4 -> 7, 2 -> 3.5 which rounds to the even 4. In base 2, lowest digit
    # first, 0 is 000, 7 is 111, 4 is 001: digit k of value b reads row 1 + 2 k + b.
    code = numbers.NumeralCode([real("x"), real("z")], bases=(2,), bits=3)
    assert (code.rows, code.lookups, code.weighted) == ((7, 7), (3, 3), True)
    rows, weights = code(tf.constant([[0.0, 4.0], [2.0, float("nan")]]))
    np.testing.assert_array_equal(rows.numpy(), [[1, 3, 5, 2, 4, 6], [1, 3, 6, 0, 0, 0]])
    assert weights is not None
    np.testing.assert_array_equal(weights.numpy(), [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


def test_numbers_of_a_model_are_those_of_the_layer() -> None:
    schema = Schema(name="s", features=(real("x"),), labels=(Label(name="y"),))
    encoder = FeatureEncoder(schema, vocabularies={}, numeric="mns", bases=(2, 3), bits=12)
    layer = layers.MultipleNumeralSystem(3, bases=(2, 3), bits=12, knots=tuple(numbers.knots([real("x")])[0].tolist()))
    embeddings, values = layers.EmbeddingSet(encoder.plan, 3), tf.constant([0.3, 3.9, float("nan"), -7.0, 2.0])
    found = embeddings(encoder({"x": values}))[:, 0].numpy()
    layer(values)
    layer.set_weights(embeddings.get_weights())
    np.testing.assert_allclose(found, layer(values).numpy(), rtol=1e-6)
    np.testing.assert_array_equal(found[2], embeddings.get_weights()[0][0])


def test_a_range_that_the_numbers_of_a_batch_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'x'.*Received: bits=25, float32"):
        numbers.NumeralCode([real("x")], bases=(2,), bits=25)


def mapped(low: float, high: float, **how: Any) -> Numeric:
    """A number in a range, whose quantiles show that nobody looks at them."""
    statistics = NumericStatistics(
        mean=0.0, std=1.0, minimum=low, maximum=high, missing=0.0, quantiles=(low, low, high)
    )
    return Numeric(name=how.pop("name", "x"), statistics=statistics, **how)


def integers(feature: Numeric, values: list[float], *, bits: int) -> list[int]:
    rows = scaled_integers(tf.constant(values)[:, tf.newaxis], tf.constant(numbers.knots([feature])), bits=bits)
    found: list[int] = rows.numpy()[:, 0].tolist()
    return found


def test_linear_map_by_hand() -> None:
    # 0..7 in 3 bits is the number itself; 2.4 is nearer to 2; outside is clipped; NaN is missing.
    values = [0.0, 1.0, 2.4, 5.0, 7.0, -3.0, 1e30, float("nan")]
    assert integers(mapped(0, 7, map="linear"), values, bits=3) == [0, 1, 2, 5, 7, 0, 7, -1]


def test_log_map_by_hand() -> None:
    # log(1 + x) of 0..127 is 0..7 log 2, so 2^k - 1 maps to k; of -127..127 it is symmetric about 0, and -127 is 0,
    # -7 is 4 steps of 14 from it: 4, 0 is 7, 15 is 11, 127 is 14, of a range of 15 steps: 4 * 15 / 14 = 4.3, 7.5 -> 8,
    # 11.8, 15.
    assert integers(mapped(0, 127, map="log"), [2.0**k - 1 for k in range(8)] + [1e9, -1.0], bits=3) == [
        *range(8),
        7,
        0,
    ]
    assert integers(mapped(-127, 127, map="log"), [-127.0, -7.0, 0.0, 15.0, 127.0], bits=4) == [0, 4, 8, 12, 15]


@pytest.mark.parametrize("kind", ["linear", "log", "quantile"])
@pytest.mark.parametrize(("low", "high"), [(-3e38, 3e38), (5.0, 5.0), (1e-30, 2e-30)])
def test_maps_of_any_range_never_fall(kind: Any, low: float, high: float) -> None:
    knots = numbers.knots([mapped(low, high, map=kind)])
    assert np.isfinite(knots).all()
    assert (np.diff(knots[0]) >= 0).all()
    np.testing.assert_array_equal(knots[0, [0, -1]], np.array([low, high], np.float32))


def test_linear_and_log_maps_need_a_fitted_range() -> None:
    for kind in ("linear", "log"):
        with pytest.raises(ValueError, match=r"'x' has no fitted range.*'scaled'"):
            numbers.knots([Numeric(name="x", map=kind)])


def test_features_with_numeral_systems_of_their_own_by_hand() -> None:
    # Of 0..7: x in base 2 with 3 bits, y in base 3 with 2 bits (0..3, two digits: 1 + 6 rows), z as x.
    x, y, z = (
        mapped(0, 7, map="linear", name="x"),
        mapped(0, 7, map="linear", name="y", bases=(3,), bits=2),
        mapped(0, 7, map="linear", name="z"),
    )
    schema = Schema(name="s", features=(x, y, z), labels=(Label(name="c"),))
    encoder = FeatureEncoder(schema, vocabularies={}, numeric="mns", bases=(2,), bits=3)
    assert [f.name for f in numbers.by_systems((x, y, z), bases=(2,), bits=3)] == ["x", "z", "y"]
    assert {table.name: table.rows for table in encoder.plan.tables} == {"x": 7, "y": 7, "z": 7}
    assert {field.name: field.lookups for field in encoder.plan.fields} == {"x": 3, "y": 2, "z": 3}
    batch = {"x": [5.0, 7.0], "y": [7.0, float("nan")], "z": [float("nan"), 1.0]}
    rows = encoder({name: tf.constant(values) for name, values in batch.items()}).rows.numpy()
    # Fields with fewer look-ups come first. y = 7 is 3 of 0..3, 10 in base 3: digit 0 row 1 + 0, digit 1 row 4 + 1.
    # x = 5 is 101: rows 2, 3, 6. z = 1 is 001: rows 2, 3, 5. x = 7: rows 2, 4, 6.
    np.testing.assert_array_equal(rows, [[1, 5, 2, 3, 6, 0, 0, 0], [0, 0, 2, 4, 6, 2, 3, 5]])


def test_per_feature_systems_equal_one_feature_at_a_time() -> None:
    draw = np.random.default_rng(1)
    features = [
        mapped(-2, 2, map=kind, name=f"{kind}{bits}{bases}", bits=bits, bases=bases)
        for kind in ("linear", "log", "quantile")
        for bits in (None, 4, 9)
        for bases in ((), (3, 5))
    ]
    values = draw.normal(size=(30, len(features))).astype(np.float32)
    values[draw.random(values.shape) < 0.2] = np.nan
    code = numbers.NumeralCode(features, bases=(2,), bits=6)
    together = np.split(code(tf.constant(values))[0].numpy(), np.cumsum(code.lookups)[:-1], axis=1)
    for k, feature in enumerate(features):
        alone = numbers.NumeralCode([feature], bases=(2,), bits=6)
        np.testing.assert_array_equal(alone(tf.constant(values[:, k : k + 1]))[0].numpy(), together[k])
        assert together[k].max() < code.rows[k]


@pytest.mark.parametrize(
    ("pooling", "weights", "expected"),
    [
        ("mean", None, [[0.5, 0.5, 0], [1, 0, 0], [1, 0, 0]]),
        ("sum", None, [[1, 1, 0], [1, 0, 0], [1, 0, 0]]),
        ("sqrtn", None, [[2**-0.5, 2**-0.5, 0], [1, 0, 0], [1, 0, 0]]),
        ("mean", [[1.0, 3.0, 9.0], [2.0, 9.0, 9.0], [9.0, 9.0, 9.0]], [[0.25, 0.75, 0], [1, 0, 0], [1, 0, 0]]),
        ("sum", [[1.0, 3.0, 9.0], [2.0, 9.0, 9.0], [9.0, 9.0, 9.0]], [[1, 3, 0], [2, 0, 0], [1, 0, 0]]),
    ],
)
def test_pooling_weights_by_hand(pooling: Any, weights: Any, expected: Any) -> None:
    feature = Sparse(
        name="x",
        ids=IdMap(kind="identity", size=5),
        max_values=3,
        pooling=pooling,
        weights=None if weights is None else "w",
    )
    encoder = FeatureEncoder(Schema(name="s", features=(feature,), labels=(Label(name="y"),)), vocabularies={})
    # Two ids, one id, none: the last reads the missing row (0) once.
    batch = {"x": tf.constant([[1, 2, -1], [4, -1, -1], [-1, -1, -1]], tf.int64)}
    if weights is not None:
        batch["w"] = tf.constant(weights)
    lookups = encoder(batch)
    np.testing.assert_allclose(lookups.weights.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(lookups.rows.numpy(), [[3, 4, 0], [6, 0, 0], [0, 0, 0]])


def test_bit_rows_by_hand() -> None:
    schema = Schema(name="s", features=(Bits(name="h", length=3),), labels=(Label(name="y"),))
    encoder = FeatureEncoder(schema, vocabularies={})
    rows = encoder({"h": tf.constant([[0, 1, 1], [-1, -1, -1]], tf.int64)}).rows
    # Bit k of value b is row 1 + 2 k + b; a missing HashID reads row 0.
    np.testing.assert_array_equal(rows.numpy(), [[1, 4, 6], [0, 0, 0]])


def test_sequences_share_rows_with_the_target(every_kind: Any, make_batch: Any) -> None:
    schema, vocabularies = every_kind
    encoder = FeatureEncoder(schema, vocabularies=vocabularies)
    batch = make_batch(size=8)
    batch["past_items"] = tf.tile(batch["item"][:, tf.newaxis], [1, 5])
    lookups = encoder(batch)
    place = encoder.plan.field_names.index("item")
    np.testing.assert_array_equal(lookups.sequences["history"][:, 2, 0].numpy(), lookups.rows[:, place].numpy())
