"""The bytes that are put together by hand are read and written alike by protocol buffers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from fullrank.data.records import wire_format

VALUES = st.lists(st.binary(max_size=20) | st.binary(min_size=127, max_size=200), max_size=5)
NAMES = st.text(st.characters(codec="utf-8"), max_size=5)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_an_example_of_byte_strings(features: dict[str, list[bytes]]) -> None:
    lists = {n: tf.train.Feature(bytes_list=tf.train.BytesList(value=values)) for n, values in features.items()}
    expected = tf.train.Example(features=tf.train.Features(feature=lists))
    items = {name: wire_format.list_items(np.array(values, object))[1] for name, values in features.items()}
    found = wire_format.example({name: wire_format.list_feature(content) for name, content in items.items()})
    assert tf.train.Example.FromString(found) == expected
    # No byte more; only the order of names is left open by the format.
    assert len(found) == expected.ByteSize()


@given(st.integers(0, 2**63 - 1))
def test_numbers(number: int) -> None:
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    packed = wire_format.field(wire_format.FIRST, wire_format.varint(number))
    assert wire_format.field(wire_format.LIST_TAG["int64"], packed) == feature.SerializeToString()
