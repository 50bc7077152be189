"""Blocks whose parts do not fit together: each is found by itself, and the blocks beside it are read as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import data
from fullrank.data.reading.scan import scan_frames
from fullrank.data.records.block_layout import block_parser, decode_block
from fullrank.data.records.encode_block import encode_block
from fullrank.data.records.frames import Frame
from fullrank.data.records.packing import HEADER, BlockError, Packing
from fullrank.data.schema.ragged import take_rows

ROWS, BLOCK_ROWS = 12, 4
SCHEMA = data.Schema(
    name="blocks",
    features=(
        data.Sparse(name="item", ids=data.IdMap(kind="identity", size=ROWS)),
        data.Sparse(name="word", dtype="bytes", ids=data.IdMap(kind="hash", size=9)),
        data.Sequence(
            name="past",
            behaviour=(
                data.BehaviourColumn(name="seen", table="item", target="item"),
                data.BehaviourColumn(name="said", table="word", target="word"),
            ),
            times="at",
            max_length=3,
        ),
        data.Numeric(name="price"),
    ),
    labels=(data.Label(name="click"),),
)
PACKING = Packing(SCHEMA.columns)


def blocks() -> list[bytes]:
    """Row i has item i and two behaviours."""
    index, lengths = np.arange(ROWS), np.full(ROWS, 2, np.int32)
    many = np.repeat(index, 2)
    columns: dict[str, Any] = {
        "item": index,
        "word": np.array([b"w%d" % i for i in index], object),
        "seen": data.Ragged(many, lengths),
        "said": data.Ragged(np.array([b"s%d" % i for i in many], object), lengths),
        "at": data.Ragged(many, lengths),
        "price": index.astype(np.float32),
        "click": (index % 2).astype(np.float32),
    }
    return [encode_block(take_rows(columns, part), packing=PACKING) for part in index.reshape(-1, BLOCK_ROWS)]


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Changes one feature of a block, with right lengths around it."""

    def on_block(block: bytes) -> bytes:
        example = tf.train.Example.FromString(block)
        change(example.features.feature[name])
        serialized: bytes = example.SerializeToString(deterministic=True)
        return serialized

    return on_block


def raw(change: Callable[[Any], Any], dtype: str) -> Callable[[Any], None]:
    """Changes the numbers of a feature."""

    def on_feature(feature: Any) -> None:
        values = np.frombuffer(feature.bytes_list.value[0], dtype).copy()
        feature.bytes_list.value[0] = np.asarray(change(values), dtype).tobytes()

    return on_feature


def rows(number: int) -> Callable[[Any], None]:
    return lambda feature: feature.int64_list.value.__setitem__(0, number)


