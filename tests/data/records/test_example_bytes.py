"""Which bytes are a `tf.train.Example`: those that any writer makes, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import data
from fullrank.data.records import example_bytes
from fullrank.data.records.example_bytes import feature_counts, is_example
from fullrank.data.records.example_layout import ExampleError, check_has_columns
from fullrank.data.records.wire_format import FIRST, LIST_TAG, SECOND, field, varint

FLOATS, INTEGERS, BYTES = LIST_TAG["float32"], LIST_TAG["int64"], LIST_TAG["bytes"]


def example(**features: Any) -> bytes:
    """As protobuf writes it: lists of values, `None` for an empty feature, a name of a list for an empty list."""
    made = tf.train.Example()
    for name, values in features.items():
        feature = made.features.feature[name]
        if values is None:
            feature.SetInParent()
        elif isinstance(values, str):
            getattr(feature, values).SetInParent()
        else:
            kind = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}[type(values[0])]
            kind.value.extend(values)
    serialized: bytes = made.SerializeToString()
    return serialized


def with_features(*features: tuple[bytes, bytes]) -> bytes:
    """An example of names and serialized features, with right lengths around them."""
    return field(FIRST, b"".join(field(FIRST, field(FIRST, name) + field(SECOND, f)) for name, f in features))


GOOD = {
    "one of each": example(a=[1], b=[1.5], c=[b"x"]),
    "an empty feature": example(a=None),
    "empty lists": example(a="float_list", b="int64_list", c="bytes_list"),
    "negative and huge": example(a=[-1, 2**63 - 1, -(2**63)]),
    "no feature, but the field": b"\x0a\x00",
    "several strings": example(a=[b"x", b"", b"y" * 200, b"z" * 20_000]),
    "a long string": example(a=[b"x" * 2**21]),
    "long names": example(**{"n" * 127: [1], "m" * 128: [2], "o" * 70_000: None, "": [3.0]}),
    "names of any letters": with_features((b"\xff\xfe", field(INTEGERS, field(FIRST, b"\x01")))),
    "a name twice": with_features(
        (b"a", field(INTEGERS, field(FIRST, b"\x01"))), (b"a", field(FLOATS, field(FIRST, bytes(4))))
    ),
}
ONE = field(INTEGERS, field(FIRST, b"\x01"))
BAD = {
    "no bytes": b"",
    "unknown fields": example(a=[1]) + field(b"\x7a", b"x"),
    "a sequence example": example(a=[1]) + field(SECOND, b""),
    "two pieces": example(a=[1]) + example(b=[1]),
    "a needlessly long length": b"\x0a\x80\x00",
    "an entry of nothing": field(FIRST, field(FIRST, b"")),
    "an entry without a feature": field(FIRST, field(FIRST, field(FIRST, b"a"))),
    "an entry without a name": field(FIRST, field(FIRST, field(SECOND, ONE))),
    "the feature before the name": field(FIRST, field(FIRST, field(SECOND, ONE) + field(FIRST, b"a"))),
    "a feature twice": field(FIRST, field(FIRST, field(FIRST, b"a") + 2 * field(SECOND, ONE))),
    "unknown fields of an entry": field(FIRST, field(FIRST, field(FIRST, b"a") + field(SECOND, ONE) + b"\x18\x01")),
    "a list of an unknown kind": with_features((b"a", field(b"\x22", b""))),
    "two lists": with_features((b"a", ONE + field(FLOATS, field(FIRST, bytes(4))))),
    "numbers that are not packed": with_features((b"a", field(INTEGERS, b"\x08\x01"))),
    "floats that are not packed": with_features((b"a", field(FLOATS, b"\x0d" + bytes(4)))),
    "numbers in two pieces": with_features((b"a", field(INTEGERS, 2 * field(FIRST, b"\x01")))),
    "three bytes of a float": with_features((b"a", field(FLOATS, field(FIRST, bytes(7))))),
    "floats that are not there": with_features((b"a", field(FLOATS, FIRST + varint(2**30) + bytes(4)))),
    "2^32 floats": with_features((b"a", field(FLOATS, FIRST + varint(2**34) + bytes(4)))),
    "a string that is not there": with_features((b"a", field(BYTES, FIRST + varint(2**31 - 1) + b"x"))),
    "the second string is not there": with_features((b"a", field(BYTES, field(FIRST, b"x") + FIRST + varint(2**31)))),
    "more than strings": with_features((b"a", field(BYTES, field(FIRST, b"x") + b"\x10\x01"))),
    "an empty feature beside one of its name": with_features((b"a", ONE), (b"a", b"")),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_writers_make_is_an_example(case: str) -> None:
    """Alone, and beside another."""
    assert is_example(GOOD[case])
    assert feature_counts(tf.constant([GOOD[case], GOOD["one of each"]])).numpy()[1] == 3


@pytest.mark.parametrize("case", BAD)
def test_what_parsers_read_differently_is_none(case: str) -> None:
    assert not is_example(BAD[case])


@pytest.mark.parametrize("record", [b"junk", b"\x0a", b"\x0a\x05abc", b"\xff" * 20, example(a=[1])[:-1]])
def test_bytes_that_are_no_message(record: bytes) -> None:
    assert not is_example(record)


def test_every_record_has_its_own_verdict() -> None:
    records = [*GOOD.values(), *(record for record in BAD.values() if _is_message(record))]
    found = feature_counts(tf.constant(records)).numpy() >= 0
    assert found.tolist() == [True] * len(GOOD) + [False] * (len(records) - len(GOOD))
    assert feature_counts(tf.zeros([0], tf.string)).shape == (0,)


def _is_message(record: bytes) -> bool:
    try:
        feature_counts(tf.constant([record]))
    except tf.errors.DataLossError:
        return False
    return True


def test_one_record_of_many_features_takes_no_memory_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces the verdicts are those of the whole, whatever fits into one."""
    records = tf.constant(list(GOOD.values()) * 3)
    whole = feature_counts(records).numpy()
    for places in (1, 100, 2000):
        monkeypatch.setattr(example_bytes, "_PLACES", places)
        np.testing.assert_array_equal(feature_counts(records), whole)


