"""Values that a column may not hold, and examples that do not fit the schema: named, and read around."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from damaged_records import (
    BLOCK_ROWS,
    ROWS,
    SCHEMA,
    columns_of,
    items_of,
    rewrite,
    second_file,
    without_sizes,
    write,
    write_records_to,
)
from fullrank import data
from fullrank.data.schema.value_rules import ABSENT, aligned_columns, batch_check, value_rules

WRONG_VALUES = {
    1: ("click", 2.0, "a binary label must be 0 or 1. Received: 2.0."),
    2: ("click", np.inf, "a binary label must be 0 or 1. Received: inf."),
    3: ("click", np.float32(1e-45), "a binary label must be 0 or 1. Received: 1e-45."),
    4: ("price", np.inf, "a number must be finite. Received: inf."),
    6: ("content", [1.0, -np.inf], "a vector must be finite, or missing as a whole. Received: [1.0, -inf]."),
    7: ("content", [1.0, np.nan], "a vector must be finite, or missing as a whole. Received: [1.0, nan]."),
    8: ("bits", [1, 2], "bits must be 0 or 1, or missing as a whole. Received: [1, 2]."),
    11: ("bits", [1, -1], "bits must be 0 or 1, or missing as a whole. Received: [1, -1]."),
    13: ("tag_weights", np.nan, "the weight of an id must be finite. Received: [nan]."),
}
"""Row of the second file -> column, forbidden value, what is said of it. Only the last block has none."""


@pytest.mark.parametrize("layout", ["example", "block"])
def test_forbidden_values_are_named_and_read_around(tmp_path: Path, layout: str) -> None:
    schema = without_sizes(write(tmp_path / "set", layout))
    file = rewrite(schema, WRONG_VALUES)
    expected = [
        f"{file}, record {row if layout == 'example' else f'{row // BLOCK_ROWS}, row {row % BLOCK_ROWS}'}, "
        f"feature {column!r}: {words}"
        for row, (column, _, words) in WRONG_VALUES.items()
    ]
    assert sorted(str(bad) for bad in data.verify(schema)) == sorted(expected)
    dataset = data.read_records(
        schema, batch_size=8, on_bad_record="skip", max_bad_fraction=0.25, cache_directory=tmp_path / "cache"
    )
    batches = list(dataset.as_numpy_iterator())
    kept = [i for i in range(ROWS) if i - 20 not in WRONG_VALUES]
    for name, values in columns_of(ROWS).items():
        if not isinstance(values, data.Ragged):
            found = np.concatenate([batch[name] for batch in batches])
            np.testing.assert_array_equal(found, values[kept], err_msg=name)


@pytest.mark.parametrize("layout", ["example", "block"])
def test_every_forbidden_value_stops_the_pipeline(layout: Any) -> None:
    """The check in the graph, value by value, without files."""
    schema = dataclasses.replace(SCHEMA, layout=layout)
    rules = value_rules(schema)
    check = batch_check(rules, explicit_nan=layout == "example")
    clean = {name: c for name, c in columns_of(20).items() if name != "tags"}

    def batch_of(change: tuple[str, Any, str] | None) -> dict[str, tf.Tensor]:
        batch: dict[str, Any] = {name: np.array(values) for name, values in clean.items() if name != "tag_weights"}
        batch["tag_weights"] = np.zeros((20, 3), np.float32)
        if layout == "example":
            for name in ("price", "content"):
                batch[name] = np.where(np.isnan(batch[name]), ABSENT, batch[name])
        if change is not None:
            batch[change[0]][5] = change[1]
        return {name: tf.constant(values) for name, values in batch.items()}

    check(batch_of(None))
    for change in WRONG_VALUES.values():
        with pytest.raises(tf.errors.InvalidArgumentError, match="a value that its column must not hold"):
            check(batch_of(change))
    explicit = ("price", np.nan, "")
    if layout == "example":
        with pytest.raises(tf.errors.InvalidArgumentError):
            check(batch_of(explicit))
    else:
        check(batch_of(explicit))


def test_what_is_missing_is_no_error(tmp_path: Path) -> None:
    for layout in ("example", "block"):
        schema = without_sizes(write(tmp_path / layout, layout))
        rewrite(schema, {3: ("click", np.nan, ""), 5: ("bits", -1, "")})
        assert list(data.verify(schema)) == []
        assert items_of(data.read_records(schema, batch_size=8)) == [*range(ROWS)]


def example_of(**features: list[Any]) -> bytes:
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        kind = {int: feature.int64_list, float: feature.float_list, bytes: feature.bytes_list}[type(values[0])]
        kind.value.extend(values)
    serialized: bytes = example.SerializeToString()
    return serialized


MISFITS = {
    3: (example_of(item=[1], price=[float("nan")]), ", feature 'price': a number must be finite. Received: nan."),
    4: (example_of(content=[float("nan")] * 2), ", feature 'content': a vector must be finite"),
    5: (example_of(item=[1.0]), ", feature 'item': the schema says int64. Received: float_list of 1 values."),
    7: (example_of(item=[1, 2]), ", feature 'item': the schema says 1 value. Received: 2."),
    8: (example_of(bits=[1]), ", feature 'bits': the schema says 2 values. Received: 1."),
    10: (example_of(tags=[1]), ", feature 'tags': the schema says bytes. Received: int64_list of 1 values."),
    11: (example_of(tags=[b"a"]), ", feature 'tag_weights': columns that belong together must have equally many"),
    19: (b"\xff\xff\xff\xff", ": this is not a tf.train.Example."),
}


def test_examples_that_do_not_fit_the_schema(tmp_path: Path) -> None:
    """A standard record comes from any program. An explicit NaN is an error there: what is missing is absent."""
    schema = without_sizes(write(tmp_path / "set", "example"))
    file = second_file(schema)
    records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    for row, (record, _) in MISFITS.items():
        records[row] = record
    write_records_to(file, records)
    found = [str(bad) for bad in data.verify(schema)]
    assert len(found) == len(MISFITS)
    for line, (row, (_, words)) in zip(found, MISFITS.items(), strict=True):
        assert line.startswith(f"{file}, record {row}{words}")
    dataset = data.read_records(
        schema, batch_size=8, on_bad_record="skip", max_bad_fraction=0.25, cache_directory=tmp_path / "cache"
    )
    assert items_of(dataset) == [i for i in range(ROWS) if i - 20 not in MISFITS]


@pytest.mark.parametrize("row", MISFITS)
def test_every_misfit_stops_the_pipeline(row: int) -> None:
    """Otherwise it would be read as something else without a word."""
    parse, check = EXAMPLE_PIPELINE
    with pytest.raises(data.INPUT_ERRORS):
        check(parse(tf.constant([example_of(item=[1]), MISFITS[row][0]])))


EXAMPLE_PIPELINE = (
    data.example_parser(SCHEMA.columns, aligned=aligned_columns(SCHEMA)),
    batch_check(value_rules(SCHEMA), explicit_nan=True),
)


def test_a_label_that_says_nan_was_not_observed(tmp_path: Path) -> None:
    schema = without_sizes(write(tmp_path / "set", "example"))
    with tf.io.TFRecordWriter(str(second_file(schema))) as writer:
        for _ in range(20):
            writer.write(example_of(item=[1], click=[float("nan")]))
    assert list(data.verify(schema)) == []
