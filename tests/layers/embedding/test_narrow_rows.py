"""Tables that are narrower than their embedding set: a number by hand, a slow reference, gradients, the start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import layers
from fullrank.layers import BehaviourPart, BehaviourSequence, Field, LookupPlan, Lookups, Table
from fullrank.layers.embedding.narrow_rows import NarrowRows, OrthonormalRows

BITS = 3
# Two tables of width 2, one of width 1, two as wide as the set, which is 4; `wide` is no narrower than that.
PLAN = LookupPlan.ordered(
    tables=(
        Table(name="a", rows=5, width=2),
        Table(name="b", rows=4, width=2),
        Table(name="c", rows=6),
        Table(name="code", rows=1 + 2 * BITS, width=1),
        Table(name="wide", rows=3, width=9),
    ),
    fields=(
        Field(name="one", table="a"),
        Field(name="other", table="c"),
        Field(name="same", table="a"),
        Field(name="double", table="b", lookups=2),
        Field(name="weighted", table="b", lookups=2, weighted=True),
        Field(name="code", table="code", lookups=BITS, weighted=True),
        Field(name="wide", table="wide"),
    ),
    sequences=(
        BehaviourSequence(
            name="s",
            parts=(
                BehaviourPart(table="a", target="one"),
                BehaviourPart(table="c", target="other"),
                BehaviourPart(table="code", bits=BITS),
                BehaviourPart(table="b", lookups=2),
            ),
            length=4,
        ),
    ),
)


def lookups(size: int = 3, *, seed: int = 0) -> Lookups:
    draw = np.random.default_rng(seed)
    rows = {table.name: table.rows for table in PLAN.tables}
    found = np.concatenate([draw.integers(rows[f.table], size=(size, f.lookups)) for f in PLAN.fields], axis=1)
    weighted = sum(field.lookups for field in PLAN.fields if field.weighted)
    parts = [draw.integers(rows["a"], size=(size, 4, 1)), draw.integers(rows["c"], size=(size, 4, 1))]
    parts += [draw.integers(1 + 2**BITS, size=(size, 4, 1)), draw.integers(rows["b"], size=(size, 4, 2))]
    return Lookups(
        rows=tf.constant(found),
        weights=tf.constant(draw.normal(size=(size, weighted)), tf.float32),
        sequences={"s": tf.constant(np.concatenate(parts, axis=2))},
    )


def built(table_variables: int | None, *, seed: int | None = None) -> layers.EmbeddingSet:
    made = layers.EmbeddingSet(PLAN, 4, table_variables=table_variables, seed=seed)
    made(lookups())
    return made


def rows_of(given: layers.EmbeddingSet, table: str) -> Any:
    """The rows of a table at the width of the set, `[N, 4]`."""
    return given.table(table).numpy() @ given.map_of(table).numpy()


def reference(given: layers.EmbeddingSet, found: Lookups) -> np.ndarray:
    rows, weights = found.rows.numpy(), found.weights.numpy()
    fields, start = [], 0
    for field in PLAN.fields:
        table = rows_of(given, field.table)
        total = np.zeros((len(rows), 4))
        for place in range(start, start + field.lookups):
            weight = weights[:, place - PLAN.unweighted] if field.weighted else np.ones(len(rows))
            total += weight[:, np.newaxis] * table[rows[:, place]]
        fields.append(total)
        start += field.lookups
    return np.stack(fields, axis=1)


def test_a_row_times_the_map_of_its_table_by_hand() -> None:
    layer = NarrowRows(2, narrow=2, width=3)
    layer.build(None)
    layer.kernel.assign([[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], [[2.0, 0.0, 0.0], [0.0, 0.0, 2.0]]])
    # (1, 2) is 1 * (1, 0, 1) + 2 * (0, 1, 1) in table 0, and (2, 0, 4) in table 1.
    given = tf.constant([[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]])
    np.testing.assert_array_equal(layer(given, (1, 0, 0)), [[[2.0, 0.0, 4.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]])
    np.testing.assert_array_equal(layer(given[:, :2], (0, 1)), [[[1.0, 2.0, 3.0], [2.0, 0.0, 4.0]]])
    np.testing.assert_array_equal(layer.of_table(given, 1)[0, 0], [2.0, 0.0, 4.0])


@pytest.mark.parametrize("table_variables", [None, 1, 2, 4])
def test_fields_and_behaviours_equal_a_slow_reference(table_variables: int | None) -> None:
    given, found = built(table_variables), lookups()
    widths = {table.name: width for run, width in given.stored_tables for table in run}
    assert widths == {"a": 2, "b": 2, "c": 4, "code": 1, "wide": 4}
    assert [tuple(v.shape) for v in given.variables_of_tables] == [
        (sum(table.rows for table in run), width) for run, width in given.stored_tables
    ]
    np.testing.assert_allclose(given(found), reference(given, found), atol=1e-6)
    a, b, c, code = (rows_of(given, name) for name in ("a", "b", "c", "code"))
    expected = np.zeros((3, 4, 8))
    for example, behaviours in enumerate(found.sequences["s"].numpy()):
        for place, (in_a, in_c, in_code, first, second) in enumerate(behaviours):
            bits = [code[1 + 2 * bit + (((in_code - 1) >> bit) & 1)] for bit in range(BITS)]
            alone = (sum(bits) if in_code else code[0]) + b[first] + b[second]
            expected[example, place] = np.concatenate([a[in_a] + alone, c[in_c] + alone])
    np.testing.assert_allclose(given.behaviours(PLAN.sequences[0], found), expected, atol=1e-6)


def test_a_gradient_has_the_looked_up_rows_of_a_narrow_table_alone() -> None:
    given, found = built(1), lookups(1)
    variables = {run: v for (run, _), v in zip(given.stored_tables, given.variables_of_tables, strict=True)}
    ((run, narrow),) = ((run, v) for run, v in variables.items() if run[0].name in ("a", "b"))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(given(found) ** 2)
    slices = tape.gradient(total, narrow)
    assert isinstance(slices, tf.IndexedSlices)
    dense = tf.convert_to_tensor(slices).numpy()
    start = dict(zip((t.name for t in run), np.cumsum([0, *(t.rows for t in run)]), strict=False))
    read = {start[f.table] + row for f, row in zip_lookups(found) if f.table in start}
    assert {row for row in range(len(dense)) if dense[row].any()} == read
    assert len(read) < len(dense)


def zip_lookups(found: Lookups) -> list[tuple[Field, int]]:
    fields = [field for field in PLAN.fields for _ in range(field.lookups)]
    return list(zip(fields, found.rows.numpy()[0].tolist(), strict=True))


def test_maps_start_with_orthonormal_rows_so_that_fields_are_as_large_as_wide_ones() -> None:
    kernel = OrthonormalRows(gain=2.0)((3, 4, 16)).numpy()
    for each in kernel:
        np.testing.assert_allclose(each @ each.T, 4.0 * np.eye(4), atol=1e-5)
    assert not np.allclose(kernel[0], kernel[1])
    plan = LookupPlan.ordered(
        tables=(Table(name="narrow", rows=2000, width=4), Table(name="full", rows=2000)),
        fields=(Field(name="narrow", table="narrow"), Field(name="full", table="full")),
    )
    rows = np.tile(np.arange(2000)[:, np.newaxis], (1, 2))
    fields = layers.EmbeddingSet(plan, 16)(Lookups(rows=tf.constant(rows), weights=None, sequences={})).numpy()
    narrow, full = np.sqrt(np.mean(fields**2, axis=(0, 2)))
    assert narrow == pytest.approx(full, rel=0.02)


def test_a_seed_gives_the_same_maps() -> None:
    first, again, other = (built(1, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first(lookups()), again(lookups()))
    assert not np.allclose(first.map_of("a"), other.map_of("a"))
    assert not np.allclose(first.map_of("a"), first.map_of("b"))


@pytest.mark.parametrize("variables", [(None, 1), (1, 3), (4, None)])
def test_tables_and_maps_copy_into_another_number_of_variables(variables: tuple[int | None, int | None]) -> None:
    source, target = (built(each) for each in variables)
    target.assign_tables(source)
    np.testing.assert_array_equal(target(lookups()), source(lookups()))


def test_the_arguments_rebuild_the_set() -> None:
    given = built(2)
    again = layers.EmbeddingSet.from_config(given.get_config())
    again(lookups())
    again.set_weights(given.get_weights())
    np.testing.assert_array_equal(again(lookups()), given(lookups()))


def test_fields_are_computed_in_half_precision_from_float32_rows() -> None:
    given = layers.EmbeddingSet(PLAN, 4, dtype="mixed_bfloat16")
    fields = given(lookups())
    assert fields.dtype == tf.bfloat16
    assert {weight.dtype for weight in given.weights} == {tf.float32}


def test_what_is_not_narrow_is_refused() -> None:
    with pytest.raises(ValueError, match=r"narrow < width\. Received: narrow=4, width=4"):
        NarrowRows(1, narrow=4, width=4)


def test_widths_share_out_the_variables() -> None:
    runs = PLAN.merged(5, width=4)
    assert [len(run) for run in runs] == [1] * 5
    assert [[table.name for table in run] for run in PLAN.merged(1, width=4)] == [["c", "wide"], ["a", "b"], ["code"]]
    (run,) = PLAN.merged(1, width=1)  # no table is narrower than a set of width 1
    assert len(run) == 5