COLUMNS = (
    data.Column(name="a", dtype="int64"),
    data.Column(name="b", dtype="float32"),
    data.Column(name="c", dtype="bytes", form="many", length=2),
    data.Column(name="d", dtype="float32", form="fixed", length=2),
    data.Column(name="e", dtype="float32", pad=0.0),
)


def test_a_row_of_missing_values_is_told_from_a_record_of_another_data_set() -> None:
    empty: dict[str, Any] = {
        "a": np.array([-1]),
        "b": np.array([np.nan], np.float32),
        "c": data.Ragged(np.array([], object), np.array([0], np.int32)),
        "d": np.full((1, 2), np.nan, np.float32),
        "e": np.array([np.nan], np.float32),
    }
    written = data.encode_examples(empty, schema_columns=COLUMNS)
    assert written == [example(e=None)]
    parse = data.example_parser(COLUMNS)
    batch = parse(tf.constant(written))
    assert batch["a"].numpy().tolist() == [-1]
    assert batch["c"].numpy().tolist() == [[b"", b""]]
    check_has_columns(written[0], schema_columns=COLUMNS)
    for foreign, words in ((example(z=[1]), "Received|no column of the schema"), (b"\x0a\x00", "no column")):
        with pytest.raises(tf.errors.InvalidArgumentError, match="none of the columns"):
            parse(tf.constant([written[0], foreign]))
        with pytest.raises(ExampleError, match=words):
            check_has_columns(foreign, schema_columns=COLUMNS)
    # What is there counts, also where it equals what is missing.
    for record in (example(a=[-1]), example(b=[float("nan")]), example(c=[b""]), example(e=[0.0]), example(d=None)):
        assert parse(tf.constant([record]))["a"].numpy().tolist() == [-1]


def test_the_graph_says_which_record() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"not a tf\.train\.Example") as error:
        data.example_parser(COLUMNS)(tf.constant([example(a=[1]), example(a=[2]), b"", example(a=[3])]))
    assert "position] [2]" in str(error.value)
