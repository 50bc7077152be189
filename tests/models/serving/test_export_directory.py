"""What an export leaves on disk: files, versions, warm-up, weights; and nothing where it fails."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fullrank import models
from fullrank.data import (
    Schema,
    read_schema,
)
from fullrank.models.serving import Exported, export_model, next_version
from fullrank.models.serving import check as check_module
from fullrank.models.serving import export as export_module
from fullrank.models.serving.check import ExportMismatchError
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.models.serving.signatures import SIGNATURES
from fullrank.models.serving.warmup import read_warmup


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def exported(model: models.Ranker, schema: Schema, output: Path) -> Exported:
    return export_model(model, output=output, rows=drawn_rows(schema, number=40))


def test_the_export_holds_what_tensorflow_serving_looks_for(exported: Exported, output: Path, schema: Schema) -> None:
    assert exported.path == output / "1"
    assert [path.name for path in output.iterdir()] == ["1"]
    files = {str(path.relative_to(exported.path)) for path in exported.path.rglob("*") if path.is_file()}
    assert {
        "saved_model.pb",
        "assets/schema.json",
        "assets/packed_inputs.json",
        "assets.extra/tf_serving_warmup_requests",
    } <= files
    assert read_schema(exported.path / "assets" / "schema.json") == schema


def test_the_saved_model_holds_the_weights_and_nothing_else(exported: Exported, model: models.Ranker) -> None:
    stored = tf.train.list_variables(str(exported.path / "variables" / "variables"))
    sizes = sum(int(np.prod(shape)) for name, shape in stored if name.startswith("resources/"))
    assert sizes == sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert not [name for name, _ in stored if "optimizer" in name or "metric" in name]


def test_tables_are_fused_into_one_variable_a_set(exported: Exported, model: models.Ranker) -> None:
    rows = sum(table.rows for table in model.trunk.encoder.plan.tables)
    shapes = [shape for _, shape in tf.train.list_variables(str(exported.path / "variables" / "variables"))]
    assert shapes.count([rows, 4]) == 2


def test_warmup_asks_every_signature_for_each_size(exported: Exported) -> None:
    requests = list(read_warmup(exported.path))
    assert [name for name, _ in requests] == [*SIGNATURES, "serving_request"] * 3
    lengths = [{len(value) for value in inputs.values()} for _, inputs in requests]
    assert lengths == [{1}, {1}, {1}, {1}, {100}, {100}, {100}, {1, 100}, {500}, {500}, {500}, {1, 500}]
    assert requests[0][1]["user_id"].dtype == np.int64
    assert {name: set(inputs) for name, inputs in requests[1:3]} == {
        "serving_packed": {"int64", "float32", "bytes"},
        "serving_examples": {"examples"},
    }


def test_replay_is_reported(exported: Exported) -> None:
    assert [(r.signature, r.rows) for r in exported.replayed] == [
        (name, rows) for rows in (1, 100, 500) for name in (*SIGNATURES, "serving_request")
    ]
    assert all(0 < replayed.seconds < 60 for replayed in exported.replayed)
    assert all(replayed.difference <= 1e-5 for replayed in exported.replayed)


def test_an_existing_version_is_refused_and_leftovers_of_killed_exports_go(
    exported: Exported, model: models.Ranker, output: Path
) -> None:
    leftover = output / "1.writing-0123456789abcdef"
    leftover.mkdir()
    with pytest.raises(
        ValueError, match=r"1 exists already: choose another version, or leave it out for the next one\."
    ):
        export_model(model, output=output, rows={}, version=1)
    assert exported.path.is_dir()
    assert not leftover.exists()


@pytest.mark.parametrize(("names", "version"), [([], 1), (["1", "3"], 4), (["2", "x", "9.writing-1", "0007"], 8)])
def test_the_next_version_is_one_more_than_the_largest(tmp_path: Path, names: list[str], version: int) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == version
    assert next_version(tmp_path / "none") == 1


def test_a_version_is_positive(model: models.Ranker, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"A version is a positive number\. Received: 0"):
        export_model(model, output=tmp_path, rows={}, version=0)


def test_what_does_not_load_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(
        ExportMismatchError, match=r"does not load and score in a process without fullrank: .*saved_model"
    ):
        check_module.check_export(tmp_path, expected=[], tolerance=0.0)


@pytest.fixture
def file_limit() -> Iterator[int]:
    """Files of this process cannot grow beyond this many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = 2000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("file_limit")
def test_a_full_disk_leaves_no_version(
    model: models.Ranker, schema: Schema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "check_export", lambda *_, **__: pytest.fail("it was written"))
    with pytest.raises((tf.errors.OpError, OSError)):
        export_model(model, output=tmp_path, rows=drawn_rows(schema, number=3))
    assert list(tmp_path.iterdir()) == []


def test_an_export_leaves_auxiliary_tasks_out(schema: Schema, tmp_path: Path) -> None:
    wiring = models.stem_al(main="click", auxiliary=("like",), widths=(4, 3), expert_width=8)
    model = models.Ranker(schema, wiring, models.RankerOptions(tower=(8,), table_variables=None))
    rows = drawn_rows(schema, number=500)
    exported = export_model(model, output=tmp_path / "served", rows=rows)
    loaded = tf.saved_model.load(str(exported.path))
    assert set(loaded.signatures["serving_default"].structured_outputs) == {"click"}
