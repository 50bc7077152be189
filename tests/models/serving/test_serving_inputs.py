"""Requests of any width become batches of the widths that the model was trained on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data import (
    BehaviourColumn,
    Column,
    IdMap,
    Label,
    Numeric,
    NumericStatistics,
    Ragged,
    Reading,
    Schema,
    SchemaError,
    Sequence,
    Sparse,
    Vector,
    write_vocabulary,
)
from fullrank.data.schema.columns import MISSING_BYTES
from fullrank.models.serving.packed_inputs import pack, packed_layout, packed_layout_json, packed_specs, unpack
from fullrank.models.serving.request_inputs import input_name, input_specs, to_batch
from fullrank.models.serving.sample_rows import drawn_rows, take, to_columns

LABELS = (Label(name="click"),)


def a_schema(length: int = 3) -> Schema:
    ids = IdMap(kind="identity", size=100)
    return Schema(
        name="requests",
        features=(
            Sparse(name="item", ids=ids),
            Sparse(name="brand", dtype="bytes", ids=IdMap(kind="hash", size=10)),
            Sparse(name="tags", ids=ids, max_values=2, weights="tag_weights"),
            Sequence(
                name="history",
                behaviour=(
                    BehaviourColumn(name="seen_items", table="item", target="item"),
                    BehaviourColumn(name="seen_brands", table="brand", target="brand"),
                ),
                times="seen_at",
                max_length=length,
            ),
            Vector(name="vector", length=2),
        ),
        labels=LABELS,
        time="now",
    )


def request(**given: object) -> dict[str, tf.Tensor]:
    values = {
        "item": [1],
        "brand": [b"a"],
        "tags": [[1, 2]],
        "tag_weights": [[1.0, 1.0]],
        "seen_items": [[1, 2, 3]],
        "seen_brands": [[b"a", b"b", b"c"]],
        "seen_at": [[10, 20, 30]],
        "vector": [[0.5, 0.5]],
        "now": [40],
        **given,
    }
    specs = input_specs(a_schema())
    return {name: tf.constant(values[name], spec.dtype) for name, spec in specs.items()}


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("user_id", "user_id"),
        ("hours-per-week", "hours_per_week"),
        ("native country", "native_country"),
        ("a.b/c", "a_b_c"),
        ("1st", "arg_1st"),
        ("größe", "gru00f6u00dfe"),
        ("价格", "u4ef7u683c"),
        ("_x", "arg__x"),
        ("self", "arg_self"),
        ("class", "class"),
    ],
)
def test_input_names_are_those_that_tensorflow_can_export(column: str, name: str) -> None:
    assert input_name(column) == name

    @tf.function(input_signature=[{name: tf.TensorSpec([None], tf.int64, name=name)}], autograph=False)
    def same(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return inputs[name]

    assert list(same.get_concrete_function().structured_input_signature[0][0]) == [name]
    assert same.get_concrete_function().function_type.flat_inputs[0].name == name


def test_two_columns_with_one_input_name_are_refused() -> None:
    schema = Schema(name="two", features=(Numeric(name="a-b"), Numeric(name="a b")), labels=LABELS)
    with pytest.raises(SchemaError, match="'a-b' and 'a b' of schema 'two' would both be the input 'a_b'"):
        input_specs(schema)


def test_specs_leave_rows_and_the_width_of_many_open() -> None:
    specs = input_specs(a_schema())
    assert "click" not in specs
    assert specs["item"].shape.as_list() == [None]
    assert specs["tags"].shape.as_list() == [None, None]
    assert specs["vector"].shape.as_list() == [None, 2]
    assert (specs["brand"].dtype, specs["now"].dtype, specs["vector"].dtype) == (tf.string, tf.int64, tf.float32)


def test_a_request_of_the_trained_width_passes_unchanged() -> None:
    inputs = request()
    batch = to_batch(inputs, schema=a_schema())
    for name, value in inputs.items():
        np.testing.assert_array_equal(batch[name], value)


def test_a_narrow_request_is_filled_up_with_missing_values() -> None:
    batch = to_batch(
        request(seen_items=[[7]], seen_brands=[[b"x"]], seen_at=[[5]], tags=[[]], tag_weights=[[]]), schema=a_schema()
    )
    np.testing.assert_array_equal(batch["seen_items"], [[7, -1, -1]])
    np.testing.assert_array_equal(batch["seen_brands"], [[b"x", MISSING_BYTES, MISSING_BYTES]])
    np.testing.assert_array_equal(batch["seen_at"], [[5, -1, -1]])
    np.testing.assert_array_equal(batch["tags"], [[-1, -1]])
    np.testing.assert_array_equal(batch["tag_weights"], [[0.0, 0.0]])


def test_a_wide_request_keeps_the_last_values_of_each_row_and_its_columns_aligned() -> None:
    # Row 0 has five behaviours, of which the third has no brand and the last no item: the last three of all stay.
    # Row 1 has two, followed by padding, which must not push them out.
    batch = to_batch(
        request(
            item=[1, 1],
            brand=[b"a", b"a"],
            vector=[[0.0, 0.0]] * 2,
            now=[9, 9],
            tags=[[1, 2, 3, -1], [4, -1, -1, -1]],
            tag_weights=[[0.1, 0.2, 0.3, 0.0], [0.4, 0.0, 0.0, 0.0]],
            seen_items=[[1, 2, 3, 4, -1, -1], [8, 9, -1, -1, -1, -1]],
            seen_brands=[[b"a", b"b", b"", b"d", b"e", b""], [b"h", b"i", b"", b"", b"", b""]],
            seen_at=[[10, 20, 30, 40, 50, -1], [80, 90, -1, -1, -1, -1]],
        ),
        schema=a_schema(),
    )
    np.testing.assert_array_equal(batch["seen_items"], [[3, 4, -1], [8, 9, -1]])
    np.testing.assert_array_equal(batch["seen_brands"], [[b"", b"d", b"e"], [b"h", b"i", b""]])
    np.testing.assert_array_equal(batch["seen_at"], [[30, 40, 50], [80, 90, -1]])
    np.testing.assert_array_equal(batch["tags"], [[2, 3], [4, -1]])
    np.testing.assert_allclose(batch["tag_weights"], [[0.2, 0.3], [0.4, 0.0]])


@pytest.mark.parametrize(
    "given",
    [
        {"seen_items": [[1, 2, 3, 4]]},
        {"seen_at": [[30]]},
        {"seen_at": [[]]},
        {"seen_brands": [[b"a"] * 9]},
    ],
)
def test_columns_that_belong_together_are_equally_wide(given: dict[str, object]) -> None:
    """Filled up, the times of a sequence would stand beside other items than they belong to."""
    with pytest.raises(tf.errors.InvalidArgumentError, match="inputs seen_items, seen_brands, seen_at belong together"):
        to_batch(request(**given), schema=a_schema())


def test_widths_are_static_for_the_model() -> None:
    specs = input_specs(a_schema())
    shapes = {}

    @tf.function(input_signature=[specs], autograph=False)
    def traced(inputs: dict[str, tf.Tensor]) -> None:
        shapes.update({name: value.shape.as_list() for name, value in to_batch(inputs, schema=a_schema()).items()})

    traced.get_concrete_function()
    assert shapes == {c.name: list(c.batch_shape) for c in a_schema().input_columns}


def test_packed_columns_lie_side_by_side_single_ones_first() -> None:
    # By hand from the schema: int64 columns are item, tags (2), seen_items (3), seen_at (3) and now.
    schema = a_schema()
    layout = {dtype: [column.name for column in columns] for dtype, columns in packed_layout(schema).items()}
    assert layout == {
        "int64": ["item", "now", "tags", "seen_items", "seen_at"],
        "float32": ["tag_weights", "vector"],
        "bytes": ["brand", "seen_brands"],
    }
    assert packed_layout_json(schema)["float32"] == [
        {"column": "tag_weights", "width": 2},
        {"column": "vector", "width": 2},
    ]
    assert {name: spec.shape.as_list() for name, spec in packed_specs(schema).items()} == {
        "int64": [None, 10],
        "float32": [None, 4],
        "bytes": [None, 4],
    }


def test_packing_is_undone() -> None:
    schema = a_schema()
    rows = drawn_rows(schema, number=4)
    packed = pack(rows, schema=schema)
    np.testing.assert_array_equal(packed["int64"][:, 0], rows["item"])
    np.testing.assert_array_equal(packed["int64"][:, 2:4], rows["tags"])
    batch = unpack({name: tf.constant(values) for name, values in packed.items()}, schema=schema)
    assert set(batch) == set(rows)
    for name, values in rows.items():
        np.testing.assert_array_equal(batch[name], values)


def test_a_dtype_without_columns_is_no_packed_input() -> None:
    schema = Schema(name="numbers", features=(Numeric(name="x"),), labels=LABELS)
    assert list(packed_specs(schema)) == ["float32"]


def test_drawn_rows_are_as_the_reader_would_give_them() -> None:
    schema = a_schema()
    rows = drawn_rows(schema, number=5)
    assert {name: value.shape for name, value in rows.items()} == {
        c.name: (5, *c.batch_shape[1:]) for c in schema.input_columns
    }
    assert all(rows[c.name].dtype == c.numpy_dtype for c in schema.input_columns)
    assert (rows["now"] > rows["seen_at"].max(axis=1)).all()
    np.testing.assert_array_equal(rows["item"], drawn_rows(schema, number=5)["item"])


def test_drawn_numbers_follow_the_quantiles() -> None:
    # Quantiles 0, 1, 10: half of the rows below 1, and none outside 0..10.
    statistics = NumericStatistics(
        mean=3.0, std=3.0, minimum=0.0, maximum=10.0, missing=0.25, quantiles=(0.0, 1.0, 10.0)
    )
    schema = Schema(name="n", features=(Numeric(name="price", statistics=statistics),), labels=LABELS)
    prices = drawn_rows(schema, number=4000)["price"]
    assert np.isnan(prices).mean() == pytest.approx(0.25, abs=0.03)
    known = prices[~np.isnan(prices)]
    assert (known < 1).mean() == pytest.approx(0.5, abs=0.03)
    assert known.min() >= 0
    assert known.max() <= 10


def test_rows_are_repeated_when_more_are_wanted() -> None:
    columns = (Column(name="a", dtype="int64"),)
    np.testing.assert_array_equal(take({"a": np.array([3, 4])}, number=5, columns=columns)["a"], [3, 4, 3, 4, 3])


def test_padding_comes_off_again() -> None:
    columns = (Column(name="ids", dtype="int64", form="many", length=3),)
    ragged = to_columns({"ids": np.array([[1, -1, 2], [-1, -1, -1], [5, -1, -1]])}, columns=columns)["ids"]
    assert isinstance(ragged, Ragged)
    assert ragged.to_lists() == [[1, -1, 2], [], [5]]


@pytest.mark.parametrize("first", [True, False])
def test_zeros_that_fill_up_are_missing_where_the_schema_says_so(first: bool) -> None:
    padded = dataclasses.replace(
        a_schema(), reading=Reading(padded=("seen_items", "seen_brands", "seen_at", "tags", "tag_weights"))
    )
    items, brands, times = ([0, 7], [b"0", b"x"], [0, 5]) if first else ([7, 0], [b"x", b"0"], [5, 0])
    batch = to_batch(
        request(seen_items=[items], seen_brands=[brands], seen_at=[times], tags=[[0, 4]], tag_weights=[[0.0, 0.5]]),
        schema=padded,
    )
    np.testing.assert_array_equal(batch["seen_items"], [[7, -1, -1]])
    np.testing.assert_array_equal(batch["seen_brands"], [[b"x", MISSING_BYTES, MISSING_BYTES]])
    np.testing.assert_array_equal(batch["seen_at"], [[5, -1, -1]])
    np.testing.assert_array_equal(batch["tags"], [[4, -1]])
    np.testing.assert_array_equal(batch["tag_weights"], [[0.5, 0.0]])


@pytest.mark.parametrize(
    ("known", "left_out", "refused"),
    [
        ([5, 7], {}, True),
        ([5, 0], {}, False),
        ([5, 7], {"min_count": 2}, False),
        ([5, 7], {"max_size": 2}, False),
    ],
)
def test_a_row_that_ends_in_zero_is_refused_unless_zero_may_be_an_id(
    tmp_path: Path, known: list[int], left_out: Any, refused: bool
) -> None:
    write_vocabulary(known, directory=tmp_path, feature="item")
    schema = Schema(
        name="known",
        features=(
            Sparse(name="item", ids=IdMap(size=2, **left_out)),
            Sequence(
                name="history", behaviour=(BehaviourColumn(name="seen", table="item", target="item"),), max_length=3
            ),
        ),
        labels=LABELS,
        directory=tmp_path,
    )
    inputs = {"item": tf.constant([5], tf.int64), "seen": tf.constant([[7, 0]], tf.int64)}
    if refused:
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"a row of seen ends in 0, .* pad with -1"):
            to_batch(inputs, schema=schema)
    else:
        np.testing.assert_array_equal(to_batch(inputs, schema=schema)["seen"], [[7, 0, -1]])
