"""Blocks that hold the columns of a user once per request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from request_log import PACKING, PER_REQUEST, SCHEMA, as_rows, log

from fullrank import data
from fullrank.data.reading.pipeline import INPUT_ERRORS
from fullrank.data.reading.scan import scan_frames
from fullrank.data.records.block_layout import OWNER, block_parser, decode_block, unpacker
from fullrank.data.records.encode_block import encode_block, encode_blocks
from fullrank.data.records.frames import Frame
from fullrank.data.records.packing import HEADER, SIZES, BlockError, Packing
from fullrank.data.schema.value_rules import aligned_columns

ALIGNED = aligned_columns(SCHEMA)


def two_requests() -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """User 7 saw the items 1, 2 and user 8, without a history, the item 3."""
    columns = {
        "user": np.array([7, 8]),
        "tags": data.Ragged(np.array([4]), np.array([0, 1], np.int32)),
        "seen": data.Ragged(np.array([5, 6]), np.array([2, 0], np.int32)),
        "at": data.Ragged(np.array([50, 60]), np.array([2, 0], np.int32)),
        "time": np.array([100, 101]),
        "item": np.array([1, 2, 3]),
        "click": np.array([0, 1, 1], np.float32),
        "weight": np.ones(3, np.float32),
    }
    return columns, np.array([2, 1], np.int32)


def test_the_features_of_a_block() -> None:
    columns, sizes = two_requests()
    features = tf.train.Example.FromString(encode_block(columns, packing=PACKING, sizes=sizes)).features.feature
    found = {
        name: np.frombuffer(features[name].bytes_list.value[0], dtype).tolist()
        for name, dtype in (("int64", "<i8"), ("request:int64", "<i8"), ("request:values:seen", "<i8"), (SIZES, "<i4"))
    }
    assert found == {
        "int64": [1, 2, 3],
        # User and time, request by request.
        "request:int64": [7, 100, 8, 101],
        "request:values:seen": [5, 6],
        SIZES: [2, 1],
    }
    assert features["rows"].int64_list.value[:] == [3]


def test_a_block_is_read_as_rows_and_requests() -> None:
    columns, sizes = two_requests()
    block = encode_block(columns, packing=PACKING, sizes=sizes)
    packed = block_parser(PACKING, columns=SCHEMA.columns, aligned=ALIGNED)(tf.constant([block, block]))
    assert packed[OWNER].numpy().tolist() == [0, 0, 1, 2, 2, 3]
    assert packed["request:many:seen"].numpy().tolist() == [[5, 6, -1, -1], [-1] * 4] * 2
    batch = unpacker(PACKING, columns=SCHEMA.columns)(packed)
    assert batch["user"].numpy().tolist() == [7, 7, 8] * 2
    assert batch["seen"].numpy().tolist() == [[5, 6, -1, -1], [5, 6, -1, -1], [-1] * 4] * 2
    assert batch["item"].numpy().tolist() == [1, 2, 3] * 2
    decoded = decode_block(block)
    assert decoded.rows == 3
    rows = decoded.of_rows()
    assert np.asarray(rows["time"]).tolist() == [100, 100, 101]
    assert isinstance(rows["seen"], data.Ragged)
    assert rows["seen"].to_lists() == [[5, 6], [5, 6], []]


def test_blocks_hold_whole_requests_and_divide_only_those_that_are_too_large() -> None:
    columns, _ = two_requests()
    wide = {name: columns[name] for name in PER_REQUEST}
    sizes = np.array([3, 9], np.int32)
    wide |= {"item": np.arange(12), "click": np.zeros(12, np.float32), "weight": np.ones(12, np.float32)}
    blocks = [decode_block(block) for block in encode_blocks(wide, packing=PACKING, block_rows=4, sizes=sizes)]
    # 3 | 9 = 4 + 4 + 1: the first part of the second request does not fit behind the first request.
    assert [block.sizes.tolist() for block in blocks if block.sizes is not None] == [[3], [4], [4], [1]]
    assert np.concatenate([np.asarray(block.columns["item"]) for block in blocks]).tolist() == list(range(12))
    assert [np.asarray(block.columns["user"]).tolist() for block in blocks] == [[7], [8], [8], [8]]
    with pytest.raises(ValueError, match="needs sizes if the packing has columns of requests"):
        encode_block(columns, packing=PACKING)


def changed(name: str, change: Callable[[Any], None]) -> bytes:
    columns, sizes = two_requests()
    example = tf.train.Example.FromString(encode_block(columns, packing=PACKING, sizes=sizes))
    change(example.features.feature[name].bytes_list)
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized


def with_sizes(*sizes: int) -> bytes:
    return changed(SIZES, lambda values: values.value.__setitem__(0, np.array(sizes, "<i4").tobytes()))


def with_header(old: bytes, new: bytes) -> bytes:
    return changed(HEADER, lambda values: values.value.__setitem__(0, values.value[0].replace(old, new)))


BAD = {
    "a row too many": with_sizes(2, 2),
    "a row too few": with_sizes(1, 1),
    "a request without rows": with_sizes(3, 0),
    "a negative size": with_sizes(4, -1),
    "sizes of one request": with_sizes(3),
    "sizes of three requests": with_sizes(1, 1, 1),
    "no sizes": with_sizes(),
    "a size of three bytes": changed(SIZES, lambda values: values.value.__setitem__(0, bytes(7))),
    "lengths of three requests": changed(
        "request:lengths:seen", lambda v: v.value.__setitem__(0, np.array([1, 1, 0], "<i4").tobytes())
    ),
    "lengths of other columns": changed(
        "request:lengths:at", lambda v: v.value.__setitem__(0, np.array([1, 1], "<i4").tobytes())
    ),
    "users of a request less": changed("request:int64", lambda v: v.value.__setitem__(0, bytes(16))),
    "a header of no requests": with_header(b'"per_request":["user"', b'"per_request":["item"'),
    "a header of an unknown column": with_header(b'"per_request":["user"', b'"per_request":["nobody"'),
    "a header of a number": with_header(b'"per_request":["user"', b'"per_request":[7'),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_block_whose_parts_do_not_agree_is_found_and_those_beside_it_are_kept(kind: str) -> None:
    columns, sizes = two_requests()
    good = encode_block(columns, packing=PACKING, sizes=sizes)
    with pytest.raises(INPUT_ERRORS):
        block_parser(PACKING, columns=SCHEMA.columns, aligned=ALIGNED)(tf.constant([good, BAD[kind], good]))
    frames = iter([Frame(number, block, "") for number, block in enumerate((good, BAD[kind], good))])
    found = list(scan_frames(SCHEMA, "log.tfrecord", frames))
    assert [scanned.examples for scanned in found][::2] == [3, 3]
    assert found[1].record is None or found[1].examples < 3
    assert str(found[1].problems[0]).startswith("log.tfrecord, record 1")


def test_no_column_of_rows_is_no_block() -> None:
    """A few bytes could otherwise claim any number of rows."""
    header = Packing(SCHEMA.columns, tuple(column.name for column in SCHEMA.columns)).header()
    with pytest.raises(BlockError, match="no column of its rows"):
        Packing.from_header(header)


def test_values_that_are_wrong_take_the_rows_that_have_them() -> None:
    """A label takes its row, a column of the user all rows of the request."""
    columns, sizes = log(requests=3)
    columns["click"] = columns["click"].copy()
    columns["click"][0] = 0.5
    block = encode_block(columns, packing=PACKING, sizes=sizes)
    (found,) = scan_frames(SCHEMA, "log.tfrecord", iter([Frame(0, block, "")]))
    assert str(found.problems[0]).startswith("log.tfrecord, record 0, row 0, feature 'click'")
    assert found.record is not None
    kept = decode_block(found.record)
    assert kept.rows == sizes.sum() - 1 == found.examples
    expected = as_rows(columns, sizes)
    for name in ("user", "item", "time"):
        np.testing.assert_array_equal(np.asarray(kept.of_rows()[name]), expected[name][1:])
    lengths = columns["at"].lengths.copy()
    lengths[1] += 1
    apart = {**columns, "click": np.zeros_like(columns["click"])}
    apart["at"] = data.Ragged(np.append(columns["at"].values, 9), lengths)
    block = encode_block(apart, packing=PACKING, sizes=sizes)
    (found,) = scan_frames(SCHEMA, "log.tfrecord", iter([Frame(0, block, "")]))
    assert [problem.row for problem in found.problems] == list(range(sizes[0], sizes[0] + sizes[1]))
    assert found.examples == sizes[0] + sizes[2]
