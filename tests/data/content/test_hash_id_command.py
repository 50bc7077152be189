"""`fullrank hash-id`: what it writes and measures, large and damaged files, and one line for every mistake."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullrank import data
from fullrank.analysis import hamming as hamming_command
from fullrank.data import hash_id
from fullrank.data.content.hamming import measure_hamming
from fullrank.data.tables import vectors as vector_files


def ran(capsys: pytest.CaptureFixture[str], *arguments: str, run: Any = hash_id.run) -> tuple[int, str, str]:
    """Exit code, output and error output."""
    code = 0
    try:
        run(["hash_id", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def vectors() -> np.ndarray[Any, Any]:
    """300 vectors around (1, ..., 1), three of them without bits."""
    found = np.random.default_rng(0).normal(1.0, 1.0, size=(300, 16)).astype(np.float32)
    found[3, 2], found[4, 0], found[5] = np.nan, np.inf, 0
    return found


def save(file: Path, array: Any) -> Path:
    np.save(file, array, allow_pickle=False)
    return file


def bits_of(file: Path, column: str = "bits", *, missing: int = -1) -> np.ndarray[Any, Any]:
    lists = pq.read_table(file)[column].to_pylist()
    length = next(len(row) for row in lists if row is not None)
    return np.array([[missing] * length if row is None else row for row in lists])


def test_npy_with_ids(tmp_path: Path, vectors: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(tmp_path / "v.npy", vectors)
    ids = save(tmp_path / "ids.npy", np.array([f"ad{number}" for number in range(300)]))
    output, report = tmp_path / "bits.parquet", tmp_path / "new" / "h.json"
    code, out, err = ran(
        capsys, f"--input={file}", f"--ids={ids}", f"--output={output}", "--bits=32", "--seed=4", f"--json={report}"
    )
    assert (code, err) == (0, "")
    table = pq.read_table(output)
    assert table.column_names == ["item_id", "bits"]
    assert table["item_id"].to_pylist() == [f"ad{number}" for number in range(300)]
    assert table["bits"].type == pa.list_(pa.int8())
    assert table["bits"].null_count == 3
    np.testing.assert_array_equal(bits_of(output), data.hash_vectors(vectors, bits=32, seed=4))
    assert "300 vectors of 16 numbers as 32 bits (seed 4)." in out
    assert "3 have no bits: 2 are missing or hold a number that is not finite, 1 are zero." in out
    assert "the vectors lie in one cone and share most bits. --center" in out
    content = json.loads(report.read_text())
    assert (content["rows"], content["not_finite"], content["without_direction"]) == (300, 2, 1)
    assert content["hamming"]["pairs"] == 297 * 296 // 2
    assert content["hamming"]["rank_correlation"] < -0.5
    assert list(tmp_path.glob("*.writing*")) == []


def test_centring_and_later_items(tmp_path: Path, vectors: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = save(tmp_path / "v.npy", vectors), tmp_path / "bits.parquet"
    code, out, _ = ran(capsys, f"--input={file}", f"--output={output}", "--center", "--id_column=ad", "--column=code")
    assert code == 0
    assert "as 64 bits (seed 1, centred)" in out
    assert "cone" not in out
    there = np.isfinite(vectors).all(1) & (vectors != 0).any(1)
    mean = vectors[there].astype(np.float64).mean(0)
    expected = data.hash_vectors(vectors, bits=64, seed=1, center=mean)
    np.testing.assert_array_equal(bits_of(output, "code"), expected)
    assert pq.read_table(output)["ad"].to_pylist() == list(range(300))
    # The mean of these 20 is another one, but --like uses the first.
    part, later = save(tmp_path / "p.npy", vectors[100:120]), tmp_path / "later.parquet"
    code, out, _ = ran(capsys, f"--input={part}", f"--output={later}", f"--like={output}")
    assert code == 0
    np.testing.assert_array_equal(bits_of(later), expected[100:120])


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 16)])
def test_parquet(tmp_path: Path, vectors: Any, kind: pa.DataType, capsys: pytest.CaptureFixture[str]) -> None:
    # Two small row groups; row 9 has no list, and row 10 has one without a number in it.
    lists: list[Any] = vectors.tolist()
    lists[9], lists[10] = None, [None] * 16
    table = pa.table({"ad": pa.array(range(7, 307)), "v": pa.array(lists, kind)})
    pq.write_table(table, tmp_path / "v.parquet", row_group_size=150)
    output = tmp_path / "bits.parquet"
    code, out, err = ran(capsys, f"--input={tmp_path}/v.parquet", f"--output={output}", "--bits=24")
    assert (code, err) == (0, "")
    vectors[[9, 10]] = np.nan
    np.testing.assert_array_equal(bits_of(output), data.hash_vectors(vectors, bits=24, seed=1))
    assert pq.read_table(output)["ad"].to_pylist() == list(range(7, 307))
    assert "5 have no bits: 4 are missing or" in out


def test_pieces_do_not_matter(
    tmp_path: Path, vectors: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(tmp_path / "v.npy", vectors)
    pq.write_table(pa.table({"ad": range(300), "v": vectors.tolist()}), tmp_path / "v.parquet")
    whole, results = tmp_path / "whole.parquet", []
    assert ran(capsys, f"--input={file}", f"--output={whole}", "--center", f"--json={tmp_path}/whole.json")[0] == 0
    monkeypatch.setattr(vector_files, "_PIECE", 16 * 7)
    for source in (file, tmp_path / "v.parquet"):
        output = tmp_path / f"{source.suffix[1:]}-bits.parquet"
        arguments = [f"--input={source}", f"--output={output}", f"--json={tmp_path}/h.json"]
        assert ran(capsys, *arguments, "--center")[0] == 0
        np.testing.assert_array_equal(bits_of(output), bits_of(whole))
        results.append(json.loads((tmp_path / "h.json").read_text())["hamming"])
    expected = json.loads((tmp_path / "whole.json").read_text())["hamming"]
    for found in results:
        assert found["rank_correlation"] == pytest.approx(expected["rank_correlation"])


def test_hamming_by_hand() -> None:
    # Angles of 60, 90 and 30 degrees: cosines 0.5, 0 and 0.87, and 4/3, 2 and 2/3 expected of 4 bits. The codes differ
    # in 1, 3 and 2 places, so that ranks of cosine (2, 1, 3) meet those of distance (1, 3, 2): 1 - 6 * 6 / 24 = -0.5.
    angles = np.radians([0.0, 60.0, 90.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1.0], [5.0], [1e200]]
    found = measure_hamming(vectors, np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]))
    assert [(entry.pairs, entry.distance) for entry in found.bins] == [(1, 3.0), (1, 1.0), (1, 2.0)]
    np.testing.assert_allclose([entry.expected for entry in found.bins], [2.0, 4 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose([entry.cosine for entry in found.bins], [0, 0.5, math.sqrt(0.75)], atol=1e-9)
    assert found.rank_correlation == pytest.approx(-0.5)
    same = measure_hamming(np.ones([3, 2]), np.ones([3, 4], np.int8))
    assert same.rank_correlation is None
    assert same.bins[0].distance == 0


def test_the_figure(tmp_path: Path, vectors: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(tmp_path / "v.npy", vectors)
    assert ran(capsys, f"--input={file}", f"--output={tmp_path}/b.parquet", f"--json={tmp_path}/h.json")[0] == 0
    arguments = (f"--input={tmp_path}/h.json", f"--output={tmp_path}/h.png")
    assert ran(capsys, *arguments, run=hamming_command.run)[0] == 0
    assert (tmp_path / "h.png").read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "h.json").write_text("{}")
    code, _, err = ran(capsys, *arguments, run=hamming_command.run)
    assert code == 1
    assert err.startswith("error: ")
    assert "was not written by fullrank hash-id --json" in err


def test_one_vector_or_none_with_bits_is_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays: list[np.ndarray[Any, Any]] = [np.ones([1, 3]), np.zeros([4, 3], np.int8)]
    for number, array in enumerate(arrays):
        file = save(tmp_path / f"{number}.npy", array)
        arguments = (f"--input={file}", f"--output={tmp_path}/{number}.parquet", f"--json={tmp_path}/h.json")
        code, out, _ = ran(capsys, *arguments, "--center")
        assert code == 0
        assert "nothing was measured" in out
        assert json.loads((tmp_path / "h.json").read_text())["hamming"] is None
        assert pq.read_table(tmp_path / f"{number}.parquet")["bits"].null_count == len(array)


def test_it_needs_no_tensorflow(tmp_path: Path) -> None:
    file = save(tmp_path / "v.npy", np.eye(4))
    program = (
        "import sys; from fullrank.data import hash_id; "
        f"hash_id.run(['hash_id', '--input={file}', '--output={tmp_path}/b.parquet']); "
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def parquet(file: Path, **columns: Any) -> None:
    pq.write_table(pa.table(columns), file)


NPY = {
    "empty file": (lambda f: f.write_bytes(b""), "v.npy is not an .npy file, or is cut off"),
    "cut off": (lambda f: f.write_bytes(save(f, np.ones([9, 9])).read_bytes()[:-50]), "is not an .npy file, or is cut"),
    "no npy": (lambda f: f.write_bytes(b"hello" * 50), "v.npy is not an .npy file, or is cut off"),
    "objects": (lambda f: np.save(f, np.array([[{}]], object), allow_pickle=True), "is not an .npy file"),
    "no rows": (lambda f: save(f, np.ones([0, 4])), "does not hold a vector: its shape is [0, 4]"),
    "one axis": (
        lambda f: save(f, np.ones(4)),
        "a matrix [n, D] of floats or integers. Received: float64 of shape [4]",
    ),
    "text": (lambda f: save(f, np.array([["a"]])), "Received: <U1 of shape [1, 1]"),
    "complex": (lambda f: save(f, np.ones([2, 2], complex)), "Received: complex128"),
    "too wide": (lambda f: save(f, np.ones([1, 16385])), "vectors of 1 to 16,384 numbers. Received: 16,385"),
    "not there": (lambda f: None, "v.npy: No such file or directory"),
}
LISTS = [[1.0, 2.0], [3.0, 4.0]]
PARQUET = {
    "no parquet": (lambda f: f.write_bytes(b"hello"), "v.parquet: cannot be read:"),
    "ragged": (lambda f: parquet(f, ad=[1, 2], v=[[1.0, 2.0], [1.0]]), "'v', row 2: a vector of 1 numbers, where the"),
    "text": (lambda f: parquet(f, ad=[1, 2], v=[["a"], ["b"]]), "'v' holds list<element: string>, but a vector is"),
    "no lists": (lambda f: parquet(f, ad=[1, 2]), "v.parquet has 0 columns of lists; name one by --vector_column"),
    "two lists": (lambda f: parquet(f, ad=[1, 2], v=LISTS, w=LISTS), "has 2 columns of lists: v, w; name one by"),
    "two ids": (
        lambda f: parquet(f, ad=[1, 2], x=[1, 2], v=LISTS),
        "has 2 columns of ids: ad, x; name one by --id_col",
    ),
    "same id": (lambda f: parquet(f, ad=[7, 7], v=LISTS), "'ad': 1 ids occur more than once, 7 2 times."),
    "null id": (lambda f: parquet(f, ad=[7, None], v=LISTS), "'ad' has no id on 1 rows"),
    "real ids": (lambda f: parquet(f, ad=[7.5, 1.0], v=LISTS), "'ad' holds double, but ids are integers or text"),
    "no rows": (lambda f: parquet(f, ad=pa.array([], "int64"), v=pa.array([], pa.list_(pa.float32()))), "has no rows"),
    "all missing": (lambda f: parquet(f, ad=[1], v=pa.array([None], pa.list_(pa.float32()))), "no row holds a vector"),
}


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [("v.npy", *case) for case in NPY.values()] + [("v.parquet", *case) for case in PARQUET.values()],
    ids=[f"npy: {name}" for name in NPY] + [f"parquet: {name}" for name in PARQUET],
)
def test_bad_files_are_one_line(
    tmp_path: Path, name: str, make: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / name)
    code, out, err = ran(capsys, f"--input={tmp_path / name}", f"--output={tmp_path}/bits.parquet")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert [file.name for file in tmp_path.iterdir() if "bits" in file.name] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ids={d}/few.npy"], "few.npy holds 2 ids, but {d}/v.npy holds 4 vectors"),
        (["--ids={d}/twice.npy"], "twice.npy: 1 ids occur more than once, 3 2 times"),
        (["--ids={d}/real.npy"], "real.npy: ids are a vector [n] of integers or text. Received: float64"),
        (["--vector_column=v"], "--vector_column is for Parquet"),
        (["--column=item_id"], "--column=item_id is the name of the ids"),
        (["--like={d}/v.parquet", "--bits=8"], "so --bits, --seed and --center exclude it"),
        (["--like={d}/v.parquet"], "v.parquet: it was not written by this command"),
        (["--input={d}/huge.npy", "--center"], "--center: the vectors are too large to be added up"),
        (["--like={d}/old.parquet"], "was made of vectors of 3 numbers. Received: vectors of 4"),
        (["--input={d}/v.csv"], "v.csv: the name must end in .npy, .parquet or .pq"),
        (["--input={d}/v.parquet", "--id_column=item"], "--id_column=item: {d}/v.parquet has no such column. Did you"),
        (["--input={d}/v.parquet", "--vector_column=item_id", "--id_column=v"], "'v' holds list<element: double>"),
        (["--input={d}/v.parquet", "--ids=x.npy"], "--ids is for .npy"),
        (["--output={d}/old.parquet"], "old.parquet exists already: choose another name, or replace it by --over"),
    ],
)
def test_wrong_flags(tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "v.npy", np.eye(4))
    save(tmp_path / "few.npy", np.arange(2))
    save(tmp_path / "huge.npy", np.full([4, 2], 1e308))
    save(tmp_path / "twice.npy", np.array([1, 2, 3, 3]))
    save(tmp_path / "real.npy", np.array([1.0, 2, 3, 4]))
    parquet(tmp_path / "v.parquet", item_id=[1, 2], v=LISTS)
    save(tmp_path / "three.npy", np.eye(3))
    assert ran(capsys, f"--input={tmp_path}/three.npy", f"--output={tmp_path}/old.parquet")[0] == 0
    given = [f"--input={tmp_path}/v.npy", f"--output={tmp_path}/bits.parquet"]
    code, out, err = ran(capsys, *given, *(word.format(d=tmp_path) for word in arguments))
    assert code in (1, 2)
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message.format(d=tmp_path) in err
