"""Every benchmark runs: small, in a process of its own, with the table and the JSON that it promises."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import sources

# What compares with another library needs an environment in which that is installed.
WITH_PEERS = {"peers.py", "peers_als.py", "peers_fuxictr.py"}
BENCHMARKS = sorted(
    path.name
    for path in (sources.ROOT / "benchmarks").glob("*.py")
    if sources.has_main_block(path) and path.name not in WITH_PEERS
)


@pytest.fixture
def benchmarks(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, whose files can be imported as the benchmarks themselves import each other."""
    for name in [name for name in sys.modules if (repository / "benchmarks" / f"{name}.py").exists()]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return repository / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_runs_small(repository: Path, tmp_path: Path, name: str) -> None:
    command = [sys.executable, str(repository / "benchmarks" / name), "--quick", f"--json={tmp_path / 'rows.json'}"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert rows
    assert all(np.isfinite(row["ours"]) and row["name"] in run.stdout for row in rows)
    if name == "serving.py":
        installed = all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime"))
        # Either it is measured, or the report says why it is not.
        assert ("graph: fused / ONNX Runtime" in run.stdout) == installed
        assert ("ONNX Runtime was left out" in run.stdout) != installed
    if name in ("compact.py", "packed_weights.py"):
        names = [row["name"] for row in rows]
        assert any("bfloat16" in row for row in names)
        assert any("int8" in row for row in names)
        installed = all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime"))
        assert any("onnx" in row.lower() for row in names) == installed


def _requests(model: Any, rows: int) -> tuple[dict[str, tf.Tensor], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    draw = np.random.default_rng(1)
    ids = draw.integers(-1, 40, (rows, 26))
    numbers = np.where(draw.random((rows, 13)) < 0.1, np.nan, draw.uniform(-1, 11, (rows, 13))).astype(np.float32)
    batch = {f"C{k}": tf.constant(ids[:, k]) for k in range(26)} | {
        f"I{k}": tf.constant(numbers[:, k]) for k in range(13)
    }
    return batch, ids, numbers


def test_weights_of_the_dcn_are_those_of_the_model(benchmarks: Path) -> None:
    """A perceptron beside crosses in NumPy, of the arrays that the ONNX graph is made of; onnx is not needed for it."""
    dcn_weights, serving = (importlib.import_module(name) for name in ("dcn_weights", "serving"))
    model = serving.dcn_v2(table_rows=26 * 30)
    batch, ids, numbers = _requests(model, 20)
    weights = dcn_weights.dcn_weights(model)
    id_rows = np.where(ids == -1, 0, np.where(ids < 30, ids + 2, 1))
    # Quantiles 0..10 in 32 buckets: inner boundaries every 10 / 32.
    edges = np.linspace(0, 10, 33)[1:-1].astype(np.float32)
    number_rows = np.where(np.isnan(numbers), 0, 1 + np.searchsorted(edges, np.nan_to_num(numbers), side="right"))
    fields = weights.table[np.concatenate([id_rows, number_rows], axis=1) + weights.starts].reshape(20, -1)
    crossed, hidden = fields, fields
    for kernel, bias in weights.crosses:
        crossed = fields * (crossed @ kernel + bias) + crossed
    for kernel, bias in weights.hidden:
        hidden = np.maximum(hidden @ kernel + bias, 0)
    mixed = sum(np.maximum(x @ w + b, 0) / 2 for x, (w, b) in zip((crossed, hidden), weights.projections, strict=True))
    logits = mixed @ weights.head[0] + weights.head[1]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 0])), model(batch)["click"].numpy(), atol=1e-4)


def test_onnx_graph_of_the_dcn_equals_the_model(benchmarks: Path) -> None:
    pytest.importorskip("onnx", reason="pip install onnx onnxruntime")
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnx onnxruntime")
    dcn_onnx, serving = (importlib.import_module(name) for name in ("dcn_onnx", "serving"))
    model = serving.dcn_v2(table_rows=26 * 30)
    batch, ids, numbers = _requests(model, 20)
    session = onnxruntime.InferenceSession(dcn_onnx.onnx_model(model).SerializeToString())
    (found,) = session.run(None, {"int64": ids, "float32": numbers})
    np.testing.assert_allclose(found, model(batch)["click"].numpy(), atol=1e-4)