def header(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def on_feature(feature: Any) -> None:
        feature.bytes_list.value[0] = change(feature.bytes_list.value[0])

    return changed(HEADER, on_feature)


LENGTHS = "lengths:seen"
BAD: dict[str, Callable[[bytes], bytes]] = {
    "lengths too short": changed(LENGTHS, raw(lambda v: [1, 2, 2, 2], "<i4")),
    "lengths too long": changed(LENGTHS, raw(lambda v: [3, 2, 2, 2], "<i4")),
    "a negative length": changed(LENGTHS, raw(lambda v: [-1, 5, 2, 2], "<i4")),
    "the least length": changed(LENGTHS, raw(lambda v: [-(2**31), 2**31 - 1, 2, 2], "<i4")),
    "lengths of three rows": changed(LENGTHS, raw(lambda v: v[:3], "<i4")),
    "lengths of other columns": changed(LENGTHS, raw(lambda v: [1, 3, 2, 2], "<i4")),
    "a value of three bytes": changed("values:seen", lambda f: f.bytes_list.value.__setitem__(0, bytes(63))),
    "more values": changed("values:seen", raw(lambda v: [*v, 1], "<i8")),
    "more strings": changed("values:said", lambda f: f.bytes_list.value.append(b"x")),
    "in two pieces": changed("float32", lambda f: f.bytes_list.value.append(b"")),
    "numbers of a row less": changed("int64", raw(lambda v: v[:-1], "<i8")),
    "words of a row less": changed("bytes", lambda f: f.bytes_list.value.pop()),
    "rows of three": changed("rows", rows(3)),
    "rows of five": changed("rows", rows(5)),
    "no rows": changed("rows", rows(0)),
    "rows below none": changed("rows", rows(-4)),
    "huge rows": changed("rows", rows(2**62)),
    "another feature": changed("other", lambda f: f.int64_list.value.append(1)),
    "a feature less": lambda block: changed("x", lambda f: None)(block).replace(b"lengths:at", b"lengths:ax"),
    "a header that is not text": header(lambda h: b"\xff" + h[1:]),
    "a header that is not JSON": header(lambda h: h[:-1]),
    "a header with a space": header(lambda h: h + b" "),
    "a length of 0": header(lambda h: h.replace(b'"one",1', b'"one",0', 1)),
    "an unknown type": header(lambda h: h.replace(b'"int64"', b'"int46"', 1)),
    "a type that is a list": header(lambda h: h.replace(b'"int64"', b"[1]", 1)),
    "an unknown form": header(lambda h: h.replace(b'"one"', b'"two"', 1)),
    "a column twice": header(lambda h: h.replace(b'"word"', b'"item"', 1)),
    "no columns": header(lambda h: b'{"format":1,"columns":[]}'),
    "deep": header(lambda h: b"[" * 100_000),
    "no block": lambda block: b"junk",
    "no bytes": lambda block: b"",
}
PARSE = tf.function(
    block_parser(PACKING, columns=SCHEMA.columns, aligned=[("seen", "said", "at")]),
    input_signature=[tf.TensorSpec([None], tf.string)],
    autograph=False,
)


@pytest.mark.parametrize("case", BAD)
def test_a_block_that_does_not_fit_is_refused_wherever_it_stands(case: str) -> None:
    good = blocks()
    bad = BAD[case](good[1])
    for window in ([bad], [good[0], bad, good[2]]):
        with pytest.raises(data.INPUT_ERRORS):
            PARSE(tf.constant(window))


def test_the_search_gives_up_the_bad_block_alone() -> None:
    """In one file: before and after each bad block stands a good one, which comes out as it was."""
    good = blocks()
    records = [record for case in BAD for record in (good[0], BAD[case](good[1]))] + [good[2]]
    found = list(scan_frames(SCHEMA, "file", (Frame(number, record) for number, record in enumerate(records))))
    for number, (record, scanned) in enumerate(zip(records, found, strict=True)):
        if number % 2 == 0:
            assert (scanned.record, scanned.examples, scanned.problems) == (record, BLOCK_ROWS, ())
        elif list(BAD)[number // 2] == "lengths of other columns":
            # The rows that are not torn are saved.
            assert scanned.examples == BLOCK_ROWS - 2
            assert {problem.row for problem in scanned.problems} == {0, 1}
        else:
            assert (scanned.record, scanned.examples, len(scanned.problems)) == (None, 0, 1)
            assert "\n" not in str(scanned.problems[0])


def test_a_good_block_between_bad_ones_is_read(tmp_path: Path) -> None:
    """The file in which short lengths once moved the histories of the block after them."""
    good = blocks()
    with tf.io.TFRecordWriter(str(tmp_path / "train-0")) as writer:
        for record in (good[0], BAD["lengths too short"](good[1]), good[2]):
            writer.write(record)
    shards = (data.Shard(file="train-0", examples=ROWS),)
    schema = dataclasses.replace(SCHEMA, splits=(data.Split(name="train", shards=shards),), directory=tmp_path)
    with pytest.raises(data.INPUT_ERRORS) as error:
        list(data.read_records(schema, batch_size=5))
    explained = str(data.explain(error.value, schema=schema, split="train"))
    assert explained.startswith(f"{tmp_path / 'train-0'}, record 1, feature 'seen': damaged block: 4 rows. Received: ")
    dataset = data.read_records(
        schema, batch_size=5, on_bad_record="skip", max_bad_fraction=0.5, cache_directory=tmp_path / "cache"
    )
    read = {name: np.concatenate([b[name] for b in dataset.as_numpy_iterator()]) for name in ("item", "seen")}
    kept = [0, 1, 2, 3, 8, 9, 10, 11]
    assert read["item"].tolist() == kept
    assert read["seen"].tolist() == [[i, i, -1] for i in kept]


def test_a_header_says_what_is_wrong() -> None:
    with pytest.raises(BlockError, match="lists a column twice"):
        decode_block(BAD["a column twice"](blocks()[0]))
    wide = [["item", "float32", "fixed", 2**17 + 1]]
    with pytest.raises(BlockError, match="more than 131072 values of one type per row"):
        Packing.from_header(str({"format": 1, "columns": wide}).replace("'", '"').replace(" ", "").encode())
