"""Ids that several hash functions map to rows, whose vectors are sums: single ids, several ids and histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fullrank import data, models
from fullrank.data.schema.features import BehaviourColumn, IdMap, Label, Sequence, Sparse
from fullrank.data.schema.json import read_schema, write_schema
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.layers.embedding.embedding_set import EmbeddingSet
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.encoding.id_rows import IdColumn, IdRows
from fullrank.models.table_rows import kept_rows


def schema_of(*, hashes: int, size: int = 7) -> Schema:
    return Schema(
        name="log",
        features=(
            Sparse(name="item", side="ad", ids=IdMap(kind="hash", size=size, hashes=hashes)),
            Sparse(name="liked", side="user", max_values=3, table="item", weights="strength"),
            Sparse(name="hour", ids=IdMap(kind="identity", size=24)),
            Sequence(
                name="history",
                behaviour=(
                    BehaviourColumn(name="past_item", table="item", target="item"),
                    BehaviourColumn(name="past_hour", table="hour"),
                ),
                max_length=2,
            ),
        ),
        labels=(Label(name="click"),),
    )


BATCH = {
    "item": tf.constant([5, -1, 12], tf.int64),
    "liked": tf.constant([[12, 5, -1], [-1, -1, -1], [7, 7, 7]], tf.int64),
    "strength": tf.constant([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]),
    "hour": tf.constant([3, 4, 5], tf.int64),
    "past_item": tf.constant([[5, -1], [12, 7], [-1, -1]], tf.int64),
    "past_hour": tf.constant([[1, -1], [2, 3], [-1, -1]], tf.int64),
}


def rows_of(ids: np.ndarray, *, hashes: int, size: int) -> np.ndarray:
    """Rows `[N, hashes]` of ids in a table of their own."""
    mapper = IdRows(
        columns=[IdColumn(name="x", dtype="int64", width=1, table="x")],
        maps={"x": IdMap(kind="hash", size=size, hashes=hashes)},
        vocabularies={},
    )
    found: np.ndarray = mapper({"x": tf.constant(ids, tf.int64)})["x"].numpy()
    return found


def test_the_first_function_is_that_of_one_and_the_others_differ() -> None:
    ids = np.arange(20_000)
    three = rows_of(ids, hashes=3, size=100)
    np.testing.assert_array_equal(three[:, :1], rows_of(ids, hashes=1, size=100))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        # Independent functions meet in 1 % of the ids, +-.07 %; every pair of buckets has 2 ids on average.
        assert abs(np.mean(three[:, first] == three[:, second]) - 0.01) < 0.005
        pairs = np.bincount((three[:, first] - 2) * 100 + three[:, second] - 2, minlength=10_000)
        assert pairs.max() < 14
    assert np.all(rows_of(np.array([-1]), hashes=3, size=100) == 0)


def test_two_functions_tell_ids_apart_that_share_a_bucket() -> None:
    ids = np.arange(10_000)
    distinct = [len(np.unique(np.sort(rows_of(ids, hashes=k, size=10_000), axis=1), axis=0)) for k in (1, 2)]
    # One function: 10^4 (1 - 1/e) buckets are used. Two: N^2 / 2 pairs of ids, of which 2 / size^2 read the same rows.
    assert distinct[0] == pytest.approx(10_000 * (1 - np.exp(-1)), rel=0.02)
    assert distinct[1] >= 9_990


@pytest.mark.parametrize("hashes", [1, 2, 3])
def test_vectors_are_sums_of_rows(hashes: int) -> None:
    encoder = FeatureEncoder(schema_of(hashes=hashes), vocabularies={})
    tables = EmbeddingSet(encoder.plan, 4, seed=1)
    lookups = encoder(BATCH)
    fields = tables(lookups).numpy()
    item, hour = tables.table("item").numpy(), tables.table("hour").numpy()
    single = encoder(BATCH).sequences["history"][..., :hashes].numpy()
    by_name = dict(zip(encoder.plan.field_names, np.moveaxis(fields, 1, 0), strict=True))
    vector_of = {5: item[single[0, 0]].sum(0), 12: item[single[1, 0]].sum(0), 7: item[single[1, 1]].sum(0)}
    missing = hashes * item[0]
    np.testing.assert_allclose(by_name["item"], [vector_of[5], missing, vector_of[12]], atol=1e-6)
    pooled = [0.75 * vector_of[12] + 0.25 * vector_of[5], missing, vector_of[7]]
    np.testing.assert_allclose(by_name["liked"], pooled, atol=1e-6)
    (sequence,) = encoder.plan.sequences
    behaviours = tables.behaviours(sequence, lookups).numpy()
    np.testing.assert_allclose(behaviours[0, 0], vector_of[5] + hour[3], atol=1e-6)
    np.testing.assert_allclose(behaviours[1], [vector_of[12] + hour[4], vector_of[7] + hour[5]], atol=1e-6)


def test_a_model_reads_them_and_trains() -> None:
    model = models.Ranker(schema_of(hashes=2), models.single(width=4, experts=("flat",), expert_width=4))
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_mean(tf.square(values)) for values in model(BATCH, training=True).values()])
    tables = next(iter(model.sets.values())).variables_of_tables
    for gradient in tape.gradient(loss, tables):
        assert float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient)))) > 0


def test_the_schema_keeps_their_number(tmp_path: Path) -> None:
    schema = schema_of(hashes=3)
    assert read_schema(write_schema(schema, tmp_path / "schema.json")) == schema


@pytest.mark.parametrize(
    ("kind", "hashes", "size"), [("vocabulary", 2, 0), ("identity", 2, 9), ("hash", 0, 9), ("hash", 9, 9)]
)
def test_numbers_that_cannot_be(kind: str, hashes: int, size: int) -> None:
    with pytest.raises(ValueError, match=rf"Received: {hashes} of kind '{kind}'"):
        data.IdMap(kind=kind, hashes=hashes, size=size)  # type: ignore[arg-type]


def test_a_run_cannot_start_from_tables_of_another_number() -> None:
    with pytest.raises(SchemaError, match=r"of kind 'hash', and has 9 of kind 'hash \(2 functions\)'"):
        kept_rows(schema_of(hashes=1), schema_of(hashes=2), table="item", rows=(9, 9), vocabularies=({}, {}))
    same = kept_rows(schema_of(hashes=2), schema_of(hashes=2), table="item", rows=(9, 9), vocabularies=({}, {}))
    np.testing.assert_array_equal(same.old, np.arange(9))
