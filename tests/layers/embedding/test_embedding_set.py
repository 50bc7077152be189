"""Embedding sets: what a look-up sums, and that storage in groups changes nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fullrank import layers
from fullrank.layers import BehaviourPart, BehaviourSequence, Field, LookupPlan, Lookups, Table

PLAN = LookupPlan.ordered(
    tables=(Table(name="a", rows=4), Table(name="b", rows=3), Table(name="c", rows=5)),
    fields=(
        Field(name="weighted", table="b", lookups=2, weighted=True),
        Field(name="double", table="c", lookups=2),
        Field(name="one", table="a"),
        Field(name="other", table="b"),
    ),
    sequences=(
        BehaviourSequence(
            name="s",
            parts=(BehaviourPart(table="a", target="one"), BehaviourPart(table="c", target="double")),
            length=2,
        ),
    ),
)


def lookups() -> Lookups:
    # Canonical order: one, other (1 look-up each), double (2), weighted (2).
    return Lookups(
        rows=tf.constant([[3, 2, 0, 4, 1, 2]], tf.int64),
        weights=tf.constant([[0.5, 2.0]]),
        sequences={"s": tf.constant([[[1, 4], [0, 0]]], tf.int64)},
    )


def filled(table_variables: int | None, plan: LookupPlan = PLAN) -> layers.EmbeddingSet:
    """Row r of a table with base 100 t is (100 t + r, -(100 t + r)), with t = 1, 2, 3 for a, b, c."""
    embedding_set = layers.EmbeddingSet(plan, 2, table_variables=table_variables)
    embedding_set(lookups())
    base = {"a": 100, "b": 200, "c": 300}
    for variable, run in zip(
        embedding_set.weights, plan.merged(table_variables, width=embedding_set.width), strict=True
    ):
        rows = np.concatenate([base[table.name] + np.arange(table.rows) for table in run]).astype(np.float32)
        variable.assign(np.stack([rows, -rows], axis=1))
    return embedding_set


def test_fields_are_in_canonical_order() -> None:
    assert PLAN.field_names == ("one", "other", "double", "weighted")
    assert PLAN.unweighted == 4


@pytest.mark.parametrize("table_variables", [None, 1, 2])
def test_lookups_by_hand(table_variables: int | None) -> None:
    # one = a[3] = 103; other = b[2] = 202; double = c[0] + c[4] = 300 + 304; weighted = .5 b[1] + 2 b[2] = 100.5 + 404
    fields = filled(table_variables)(lookups()).numpy()
    np.testing.assert_allclose(fields[0, :, 0], [103.0, 202.0, 604.0, 504.5])
    np.testing.assert_allclose(fields[..., 1], -fields[..., 0])


@pytest.mark.parametrize("table_variables", [None, 1, 2])
def test_behaviours_are_concatenated_and_share_the_target_tables(table_variables: int | None) -> None:
    embedding_set = filled(table_variables)
    behaviours = embedding_set.behaviours(PLAN.sequences[0], lookups()).numpy()
    np.testing.assert_allclose(behaviours[0], [[101.0, -101.0, 304.0, -304.0], [100.0, -100.0, 300.0, -300.0]])
    target = embedding_set.target(PLAN.sequences[0], embedding_set(lookups())).numpy()
    np.testing.assert_allclose(target, [[103.0, -103.0, 604.0, -604.0]])


def test_what_describes_the_behaviour_alone_is_added_to_each_compared_part() -> None:
    plan = dataclasses.replace(
        PLAN,
        sequences=(
            BehaviourSequence(
                name="s",
                parts=(
                    BehaviourPart(table="b"),
                    BehaviourPart(table="a", target="one"),
                    BehaviourPart(table="c", target="double"),
                ),
                length=2,
            ),
        ),
    )
    embedding_set = filled(1, plan)
    given = lookups()._replace(sequences={"s": tf.constant([[[2, 1, 4], [0, 0, 0]]], tf.int64)})
    with tf.GradientTape(persistent=True) as tape:
        behaviours = embedding_set.behaviours(plan.sequences[0], given)
        target = embedding_set.target(plan.sequences[0], embedding_set(given))
        first = behaviours[:, 0]
    # a[1] + b[2] = 101 + 202 and c[4] + b[2] = 304 + 202; the padding 100 + 200 and 300 + 200.
    np.testing.assert_allclose(behaviours[0], [[303.0, -303.0, 506.0, -506.0], [300.0, -300.0, 500.0, -500.0]])
    np.testing.assert_allclose(target, [[103.0, -103.0, 604.0, -604.0]])
    # Row 2 of b is read by a behaviour alone: nothing of it is in the target, and twice its own in e_i.
    (run,) = plan.merged(1, width=4)
    starts = np.cumsum([0, *(table.rows for table in run)])
    rows = {table.name: start for table, start in zip(run, starts, strict=False)}
    touched = tf.convert_to_tensor(tape.gradient(target, embedding_set.weights[0])).numpy()
    assert (touched[rows["b"] + 2] == 0).all()
    touched = tf.convert_to_tensor(tape.gradient(first, embedding_set.weights[0])).numpy()
    np.testing.assert_array_equal(touched[rows["b"] + 2], [2.0, 2.0])


def test_a_hash_id_of_a_behaviour_is_the_sum_of_its_bits() -> None:
    bits, width = 3, 2
    plan = LookupPlan.ordered(
        tables=(Table(name="h", rows=1 + 2 * bits),),
        fields=(Field(name="h", table="h", lookups=bits, weighted=True),),
        sequences=(BehaviourSequence(name="s", parts=(BehaviourPart(table="h", target="h", bits=bits),), length=4),),
    )
    embedding_set = layers.EmbeddingSet(plan, width)
    # Code 6 is the bits 0, 1, 1: rows 1, 4 and 6. Code 0 is rows 1, 3, 5; code 7 rows 2, 4, 6; a missing one row 0.
    codes = np.array([[6, 0, 7, -1]])
    given = Lookups(
        rows=tf.constant([[1, 4, 6]], tf.int64),
        weights=tf.ones([1, 3]),
        sequences={"s": tf.constant(codes[:, :, np.newaxis] + 1, tf.int64)},
    )
    embedding_set(given)
    table = np.array([[2.0**r, -(3.0**r)] for r in range(7)], np.float32)
    embedding_set.weights[0].assign(table)
    by_hand = [table[[1, 4, 6]].sum(0), table[[1, 3, 5]].sum(0), table[[2, 4, 6]].sum(0), table[0]]
    np.testing.assert_allclose(embedding_set.behaviours(plan.sequences[0], given)[0], by_hand)
    np.testing.assert_allclose(embedding_set.target(plan.sequences[0], embedding_set(given))[0], by_hand[0])
    # Rows of bits that no behaviour has get exactly no gradient: code 6 alone leaves out rows 0, 2, 3 and 5.
    with tf.GradientTape() as tape:
        one = given._replace(sequences={"s": tf.constant([[[7]]], tf.int64)})
        total = tf.reduce_sum(embedding_set.behaviours(plan.sequences[0], one))
    touched = tf.convert_to_tensor(tape.gradient(total, embedding_set.weights[0])).numpy()[:, 0]
    np.testing.assert_array_equal(touched, [0, 1, 0, 0, 1, 0, 1])


def test_tables_copy_into_another_number_of_variables() -> None:
    source = filled(None)
    fused = layers.EmbeddingSet(PLAN, 2, table_variables=1)
    fused(lookups())
    fused.assign_tables(source)
    assert len(fused.weights) == 1
    np.testing.assert_array_equal(fused(lookups()).numpy(), source(lookups()).numpy())
    np.testing.assert_array_equal(fused.table("c").numpy()[:, 0], [300, 301, 302, 303, 304])


def test_variables_share_fields_evenly_and_keep_every_table() -> None:
    runs = PLAN.merged(2, width=4)
    assert sorted(table.name for run in runs for table in run) == ["a", "b", "c"]
    assert [len(run) for run in runs] in ([1, 2], [2, 1])
    assert [len(run) for run in PLAN.merged(None, width=4)] == [1, 1, 1]


def test_a_model_that_reads_numbers_alone_has_a_set_without_tables() -> None:
    assert layers.EmbeddingSet(LookupPlan(tables=(), fields=()), 4).variables_of_tables == []


def test_gradient_touches_looked_up_rows_only() -> None:
    embedding_set = filled(1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(embedding_set(lookups()))
    gradient = tape.gradient(loss, embedding_set.weights[0])
    assert isinstance(gradient, tf.IndexedSlices)
    dense = tf.convert_to_tensor(gradient).numpy()[:, 0]
    # Rows of a (0-3), b (4-6), c (7-11): a[3] once, b[2] once and with weight 2, b[1] with .5, c[0] and c[4] once.
    np.testing.assert_allclose(dense, [0, 0, 0, 1, 0, 0.5, 3, 1, 0, 0, 0, 1])


@pytest.mark.parametrize(
    ("tables", "fields", "message"),
    [
        ((Table(name="a", rows=1), Table(name="a", rows=2)), (), "unique"),
        ((Table(name="a", rows=1),), (Field(name="x", table="b"),), "not declared"),
    ],
)
def test_a_plan_that_contradicts_itself(tables: tuple[Table, ...], fields: tuple[Field, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LookupPlan.ordered(tables=tables, fields=fields)


def test_sets_of_other_widths_do_not_exchange_tables() -> None:
    narrow, wide = layers.EmbeddingSet(PLAN, 2), layers.EmbeddingSet(PLAN, 3)
    narrow(lookups()), wide(lookups())
    with pytest.raises(ValueError, match="equal plan and width"):
        narrow.assign_tables(wide)
