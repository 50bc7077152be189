"""Files of other tools: libsvm, foreign `tf.train.Example` and `schema.pbtxt`, from the command line to records."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ran_commands import run

from fullrank import data
from fullrank.data import convert, infer, inspect
from fullrank.data.records.frames import compressed, framed
from fullrank.data.tables.example_tables import LINES, examples_as_arrow


def records(file: Path, label: str, *flags: str) -> dict[str, list[Any]]:
    """What becomes of a file with what infer proposes, all rows in the training split."""
    schema, output = file.parent / "schema.json", file.parent / "records"
    assert run(infer, f"--input={file}", f"--label={label}", f"--output={schema}", "--overwrite") == 0
    to_records = (f"--input={file}", f"--schema={schema}", f"--output={output}", "--overwrite")
    assert run(convert, *to_records, "--split_fractions=1", "--noprogress", "--workers=1", *flags) == 0
    batch = next(iter(data.read_records(output, split="train", batch_size=1000)))
    return {name: value.numpy().tolist() for name, value in batch.items()}


LIBSVM = "1 qid:4 3:0.5 7:2\n\n# all of it a comment\n0 qid:5  7:-1.5 # a comment\n0 qid:5\n"


@pytest.mark.parametrize("name", ["log.libsvm", "log.svm", "log.libfm.gz"])
def test_libsvm(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(LIBSVM.encode()) if name.endswith(".gz") else LIBSVM.encode())
    assert records(tmp_path / name, "label") == {
        "label": [1, 0, 0],
        "qid": [4, 5, 5],
        "feature_ids": [[3, 7], [7, -1], [-1, -1]],
        "feature_weights": [[0.5, 2], [-1.5, 0], [0, 0]],
    }


def test_a_line_that_is_not_libsvm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.libsvm").write_text("1 3:0.5 4:1\n0 3:0.5:1\n0 4\n3:1\n0 3:1\n")
    found = records(tmp_path / "log.libsvm", "label", "--on_bad_record=skip", "--max_bad_fraction=.7")
    assert found["label"] == [1, 0]
    assert "row 2, '0 3:0.5:1' is not a label and pairs id:weight." in (tmp_path / "records/rejects.csv").read_text()
    assert "Left out 3 bad rows of 5." in capsys.readouterr().out


def example(**features: list[Any]) -> bytes:
    proto = tf.train.Example()
    for name, values in features.items():
        lists = proto.features.feature[name]
        kind = {bytes: lists.bytes_list, float: lists.float_list, int: lists.int64_list}[type(values[0])]
        kind.value.extend(values)
    return bytes(proto.SerializeToString())


EXAMPLES = [
    example(click=[1], user_id=[b"u1"], price=[0.5], tags=[b"a", b"b"], vector=[1.0, 2.0]),
    example(click=[0], user_id=[b"u2"], vector=[3.0, 4.0], Price=[7.5]),
    example(click=[0], user_id=[b"u1"], price=[1.5], tags=[b"b"], Price=[8.5]),
]


@pytest.mark.parametrize("packed", [False, True])
def test_foreign_examples(tmp_path: Path, packed: bool) -> None:
    file = tmp_path / ("log.tfrecord.gz" if packed else "log.tfrecord")
    file.write_bytes(compressed(framed(EXAMPLES), "GZIP" if packed else ""))
    found = records(file, "click")
    assert found["click"] == [1, 0, 0]
    assert found["user_id"] == [b"u1", b"u2", b"u1"]
    assert found["tags"] == [[b"a", b"b"], [b"", b""], [b"b", b""]]
    assert found["vector"][:2] == [[1, 2], [3, 4]]
    assert [found["price"][0], found["price"][2], *found["Price"][1:]] == [0.5, 1.5, 7.5, 8.5]


def test_batches_hold_what_single_examples_hold(tmp_path: Path) -> None:
    """Rows in the order of the file, whichever way a group of them is read; the reference knows one record at a time.

    Of 6,500 examples, those from 4,300 on have another feature, one in the third group is not packed, empty lists are
    no values, and one feature gets its second value in the last group only.
    """
    draw = np.random.default_rng(5)
    rows: list[dict[str, list[Any]]] = []
    for number in range(6_500):
        row: dict[str, list[Any]] = {"key": [b"k%d" % number], "items": draw.integers(-3, 9, draw.integers(4)).tolist()}
        if draw.random() < 0.5:
            row["price"] = [float(draw.integers(9))]
        if number >= 4_300:
            row["late"] = [number] if number < 6_400 else [number, number]
        rows.append(row)
    content = [example(**{name: values for name, values in row.items() if values}) for row in rows]
    content[2_500] = b"\x0a\x13\x0a\x11\x0a\x05items\x12\x08\x1a\x06\x08\x07\x08\x08\x08\x09"
    rows[2_500] = {"items": [7, 8, 9]}
    content[900] = example(key=[b"k900"]) + b"\x0a\x0c\x0a\x0a\x0a\x06unused\x12\x00"
    rows[900] = {"key": [b"k900"]}
    content[950] = b"\x0a\x10\x0a\x0e\x0a\x05price\x12\x05\x12\x03\x0a\x01\x00"  # a number of one byte
    (tmp_path / "log.tfrecord").write_bytes(framed(content))
    table = examples_as_arrow(tmp_path / "log.tfrecord", directory=tmp_path, stem="examples")
    assert list(table.places) == ["items", "key", "late", "price"]
    assert table.listed == {"items", "late"}
    found = table.rows.to_table().to_pydict()
    bad = [number for number, line in enumerate(found[LINES]) if line is not None]
    assert bad == [950]
    for name, place in table.places.items():
        wanted = [row.get(name) or None if number != 950 else None for number, row in enumerate(rows)]
        assert found[f"c{place}"] == wanted


def test_an_example_of_another_type_in_a_later_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.tfrecord").write_bytes(framed([*[example(x=[1])] * 3_000, example(x=[1.0]), example(x=[1])]))
    assert run(infer, f"--input={tmp_path}/log.tfrecord", "--label=x") == 1
    assert "record 3000: feature 'x' is float_list, but int64_list in earlier records." in capsys.readouterr().err


def test_records_that_are_not_examples_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(framed([*EXAMPLES, b"\xff", *EXAMPLES]))
    content[-5] ^= 1  # the last byte of the last example
    (tmp_path / "log.tfrecord").write_bytes(content)
    found = records(tmp_path / "log.tfrecord", "click", "--on_bad_record=skip", "--max_bad_fraction=.5")
    assert found["click"] == [1, 0, 0, 1, 0]
    rejects = (tmp_path / "records/rejects.csv").read_text()
    assert "row 4, 'other bytes' is not a tf.train.Example." in rejects
    assert "row 7, 'damaged data: its checksum differs' is not a tf.train.Example." in rejects
    assert "Left out 2 bad rows of 7." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (framed([example(x=[1]), example(x=[1.0])]), "'x' is float_list, but int64_list in earlier records."),
        (framed([b""]), "it holds no tf.train.Example with a value."),
        (b"", "it holds no tf.train.Example with a value."),
    ],
)
def test_files_that_are_not_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    (tmp_path / "log.tfrecord").write_bytes(content)
    assert run(infer, f"--input={tmp_path}/log.tfrecord", "--label=x") == 1
    assert message in capsys.readouterr().err


PBTXT = """
# As TFDV writes it.
feature { name: "click" type: INT presence { min_fraction: 1.0 min_count: 1 } not_in_environment: "SERVING" }
feature { name: "shop" type: INT int_domain { min: 1 max: 9 is_categorical: true } shape { dim { size: 1 } } }
feature { name: "rooms" type: FLOAT value_count { min: 1 max: 1 } drift_comparator { jensen_shannon_divergence { } } }
feature { name: "code" type: BYTES domain: "codes" }
feature { name: "old" type: BYTES deprecated: true }
feature { name: "not in the table" type: FLOAT }
string_domain { name: "codes" value: "1" value: "2" }
default_environment: "TRAINING"
"""


def test_metadata_decides_where_no_flag_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "schema.pbtxt").write_text(PBTXT)
    rows = [f"{k % 2},{k % 9},{k % 3},{k % 4},{k % 5}" for k in range(60)]
    (tmp_path / "log.csv").write_text("\n".join(["click,shop,rooms,code,old", *rows]) + "\n")
    flags = (f"--input={tmp_path}/log.csv", "--label=click", f"--metadata={tmp_path}/schema.pbtxt")
    assert run(infer, *flags, "--numeric=code", f"--output={tmp_path}/schema.json") == 0
    kinds = {feature.name: feature.kind for feature in data.read_schema(tmp_path / "schema.json").features}
    assert kinds == {"shop": "sparse", "rooms": "numeric", "code": "numeric"}
    (tmp_path / "schema.pbtxt").write_text("feature { name: 7 }")
    capsys.readouterr()
    assert run(infer, *flags) == 1
    assert "schema.pbtxt is not a schema.pbtxt of TensorFlow Metadata: 1:17 : " in capsys.readouterr().err


def test_the_columns_of_records_as_metadata(tmp_path: Path) -> None:
    (tmp_path / "log.tfrecord").write_bytes(framed(EXAMPLES))
    records(tmp_path / "log.tfrecord", "click")
    file = tmp_path / "schema.pbtxt"
    assert run(inspect, f"--data={tmp_path}/records", "--rows=0", f"--metadata={file}") == 0
    found = [" ".join(entry.split()) for entry in file.read_text().split("feature {")]
    assert 'name: "price" type: FLOAT value_count { max: 1 } }' in found
    assert 'name: "tags" type: BYTES value_count { max: 2 } }' in found
    assert 'name: "vector" type: FLOAT shape { dim { size: 2 } } }' in found
    assert found[-1].startswith('name: "click" type: FLOAT not_in_environment: "SERVING" value_count { max: 1 } }')
    assert found[-1].endswith('default_environment: "TRAINING" default_environment: "SERVING"')
    flags = (f"--input={tmp_path}/log.tfrecord", "--label=click", f"--metadata={file}")
    assert run(infer, *flags, f"--output={tmp_path}/again.json") == 0
    assert data.read_schema(tmp_path / "again.json").features == data.read_schema(tmp_path / "schema.json").features
