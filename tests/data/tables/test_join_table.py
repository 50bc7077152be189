"""Joining a small table to a large one: by hand, against a dictionary, and in `infer` and `convert`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ran_commands import ran

from fullrank import data
from fullrank.data import convert, hash_id, infer
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.database import open_database
from fullrank.data.tables.files import Dialect, TableFiles
from fullrank.data.tables.join import JoinTable
from fullrank.data.tables.staged_rows import StagedRows

SMALL = {
    "id": pa.array([3, 1, None, 7], pa.int64()),
    "bits": [[0, 1], [1, 1], [0, 0], None],
    "price": [0.3, 0.1, 9.0, 0.7],
}
SCHEMA = data.Schema(
    name="log",
    features=(data.Bits(name="bits", length=2), data.Numeric(name="price")),
    labels=(data.Label(name="click"),),
)


def joined(
    directory: Path, small: dict[str, Any], keys: pa.Array, *, schema: data.Schema = SCHEMA, **given: Any
) -> tuple[dict[str, list[Any]], str]:
    """The columns of the schema for a log with these keys, and the report of the join."""
    pq.write_table(pa.table(small), directory / "small.parquet")
    pq.write_table(pa.table({given.get("key", "id"): keys}), directory / "log.parquet")
    paths = [directory / "small.parquet", directory / "log.parquet"]
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_database(Path(scratch), threads=2, readable=paths) as connection,
    ):
        own, log = (TableFiles(connection, [path], dialect=Dialect(), directory=Path(scratch)) for path in paths)
        join = JoinTable(connection, own, name="small", **{"source": "small.parquet", "on": "id", **given})
        rows = StagedRows(connection, schema=schema, bad_rows=BadRows(), optional={"click"}, joins=1)
        rows.add_files("train", log, joins=[join])
        found = connection.execute("SELECT s0, s1 FROM staged ORDER BY rowid").fetchall()
        return {"first": [a for a, _ in found], "second": [b for _, b in found]}, join.report(
            rows.partners(0), rows.total
        )


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([1, 7, 2, None, 3, 1], pa.int64()),
        pa.array([1, 7, 2, None, 3, 1], pa.uint8()),
        pa.array([1.0, 7.0, 2.5, None, 3.0, 1.0]),
        pa.array([b"1", b"7", b"x", None, b" 3", b"1.0"]),
        pa.array(["1", "7", "2", "", "3", "1"]).dictionary_encode(),
    ],
    ids=lambda keys: str(keys.type),
)
@pytest.mark.parametrize("text", [False, True])
def test_keys_by_hand(tmp_path: Path, keys: pa.Array, text: bool) -> None:
    # Key 3 is row 0 of the small table, 1 row 1, 7 row 3. The row without a key is nobody's partner.
    small = {**SMALL, "id": SMALL["id"].cast(pa.string())} if text else SMALL
    found, report = joined(tmp_path, small, keys)
    assert found["first"] == [[1, 1], None, None, None, [0, 1], [1, 1]]
    assert found["second"] == pytest.approx([0.1, 0.7, None, None, 0.3, 0.1])
    assert report == "66.67% of the rows have their 'id' in small.parquet."


def test_a_leading_zero_is_part_of_a_key(tmp_path: Path) -> None:
    found, _ = joined(tmp_path, SMALL, pa.array(["03", "3"]))
    assert found["second"] == pytest.approx([None, 0.3])


def test_a_text_that_means_a_missing_value_is_no_key(tmp_path: Path) -> None:
    found, _ = joined(tmp_path, SMALL, pa.array([3, 1]), missing=("3",))
    assert found["second"] == pytest.approx([None, 0.1])


def test_against_a_dictionary_in_the_order_of_the_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    ids = draw.permutation(5_000)[:3_000] * 7
    values = {int(key): row % 1000 + 0.5 for row, key in enumerate(ids)}
    keys = draw.integers(0, 35_000, size=20_000)
    small = {"id": ids, "price": list(values.values()), "bits": [[0, 1]] * len(ids)}
    found, _ = joined(tmp_path, small, pa.array(keys))
    assert found["second"] == [values.get(int(key)) for key in keys]


def test_other_names(tmp_path: Path) -> None:
    schema = data.Schema(
        name="log",
        features=(data.Bits(name="ad_bits", length=2), data.Numeric(name="ad_price")),
        labels=(data.Label(name="click"),),
    )
    found, _ = joined(tmp_path, SMALL, pa.array([7, 1]), schema=schema, key="ad", prefix="ad_")
    assert found["first"] == [None, [1, 1]]


@pytest.mark.parametrize(
    ("table", "given", "message"),
    [
        (SMALL, {"on": "ids"}, r"^small.parquet has no column 'ids'. Did you mean 'id'\?"),
        (SMALL, {"on": "bits"}, "'bits' holds .*, but a key is an integer or text"),
        ({**SMALL, "id": [1, 2, 2, 1]}, {}, r"'id': key '1' occurs more than once \(as do 2 keys in all\)"),
        ({**SMALL, "id": ["a", "b", "b", ""]}, {}, r"'id': key 'b' occurs more than once \(as do 1 keys in all\)"),
        ({"id": [1]}, {}, "holds only 'id', so there is nothing to join"),
    ],
)
def test_a_table_that_cannot_be_joined(
    tmp_path: Path, table: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        joined(tmp_path, table, pa.array([1]), **given)


def test_invalid_keys(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log.parquet, column 'id' holds .*, but a key is"):
        joined(tmp_path, SMALL, pa.array([[1]]))
    found, report = joined(tmp_path, {**SMALL, "id": pa.array([None] * 4, pa.int64())}, pa.array([1, -1]))
    assert found["second"] == [None, None]
    assert report == "0.00% of the rows have their 'id' in small.parquet. Is --on right?"


def write_logs(directory: Path) -> list[list[int]]:
    """Clicks of 40 users on 30 items, the second file in two formats; the rows as `[user, item, click]`."""
    draw = np.random.default_rng(1)
    rows = [[int(draw.integers(40)), int(draw.integers(30)), int(draw.integers(2))] for _ in range(400)]
    names = ("user_id", "item_id", "click")
    for file, part in (("1.csv", rows[:250]), ("2.csv", rows[250:])):
        (directory / file).write_text("\n".join(",".join(map(str, row)) for row in [names, *part]) + "\n")
    columns = dict(zip(names, zip(*rows[250:], strict=True), strict=True))
    pq.write_table(pa.table(columns), directory / "2.parquet")
    return rows


def read(directory: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All examples of the train split."""
    batches = list(data.read_records(directory, split="train", batch_size=512))
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}


