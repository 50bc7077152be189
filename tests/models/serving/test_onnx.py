"""The ONNX graph of a model scores as the model does."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tensorflow as tf
from both_sides import FEATURES, SCHEMA, SIZES, TASKS, with_random_weights

from fullrank import models
from fullrank.data import (
    BehaviourColumn,
    IdMap,
    Label,
    Schema,
    Sequence,
    Sparse,
    read_schema,
    write_schema,
    write_vocabulary,
)
from fullrank.models.serving import export_model
from fullrank.models.serving.check import ExportMismatchError
from fullrank.models.serving.onnx_graph import ONNX_FILE, check_convertible, check_onnx, write_onnx
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.trainers import export as export_command

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "tf2onnx")),
    reason="pip install 'fullrank[onnx]'",
)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """Every kind of feature, with vocabularies of numbers and of texts."""
    directory = tmp_path_factory.mktemp("records")
    known = {"user": IdMap(size=40), "item": IdMap(size=8)}
    features = tuple(
        dataclasses.replace(f, ids=known[f.name], dtype="bytes" if f.name == "item" else "int64")
        if isinstance(f, Sparse) and f.name in known
        else f
        for f in FEATURES
    )
    write_schema(dataclasses.replace(SCHEMA, features=features), directory)
    write_vocabulary([7 * k for k in range(40)], directory=directory, feature="user")
    write_vocabulary(["größe %d".encode() % k for k in range(8)], directory=directory, feature="item")
    return read_schema(directory)


def rows_of(schema: Schema) -> dict[str, np.ndarray[Any, Any]]:
    """1,000 rows, with unknown and missing ids, missing numbers and short histories among them."""
    rows = drawn_rows(schema, number=1000, seed=4)
    rows["user"][:3], rows["item"][:3] = (-1, 99, 7), (b"", b"unknown", "größe 1".encode())
    rows["price"][5], rows["taste"][6] = np.nan, np.nan
    for column, missing in (("seen", b""), ("seen_hour", -1), ("seen_at", -1)):
        rows[column][10:20, 3:], rows[column][20:30] = missing, missing
    return rows


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize(
    ("wiring", "options"),
    [
        (models.single(width=4, tasks=TASKS, expert_width=8), {}),
        (models.multi_embedding(tasks=TASKS, **SIZES), {"sequence": "din", "numeric": "mns"}),
        (models.ame(tasks=TASKS, widths=(4, 6, 8), expert_width=8), {"sequence": "mean", "numeric": "autodis"}),
        (models.ame(tasks=TASKS, widths=(4, 6, 8), expert_width=8), {"table_widths": (("item", 2), ("user", 5))}),
        (models.stem_al(main="click", auxiliary=("like",), **SIZES), {"head": "gp", "inducing_points": 4}),
    ],
    ids=["single", "me", "ame", "ame with narrow tables", "stem_al with a process"],
)
def test_a_graph_scores_as_the_model(
    schema: Schema, tmp_path: Path, wiring: models.Wiring, options: dict[str, Any]
) -> None:
    rows = rows_of(schema)
    model = with_random_weights(schema, wiring, **options)
    expected = {t: v.numpy() for t, v in model({n: tf.constant(v) for n, v in rows.items()}, training=False).items()}
    fused = model.merged(table_variables=1)
    fused.precompute()
    write_onnx(tmp_path, model=fused, schema=schema)
    found = check_onnx(tmp_path, schema=schema, rows=rows, expected=expected, tolerance=1e-5)
    assert (found.signature, found.rows) == (ONNX_FILE, 1000)
    assert 0 < found.seconds < 60
    with pytest.raises(ExportMismatchError, match=r"'model.onnx' of the exported model differs .* in task 'click'"):
        check_onnx(
            tmp_path, schema=schema, rows=rows, expected=expected | {"click": 1 - expected["click"]}, tolerance=1e-5
        )


@needs_onnx
@pytest.mark.parametrize("kind", ["vocabulary", "identity"])
def test_a_history_of_several_columns(tmp_path: Path, kind: Literal["vocabulary", "identity"]) -> None:
    behaviour = tuple(BehaviourColumn(name=f"past_{name}", table=name, target=name) for name in ("item", "shop"))
    ids = tuple(Sparse(name=name, ids=IdMap(kind=kind, size=20)) for name in ("item", "shop"))
    history = Sequence(name="history", behaviour=behaviour, times="past_time", max_length=5)
    write_schema(Schema(name="log", features=(*ids, history), labels=(Label(name="click"),), time="time"), tmp_path)
    if kind == "vocabulary":
        for name in ("item", "shop"):
            write_vocabulary([7 * k for k in range(20)], directory=tmp_path, feature=name)
    read = read_schema(tmp_path)
    model = with_random_weights(read, models.single(width=4, tasks=("click",), expert_width=8))
    rows = drawn_rows(read, number=50, seed=4)
    expected = {t: v.numpy() for t, v in model({n: tf.constant(v) for n, v in rows.items()}, training=False).items()}
    write_onnx(tmp_path, model=model, schema=read)
    assert check_onnx(tmp_path, schema=read, rows=rows, expected=expected, tolerance=1e-5).rows == 50


@needs_onnx
@pytest.mark.slow
def test_the_command_writes_the_graph_next_to_the_saved_model(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_command.run(["export", f"--run={toy_run}", f"--output={tmp_path / 'served'}", "--format=onnx"])
    assert {"model.onnx", "saved_model.pb"} <= {path.name for path in (tmp_path / "served" / "1").iterdir()}
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("model.onnx"))
    assert line.split()[1] == "500"


def test_hashed_texts_are_refused_with_what_to_do() -> None:
    brand = Sparse(name="brand", dtype="bytes", ids=IdMap(kind="hash", size=9))
    schema = dataclasses.replace(SCHEMA, features=(brand,), time=None)
    model = models.Ranker(schema, models.single(width=4, tasks=TASKS, expert_width=8), models.RankerOptions())
    with pytest.raises(ValueError, match=r"brand are texts that are hashed, .* take --format=saved_model"):
        check_convertible(model)


def test_what_is_not_installed_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SystemExit):
        export_command.run(["export", "--run=none", f"--output={tmp_path / 'served'}", "--format=onnx"])
    assert "--format=onnx needs onnx: pip install 'fullrank[onnx]'" in capsys.readouterr().err
    assert not (tmp_path / "served").exists()


def test_only_rankers_are_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullrank.models.serving.export.require_onnx", lambda: None)
    with pytest.raises(ValueError, match=r"Only a Ranker is exported as ONNX. Received: object\."):
        export_model(object(), output=tmp_path, rows={}, onnx=True)  # type: ignore[arg-type]
