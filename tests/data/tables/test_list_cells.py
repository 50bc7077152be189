"""Lists that are written as text: in brackets, delimited, and cells that mean "no value"."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fullrank import data
from fullrank.data.tables.row_columns import to_columns


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["[1, 2]", "[]", "[3]"], [[1, 2], [], [3]]),
        (["[1 2\n 3]", None, "[4]"], [[1, 2, 3], [], [4]]),
        (["1|2", "3", ""], [[1, 2], [3], []]),
        (["1||2", "3", ""], [[1, -1, 2], [3], []]),
    ],
)
def test_lists_in_text(cells: list[str | None], expected: list[list[int]]) -> None:
    schema = data.Schema(name="s", features=(data.Sparse(name="x", max_values=9),), labels=(data.Label(name="y"),))
    batch = pa.RecordBatch.from_pydict({"x": cells, "y": [0, 1, 1]})
    found = to_columns(batch, schema)["x"]
    assert isinstance(found, data.Ragged)
    assert found.to_lists() == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('["Science Fiction"]', ["Science Fiction"]),  # JSON
        ('["Rock, Pop", "caf\\u00e9", null]', ["Rock, Pop", "caf\u00e9", ""]),
        ("['Science Fiction']", ["Science Fiction"]),  # Python
        ("""['Rock, Pop', "it's", 'o\\'clock', nan]""", ["Rock, Pop", "it's", "o'clock", "nan"]),
        ("['Rock, Pop'\n 'x y']", ["Rock, Pop", "x y"]),  # numpy
        ("[a b, rock 'n roll]", ["a b", "rock 'n roll"]),  # neither: quotes enclose no item
        ("[null]", [""]),
        ("Science Fiction|x", ["Science Fiction", "x"]),
        ("unknown", []),
        ("unknown|x", ["", "x"]),
    ],
)
def test_lists_of_texts_in_text(cell: str, expected: list[str]) -> None:
    feature = data.Sparse(name="x", dtype="bytes", max_values=9)
    reading = data.Reading(missing=("unknown",))
    schema = data.Schema(name="s", features=(feature,), labels=(data.Label(name="y"),), reading=reading)
    found = to_columns(pa.RecordBatch.from_pydict({"x": [cell], "y": [0]}), schema)["x"]
    assert isinstance(found, data.Ragged)
    assert [[text.decode() for text in row] for row in found.to_lists()] == [expected]


@pytest.mark.parametrize("cell", ["unknown", "NA", " nan", ""])
def test_a_list_cell_that_means_no_value(cell: str) -> None:
    features = (data.Sparse(name="x", max_values=9), data.Vector(name="v", length=2), data.Bits(name="b", length=4))
    reading = data.Reading(missing=("unknown",))
    schema = data.Schema(name="s", features=features, labels=(data.Label(name="y"),), reading=reading)
    batch = pa.RecordBatch.from_pydict({"x": [cell, "4|NA"], "v": [cell, "1|2"], "b": [cell, "0101"], "y": [0, 1]})
    found = to_columns(batch, schema)
    assert isinstance(found["x"], data.Ragged)
    assert found["x"].to_lists() == [[], [4, -1]]
    np.testing.assert_array_equal(found["v"], [[np.nan, np.nan], [1, 2]])
    np.testing.assert_array_equal(found["b"], [[-1] * 4, [0, 1, 0, 1]])