def test_bits_and_graph_vectors_reach_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_logs(tmp_path)
    draw = np.random.default_rng(2)
    # 25 of the 30 items have content, one of them a broken vector; 38 of the 40 users and all items have clicks.
    content = draw.normal(size=(25, 8)).astype(np.float32)
    content[4, 0] = np.nan
    np.save(tmp_path / "content.npy", content)
    vectors: dict[str, np.ndarray[Any, Any]] = {
        "user": draw.normal(size=(38, 4)).astype(np.float32),
        "item": draw.normal(size=(30, 4)),
    }
    kind = pa.list_(pa.float32())
    for side, found in vectors.items():
        table = pa.table({f"{side}_id": range(len(found)), "vector": pa.array(found.tolist(), kind)})
        pq.write_table(table, tmp_path / f"{side}s.parquet")
    hashed = [f"--input={tmp_path}/content.npy", f"--output={tmp_path}/bits.parquet", "--bits=16", "--seed=5"]
    assert ran(capsys, hash_id.run, *hashed)[0] == 0
    joins = [
        *(f"--join={tmp_path}/bits.parquet", "--on=item_id", "--join_prefix="),
        *(f"--join={tmp_path}/users.parquet", "--on=user_id=user_id", "--join_prefix=user_"),
        *(f"--join={tmp_path}/items.parquet", "--on=item_id", "--join_prefix=item_"),
    ]
    given = [f"--input={tmp_path}/1.csv,{tmp_path}/2.csv", *joins]
    schema = tmp_path / "schema.json"
    code, out, err = ran(capsys, infer.run, *given, "--label=click", f"--output={schema}")
    assert (code, err) == (0, "")
    assert f"--join={tmp_path}/users.parquet" in out
    assert "--join_prefix=user_" in out
    kinds = {feature.name: type(feature) for feature in data.read_schema(schema).features}
    assert kinds["bits"] is data.Bits
    assert kinds["user_vector"] is kinds["item_vector"] is data.Vector
    output = tmp_path / "records"
    code, out, err = ran(
        capsys, convert.run, *given, f"--schema={schema}", f"--output={output}", "--split_fractions=1", "--noprogress"
    )
    assert (code, err) == (0, "")
    share = sum(item < 25 for _, item, _ in rows) / len(rows)
    assert f"{share:.2%} of the rows have their 'item_id' in {tmp_path}/bits.parquet." in out
    records = read(output)
    bits = data.hash_vectors(content, bits=16, seed=5)
    assert len(records["click"]) == len(rows)
    for row, (user, item) in enumerate(zip(records["user_id"], records["item_id"], strict=True)):
        np.testing.assert_array_equal(records["bits"][row], bits[item] if item < 25 else [-1] * 16)
        np.testing.assert_allclose(records["item_vector"][row], vectors["item"][item], rtol=1e-6)
        known = vectors["user"][user] if user < 38 else np.full(4, np.nan)
        np.testing.assert_allclose(np.where(known == known, records["user_vector"][row], np.nan), known, rtol=1e-6)
    assert (records["bits"][records["item_id"] == 4] == -1).all()


