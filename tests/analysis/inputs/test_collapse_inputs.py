"""Tables are found in files of every kind, most of them written by nothing that knows fullrank."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.analysis import analyse_collapse, open_input
from fullrank.analysis.inputs.npz import read_safetensors
from fullrank.data.schema.saved_tables import read_layout

USERS, ITEMS, SEEN = 500, 300, 200


def keras_model(optimizer: Any) -> keras.Model:
    """Two tables of which the first `SEEN` rows are trained, under a dense layer; plain Keras.

    The labels are large, because Keras's Adagrad does not notice the smallest gradients.
    """
    keras.utils.set_random_seed(1)
    user, item = keras.Input([], name="user", dtype="int64"), keras.Input([], name="item", dtype="int64")
    embedded = [
        keras.layers.Embedding(USERS, 8, name="user_table")(user),
        keras.layers.Embedding(ITEMS, 4, name="item_table")(item),
    ]
    output = keras.layers.Dense(1, name="out")(keras.layers.Concatenate()(embedded))
    model = keras.Model([user, item], output)
    model.compile(optimizer, "mse", jit_compile=False)
    model.fit([np.arange(SEEN), np.arange(SEEN)], 100.0 + np.arange(SEEN), batch_size=SEEN, verbose=0)
    return model


OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adagrad": keras.optimizers.Adagrad,
    "ftrl": keras.optimizers.Ftrl,
    "legacy adam": keras.optimizers.legacy.Adam,
    "legacy adagrad": keras.optimizers.legacy.Adagrad,
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_checkpoint_of_plain_keras(optimizer: str, tmp_path: Path) -> None:
    model = keras_model(OPTIMIZERS[optimizer]())
    model.save_weights(tmp_path / "weights")
    found = {table.name: table for table in analyse_collapse(open_input(tmp_path, min_rows=100)).tables}
    assert set(found) == {"user_table/embeddings", "item_table/embeddings"}
    for name, values in zip(sorted(found), reversed(model.get_weights()[:2]), strict=True):
        table = found[name]
        assert (table.known_by, table.spectrum.rows, table.all_rows) == ("optimizer slots", SEEN, len(values))
        exact = np.linalg.svd(values[:SEEN], compute_uv=False)
        np.testing.assert_allclose(table.spectrum.singular_values, exact, rtol=1e-5)


def test_a_checkpoint_may_be_named_in_several_ways(tmp_path: Path) -> None:
    model = keras_model("sgd")
    checkpoint = tf.train.Checkpoint(model=model)
    manager = tf.train.CheckpointManager(checkpoint, str(tmp_path / "state"), max_to_keep=2)
    manager.save()
    model.get_layer("user_table").set_weights([np.zeros((USERS, 8))])
    prefix = manager.save()
    for named in (tmp_path / "state", prefix, f"{prefix}.index"):
        found = open_input(named, min_rows=100)
        assert (found.kind, found.read) == ("checkpoint", prefix)
        (user,) = (s.variable for s in found.sources if s.variable.name == "user_table/embeddings")
        assert not user.read().any()
    assert found.left_out == ("out/kernel",)


def test_a_saved_model_of_plain_keras_and_its_versions(tmp_path: Path) -> None:
    model = keras_model("sgd")
    for version in ("9", "10"):
        model.get_layer("item_table").set_weights([np.full((ITEMS, 4), float(version))])
        tf.saved_model.save(model, str(tmp_path / version))
    found = open_input(tmp_path, tables="item_table")
    assert (found.kind, found.read) == ("SavedModel", str(tmp_path / "10"))
    assert [source.variable.name for source in found.sources] == ["item_table/embeddings"]
    assert (found.sources[0].variable.read() == 10.0).all()
    (table,) = analyse_collapse(open_input(tmp_path / "9", tables="item")).tables
    assert (table.known_by, table.spectrum.rows) == ("optimizer slots", SEEN)
    assert table.spectrum.measures()["information_abundance"] == pytest.approx(1.0)


def test_a_checkpoint_that_knows_names_only(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    table, accumulator = draw.normal(size=(50, 3)).astype(np.float32), np.full((50, 3), 0.1, np.float32)
    accumulator[:20] += 1
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = [
            tf.compat.v1.Variable(table, name="tower/user"),
            tf.compat.v1.Variable(accumulator, name="tower/user/Adagrad"),
        ]
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(variables).save(session, str(tmp_path / "model"))
    (found,) = analyse_collapse(open_input(tmp_path, min_rows=10)).tables
    assert (found.name, found.spectrum.rows, found.known_by) == ("tower/user", 20, "optimizer slots")


def test_a_damaged_checkpoint_is_reported(tmp_path: Path) -> None:
    keras_model("sgd").save_weights(tmp_path / "weights")
    (tmp_path / "weights.data-00000-of-00001").write_bytes(b"short")
    with pytest.raises(ValueError, match="cannot be read"):
        analyse_collapse(open_input(tmp_path, min_rows=100))
    (tmp_path / "weights.index").write_bytes(b"no index")
    with pytest.raises(ValueError, match=r"The checkpoint .*weights cannot be read"):
        open_input(tmp_path)


def test_npz(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    arrays: dict[str, Any] = {
        "set0/user": draw.normal(size=(40, 4)),
        "half": draw.normal(size=(30, 4)).astype(np.float16),
        "few": draw.normal(size=(9, 4)),
        "wide": draw.normal(size=(40, 11)),
        "ids": np.arange(80).reshape(40, 2),
        "bias": np.ones(40),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    found = open_input(tmp_path / "a.npz", min_rows=10, max_width=10)
    assert [source.variable.name for source in found.sources] == ["set0/user", "half"]
    assert found.left_out == ("few", "wide")
    tables = analyse_collapse(found).tables
    np.testing.assert_allclose(tables[0].spectrum.singular_values, np.linalg.svd(arrays["set0/user"], compute_uv=False))
    np.testing.assert_allclose(
        tables[1].spectrum.singular_values, np.linalg.svd(arrays["half"].astype(float), compute_uv=False)
    )
    assert [s.variable.name for s in open_input(tmp_path / "a.npz", tables="^(few|wide|ids)$").sources] == [
        "few",
        "wide",
    ]


def test_npz_that_is_not_an_archive(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(b"PK no zip at all")
    with pytest.raises(ValueError, match=r"a\.npz is not an \.npz file, or is damaged"):
        open_input(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("table.npy", b"no array")
    with pytest.raises(ValueError, match=r"a\.npz is not an \.npz file, or is damaged"):
        open_input(file)
    np.savez(file, table=np.array([object()]))
    with pytest.raises(ValueError, match=r"holds no table of --min_rows=1000"):
        open_input(file)


def test_npz_with_a_flipped_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez_compressed(file, table=np.random.default_rng(0).normal(size=(200, 4)))
    whole = file.read_bytes()
    given = open_input(file, tables="table")
    damaged = 0
    for place in range(60, len(whole) - 100, 500):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            given.sources[0].variable.read()
        except ValueError as error:
            damaged += "array 'table' cannot be read" in str(error)
    assert damaged > 5


def safetensors(file: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return file


def entry(dtype: str, shape: Any, begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_safetensors(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    values = draw.normal(size=(20, 3)).astype(np.float32)
    # bfloat16 keeps the upper 16 bits of a float32.
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    parts = {
        "single": ("F32", values.astype("<f4")),
        "double": ("F64", values.astype("<f8")),
        "half": ("F16", values.astype("<f2")),
        "brain": ("BF16", bits),
        "ids": ("I64", np.arange(60).reshape(20, 3)),
    }
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, array) in parts.items():
        header[name] = entry(dtype, list(array.shape), len(data), len(data) + array.nbytes)
        data += array.tobytes()
    found = open_input(safetensors(tmp_path / "a.safetensors", header, data), min_rows=10)
    read = {source.variable.name: source.variable.read() for source in found.sources}
    assert set(read) == {"single", "double", "half", "brain"}
    np.testing.assert_array_equal(read["single"], values)
    np.testing.assert_array_equal(read["double"], values.astype(np.float64))
    np.testing.assert_array_equal(read["half"], values.astype(np.float16))
    np.testing.assert_array_equal(read["brain"], tf.cast(tf.bitcast(tf.constant(bits), tf.bfloat16), tf.float32))
    assert len(analyse_collapse(found).tables) == 4


@pytest.mark.parametrize(
    ("header", "data", "length", "message"),
    [
        (b"{}", b"", 10**12, "its header has 1000000000000 bytes, the file has 10"),
        (b"{}", b"", 3, "its header has 3 bytes, the file has 10"),
        (b"", b"", 0, "its header has 0 bytes"),
        (b"{'a'}", b"", None, "its header is not JSON"),
        (b"\xff\xfe", b"", None, "its header is not JSON"),
        (b"[" * 100_000, b"", None, "its header is not JSON"),
        (b"[1, 2]", b"", None, "its header is not a JSON object"),
        ({"t": 3}, b"", None, "tensor 't' needs dtype, shape and data_offsets. Received: 3"),
        ({"t": {"dtype": "F32"}}, b"", None, "tensor 't' needs dtype"),
        ({"t": entry("F32", [2, -2], 0, 16)}, b"x" * 16, None, "tensor 't' needs dtype"),
        ({"t": entry("F32", [2, 2.0], 0, 16)}, b"x" * 16, None, "tensor 't' needs dtype"),
        ({"t": entry("F32", [2, True], 0, 16)}, b"x" * 16, None, "tensor 't' needs dtype"),
        ({"t": entry("F32", [2, 2], -8, 8)}, b"x" * 16, None, "tensor 't' needs dtype"),
        ({"t": entry("F32", [2, 2], 0, 16)}, b"x" * 15, None, "the file holds 15 bytes of tensors; it is cut off"),
        ({"t": entry("F32", [2, 2], 16, 0)}, b"x" * 16, None, "lies at 16 to 0"),
        ({"t": entry("F32", [2, 3], 0, 16)}, b"x" * 16, None, r"shape \(2, 3\) cannot have 16 bytes"),
        ({"t": entry("F32", [2**40, 2**40], 0, 16)}, b"x" * 16, None, "cannot have 16 bytes"),
    ],
)
def test_safetensors_that_lie(header: Any, data: bytes, length: int | None, message: str, tmp_path: Path) -> None:
    file = safetensors(tmp_path / "a.safetensors", header, data, length=length)
    with pytest.raises(ValueError, match=message):
        read_safetensors(file)


@pytest.mark.parametrize("size", [0, 5, 8])
def test_safetensors_that_end_before_they_begin(size: int, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(bytes(size))
    with pytest.raises(ValueError, match=r"is not a complete \.safetensors file"):
        read_safetensors(file)


@pytest.mark.parametrize("kind", ["missing", "file", "empty directory"])
def test_unreadable_files_are_reported(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "what"
    if kind == "file":
        path.write_text("hello")
    if kind == "empty directory":
        path.mkdir()
    with pytest.raises(ValueError, match="what is not a run directory, SavedModel, TensorFlow checkpoint"):
        open_input(path)


def test_without_a_candidate_table_the_error_lists_all_tables(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", user=np.ones((30, 2)))
    with pytest.raises(ValueError, match=r"no table of --min_rows=1000 and .*Its largest matrices: user \[30, 2\]\."):
        open_input(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"no table whose name --tables=item finds"):
        open_input(tmp_path / "a.npz", tables="item")
    with pytest.raises(ValueError, match=r"--tables=\( is not a regular expression"):
        open_input(tmp_path / "a.npz", tables="(")


def test_a_layout_that_is_damaged(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"format": 2, "variables": [], "crosses": []}', '{"format": 1, "variables": [3]}'):
        (tmp_path / "tables.json").write_text(text)
        with pytest.raises(ValueError, match=r"tables\.json does not say where tables are"):
            read_layout(tmp_path / "tables.json")


def test_frequencies_and_initial_values_come_before_slots(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    before, counts = draw.normal(size=(60, 4)), draw.integers(0, 3, 60)
    after = before.copy()
    after[:25] += 1.0
    np.savez(tmp_path / "before.npz", user=before, item=before)
    np.savez(tmp_path / "after.npz", user=after, item=after)
    given, initial = (open_input(tmp_path / f"{name}.npz", tables=".") for name in ("after", "before"))
    user, item = analyse_collapse(given, frequencies={"user": counts}, initial=initial).tables
    assert (user.known_by, user.spectrum.rows) == ("frequencies", int(np.count_nonzero(counts)))
    assert user.weighted is not None
    np.testing.assert_allclose(
        user.weighted.singular_values, np.linalg.svd(np.repeat(after, counts, axis=0), compute_uv=False)
    )
    assert (item.known_by, item.spectrum.rows, item.weighted) == ("initial values", 25, None)
    with pytest.raises(ValueError, match=r"Frequencies are given for shop, but the tables are item, user\."):
        analyse_collapse(given, frequencies={"shop": counts})
    with pytest.raises(
        ValueError, match=r"The frequencies of user must be 60 numbers, one per row\. Received: int64 of"
    ):
        analyse_collapse(given, frequencies={"user": counts[:3]})
    other = open_input(tmp_path / "before.npz", tables="user")
    with pytest.raises(ValueError, match=r"before\.npz holds no item of shape \(60, 4\)"):
        analyse_collapse(given, initial=other)


def test_a_table_with_values_that_are_not_numbers_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", user=np.full((30, 2), np.nan))
    with pytest.raises(ValueError, match="Table user: the table holds values that are not finite"):
        analyse_collapse(open_input(tmp_path / "a.npz", tables="user"))
