"""Vocabulary files: what they hold, and how damage to them is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullrank import data
from fullrank.data.schema.table_rows import table_rows
from fullrank.data.schema.vocabulary import storable, vocabulary_path, write_distinct_ids, write_vocabulary


def schema_of(directory: Path, *, dtype: str, size: int, name: str = "item") -> data.Schema:
    """A schema with one vocabulary feature, one that shares its table, and one without a vocabulary."""
    ids = data.IdMap(size=size)
    schema = data.Schema(
        name="small",
        features=(
            data.Sparse(name=name, dtype=dtype, ids=ids),  # type: ignore[arg-type]
            data.Sparse(name="tags", dtype=dtype, max_values=3, table=name),  # type: ignore[arg-type]
            data.Sparse(name="user", ids=data.IdMap(kind="hash", size=5)),
        ),
        labels=(data.Label(name="click"),),
    )
    directory.mkdir(exist_ok=True)
    data.write_schema(schema, directory)
    return data.read_schema(directory)


def test_the_file_has_an_id_a_line(tmp_path: Path) -> None:
    file = write_vocabulary([7, -3, 2**63 - 1], directory=tmp_path, feature="item")
    assert file == tmp_path / "vocabulary" / "item.txt"
    assert file.read_bytes() == b"7\n-3\n9223372036854775807\n"
    read = data.read_vocabulary(schema=schema_of(tmp_path, dtype="int64", size=3), feature="item")
    np.testing.assert_array_equal(read, np.array([7, -3, 2**63 - 1], np.int64))
    assert read.dtype == np.int64


def test_numpy_ids_are_taken(tmp_path: Path) -> None:
    write_vocabulary(np.array([5, 4]), directory=tmp_path, feature="item")
    read = data.read_vocabulary(schema=schema_of(tmp_path, dtype="int64", size=2), feature="tags")
    assert read.tolist() == [5, 4], "a feature that shares a table gets that table's vocabulary"


@given(ids=st.lists(st.binary(min_size=1), unique=True))
def test_any_bytes_survive(tmp_path_factory: pytest.TempPathFactory, ids: list[bytes]) -> None:
    directory = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(ids, directory=directory, feature="item")
    read = data.read_vocabulary(schema=schema_of(directory, dtype="bytes", size=len(ids)), feature="item")
    assert read.tolist() == ids
    assert read.dtype == object


def test_a_line_break_is_written_in_hexadecimal(tmp_path: Path) -> None:
    ids = [b"a\nb", b"\\x61", b"a\\x61"]
    file = write_vocabulary(ids, directory=tmp_path, feature="item")
    assert file.read_bytes() == b"\\x610a62\n\\x5c783631\na\\x61\n"
    schema = schema_of(tmp_path, dtype="bytes", size=3)
    assert data.read_vocabulary(schema=schema, feature="item").tolist() == ids
    file.write_bytes(b"\\x6\n\\x5c783631\na\\x61\n")
    with pytest.raises(data.SchemaError, match=r"line 1: the text after \\x is not hexadecimal"):
        data.read_vocabulary(schema=schema, feature="item")


@pytest.mark.parametrize("name", ["../../up", "a/b", "ünïcode", "with space", ".", "100%"])
def test_any_feature_name_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    file = write_vocabulary([1], directory=tmp_path, feature=name)
    assert file.parent == tmp_path / "vocabulary"
    schema = schema_of(tmp_path, dtype="int64", size=1, name=name)
    assert data.read_vocabulary(schema=schema, feature=name).tolist() == [1]


@pytest.mark.parametrize("bad", [b"", -1])
def test_ids_that_cannot_be_stored(tmp_path: Path, bad: int | bytes) -> None:
    assert not storable(bad)
    with pytest.raises(ValueError, match="'item' cannot hold the id"):
        write_vocabulary([bad], directory=tmp_path, feature="item")
    assert not vocabulary_path(tmp_path, feature="item").exists()
    assert list((tmp_path / "vocabulary").iterdir()) == []


def test_an_id_given_twice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'item' was given the id 3 twice"):
        write_vocabulary([3, 3], directory=tmp_path, feature="item")


@pytest.mark.parametrize(
    ("content", "dtype", "words"),
    [
        (b"1\n2", "int64", ["cut off"]),
        (b"1\ntwo\n", "int64", ["line 2", "two"]),
        (b"1\n9223372036854775808\n", "int64", ["line 2"]),
        (b"1\n-1\n", "int64", ["line 2", "missing value"]),
        (b"a\n\n", "bytes", ["line 2", "missing value"]),
        (b"a\na\n", "bytes", ["twice"]),
        (b"1\n", "int64", ["has 1 ids", "schema says 2"]),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, dtype: str, words: list[str]) -> None:
    file = vocabulary_path(tmp_path, feature="item")
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(data.SchemaError) as error:
        data.read_vocabulary(schema=schema_of(tmp_path, dtype=dtype, size=2), feature="item")
    for word in [str(file), *words]:
        assert word in str(error.value)


def test_what_has_no_vocabulary(tmp_path: Path) -> None:
    schema = schema_of(tmp_path, dtype="int64", size=2)
    with pytest.raises(data.SchemaError, match="no vocabulary file"):
        data.read_vocabulary(schema=schema, feature="item")
    with pytest.raises(data.SchemaError, match="'hash', which needs no vocabulary"):
        data.read_vocabulary(schema=schema, feature="user")
    with pytest.raises(data.SchemaError, match="no sparse feature 'nothing'"):
        data.read_vocabulary(schema=schema, feature="nothing")


def test_rows_of_ids_outside_a_model(tmp_path: Path) -> None:
    features = (
        data.Sparse(name="ad", ids=data.IdMap(size=3)),
        data.Sparse(name="site", dtype="bytes", ids=data.IdMap(size=2)),
        data.Sparse(name="hour", ids=data.IdMap(kind="identity", size=24)),
        data.Sparse(name="word", ids=data.IdMap(kind="hash", size=9)),
    )
    data.write_schema(data.Schema(name="rows", features=features, labels=(data.Label(name="click"),)), tmp_path)
    write_vocabulary([70, 5, 30], directory=tmp_path, feature="ad")
    write_vocabulary([b"b", b"a"], directory=tmp_path, feature="site")
    schema = data.read_schema(tmp_path)
    # Rows 0 and 1 stand for missing and unknown ids, so that the first of a vocabulary has row 2.
    assert table_rows(np.array([5, 70, 31, -1, 30]), schema=schema, feature="ad").tolist() == [3, 2, 1, 1, 4]
    assert table_rows(np.array([b"a", b"", b"b"], object), schema=schema, feature="site").tolist() == [3, 1, 2]
    assert table_rows(np.array([0, 23, 24]), schema=schema, feature="hour").tolist() == [2, 25, 1]
    with pytest.raises(data.SchemaError, match="hashes its ids"):
        table_rows(np.array([1]), schema=schema, feature="word")


@pytest.mark.parametrize(
    "ids",
    [[7, -3, 2**63 - 1, 0], [], [b"a", b"two\nlines", rb"\x41", b"\xff\x00", "größe".encode()], [b"a", b" b "]],
    ids=["int", "none", "spelled", "bytes"],
)
def test_distinct_ids_are_written_as_ids_one_by_one(tmp_path: Path, ids: list[Any]) -> None:
    kind = pa.binary() if ids and isinstance(ids[0], bytes) else pa.int64()
    pieces = [pa.array(ids[:1], kind), pa.array([], kind), pa.array(ids[1:], kind)]
    assert write_distinct_ids(pieces, directory=tmp_path / "pieces", feature="item") == len(ids)
    file = write_vocabulary(ids, directory=tmp_path / "single", feature="item")
    assert vocabulary_path(tmp_path / "pieces", feature="item").read_bytes() == file.read_bytes()
