"""Arrays as bytes and back, whatever numbers and byte strings they hold."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fullrank.data.events.packed_arrays import nested, pack, part_of_nested, unpack


@given(
    st.lists(st.binary(max_size=9), max_size=12),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.floats(width=32), max_size=5),
)
def test_arrays_return_as_they_were(strings: list[bytes], whole: list[int], real: list[float]) -> None:
    text = np.empty(len(strings), object)
    text[:] = strings
    arrays = {"text": text, "whole": np.array(whole, np.int64), "real": np.array(real, np.float32)}
    found = unpack(pack(nested({"a": arrays, "b/c": {"text": text}})))
    for name, values in part_of_nested(found, "a").items():
        assert values.dtype == arrays[name].dtype
        assert values.tolist() == arrays[name].tolist() or np.array_equal(values, arrays[name], equal_nan=True)
    assert part_of_nested(found, "a").keys() == arrays.keys()
    assert part_of_nested(found, "b/c")["text"].tolist() == strings


def test_matrices_of_byte_strings_keep_their_shape() -> None:
    tags = np.array([[b"a", b""], [b"\x00", b"bc"], [b"", b""]], object)
    assert unpack(pack({"tags": tags}))["tags"].tolist() == tags.tolist()
    assert unpack(pack({"none": tags[:0]}))["none"].shape == (0, 2)