def test_a_csv_table_can_be_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_logs(tmp_path)
    (tmp_path / "items.csv").write_text("id,tags,hash\n" + "".join(f"{i},a|b{i % 3},{i % 16:04b}\n" for i in range(20)))
    schema = data.Schema(
        name="log",
        features=(
            data.Sparse(name="item_id"),
            data.Sparse(name="tags", dtype="bytes", max_values=2),
            data.Bits(name="hash", length=4),
        ),
        labels=(data.Label(name="click"),),
    )
    data.write_schema(schema, tmp_path / "schema.json")
    given = [f"--input={tmp_path}/2.parquet", f"--join={tmp_path}/items.csv", "--on=item_id=id"]
    given += [f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records", "--split_fractions=1", "--noprogress"]
    code, _, err = ran(capsys, convert.run, *given)
    assert (code, err) == (0, "")
    records = read(tmp_path / "records")
    for item, tags, bits in zip(records["item_id"], records["tags"], records["hash"], strict=True):
        assert tags.tolist() == ([b"a", f"b{item % 3}".encode()] if item < 20 else [b"", b""])
        assert bits.tolist() == ([int(bit) for bit in f"{item % 16:04b}"] if item < 20 else [-1] * 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--join={d}/s.parquet"],
            "--join needs --on=KEY, one for all or one for each. Received: 1 --join and 0 --on.",
        ),
        (["--on=item_id"], "Received: 0 --join and 1 --on."),
        (["--join={d}/s.parquet"] * 3 + ["--on=item_id"] * 2, "Received: 3 --join and 2 --on."),
        (["--join={d}/s.parquet", "--on=item_id=id", "--join_prefix=a", "--join_prefix=b"], "1 --join and 2 prefixes"),
        (["--join={d}/none.parquet", "--on=item_id"], "No file matches '{d}/none.parquet'"),
        (["--join={d}/broken.parquet", "--on=item_id"], "{d}/broken.parquet: cannot be read"),
        (["--join={d}/empty.parquet", "--on=item_id"], "--join={d}/empty.parquet has no rows"),
        (["--join={d}/s.parquet", "--on=item_id"], "{d}/s.parquet has no column 'item_id'. It has: id, code."),
        (
            ["--join={d}/s.parquet", "--on=item=id"],
            "{d}/1.csv has no column 'item'. Did you mean 'item_id'? It is to be",
        ),
        (
            ["--join={d}/clash.parquet", "--on=item_id"],
            "{d}/1.csv has column 'click', which {d}/clash.parquet would add",
        ),
        (["--join={d}/s.parquet"] * 2 + ["--on=item_id=id"], "{d}/1.csv has column 'code', which {d}/s.parquet would"),
        (["--join={d}/twice.parquet", "--on=item_id"], "'item_id': key '4' occurs more than once"),
    ],
)
@pytest.mark.parametrize("command", ["infer", "convert"])
def test_wrong_joins_are_one_line(
    tmp_path: Path, command: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_logs(tmp_path)
    pq.write_table(pa.table({"id": [1, 2], "code": [1, 2]}), tmp_path / "s.parquet")
    pq.write_table(pa.table({"item_id": [1, 2], "click": [1, 2]}), tmp_path / "clash.parquet")
    pq.write_table(pa.table({"item_id": [4, 4], "code": [1, 2]}), tmp_path / "twice.parquet")
    pq.write_table(
        pa.table({"item_id": pa.array([], pa.int64()), "c": pa.array([], pa.int64())}), tmp_path / "empty.parquet"
    )
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    schema = data.Schema(name="log", features=(data.Sparse(name="item_id"),), labels=(data.Label(name="click"),))
    data.write_schema(schema, tmp_path / "schema.json")
    given = [f"--input={tmp_path}/1.csv", *(word.format(d=tmp_path) for word in arguments)]
    if command == "infer":
        code, out, err = ran(capsys, infer.run, *given, "--label=click")
    else:
        given += [f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records", "--noprogress"]
        code, out, err = ran(capsys, convert.run, *given)
        assert not (tmp_path / "records").exists()
    assert code in (1, 2)
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message.format(d=tmp_path) in err


def test_a_key_without_matches_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_logs(tmp_path)
    pq.write_table(pa.table({"item_id": [900, 901], "code": [1, 2]}), tmp_path / "codes.parquet")
    features = (data.Sparse(name="item_id"), data.Sparse(name="code"))
    schema = data.Schema(name="log", features=features, labels=(data.Label(name="click"),))
    data.write_schema(schema, tmp_path / "schema.json")
    given = [f"--input={tmp_path}/1.csv", f"--join={tmp_path}/codes.parquet", "--on=item_id", "--noprogress"]
    code, out, _ = ran(capsys, convert.run, *given, f"--schema={tmp_path}/schema.json", f"--output={tmp_path}/records")
    assert code == 0
    assert "0.00% of the rows have their 'item_id'" in out
    assert "Is --on right?" in out
