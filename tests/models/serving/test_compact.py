"""Exports with weights in fewer bytes: every wiring, what is stored, and what is read at each call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_sides import SCHEMA, SIZES, TASKS, with_random_weights
from one_user_requests import check_requests

from fullrank import models
from fullrank.data import Schema
from fullrank.layers.legacy_keras import keras
from fullrank.models.serving import export_model, serving_signatures
from fullrank.models.serving.compact import for_serving, table_size
from fullrank.models.serving.sample_rows import drawn_rows

GROUPS = models.GroupOptions(places=("user", "representation"), levels=2, codes=4, width=4, hidden=(4,))
ROWS: list[tuple[str, models.Wiring, dict[str, Any]]] = [
    ("single", models.single(width=4, tasks=TASKS, expert_width=8), {}),
    ("me", models.multi_embedding(tasks=TASKS, **SIZES), {"sequence": "din", "numeric": "mns"}),
    (
        "ame",
        models.ame(tasks=TASKS, widths=(4, 6, 8), expert_width=8),
        {"sequence": "mean", "numeric": "autodis", "vectors": "raw"},
    ),
    ("stem_al", models.stem_al(main="click", auxiliary=("like",), **SIZES), {"head": "gp", "inducing_points": 4}),
    ("mmoe", models.mmoe(tasks=TASKS, width=4, experts=("flat",), expert_width=8), {"numeric": "periodic"}),
    ("stem", models.stem(tasks=TASKS, widths=(4,), expert_width=8), {"numeric": "scaled"}),
    ("ple", models.ple(tasks=TASKS, width=4, expert_width=8), {"head": "laplace"}),
    (
        "fwfm",
        models.single(width=4, tasks=TASKS, expert_width=8, experts=("fwfm", "finalmlp")),
        {"sequence": "self_attention", "numeric": "piecewise", "vectors": "projection"},
    ),
    ("groups", models.multi_embedding(tasks=TASKS, **SIZES), {"group_structure": GROUPS}),
]


def casts_of_weights(signature: Any) -> Iterator[str]:
    """Operations of a graph that round a variable that was just read to bfloat16."""
    graph = signature.get_concrete_function().graph.as_graph_def()
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        read = {node.name for node in nodes if node.op == "ReadVariableOp"}
        for node in nodes:
            if node.op in ("Identity", "Cast") and any(name.split(":")[0] in read for name in node.input):
                if node.op == "Cast" and node.attr["DstT"].type == tf.bfloat16.as_datatype_enum:
                    yield node.name
                read.add(node.name)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
@pytest.mark.parametrize(("wiring", "options"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_wiring_answers_nearly_alike(wiring: models.Wiring, options: dict[str, Any], weights: Any) -> None:
    model = with_random_weights(SCHEMA, wiring, **options)
    if weights == "bfloat16" and model.learns_groups:
        with pytest.raises(ValueError, match="--weights=bfloat16: the model learns groups"):
            for_serving(model, weights=weights)
        return
    rows = drawn_rows(SCHEMA, number=33, seed=4)
    batch = {name: tf.constant(value) for name, value in rows.items()}
    before = {variable.ref(): variable.numpy().copy() for variable in model.variables}
    compact = for_serving(model, weights=weights)
    exact, close = model(batch, training=False), compact(batch, training=False)
    for task in exact:
        assert close[task].dtype == tf.float32
        np.testing.assert_allclose(close[task], exact[task], atol=0.02 if weights == "int8" else 0.05)
    assert any(np.any(close[task] != exact[task]) for task in exact)
    check_requests(compact, rows, tolerance=1e-6 if weights == "int8" else 0.05)
    # The model itself is as it was.
    assert all(np.array_equal(variable.numpy(), before[variable.ref()]) for variable in model.variables)
    assert table_size(compact) < table_size(model)


@pytest.mark.slow
@pytest.mark.parametrize(("wiring", "options"), [row[1:] for row in ROWS[:-1]], ids=[row[0] for row in ROWS[:-1]])
def test_no_signature_rounds_a_bfloat16_weight(wiring: models.Wiring, options: dict[str, Any]) -> None:
    compact = for_serving(with_random_weights(SCHEMA, wiring, **options), weights="bfloat16")
    for name, signature in serving_signatures(compact, SCHEMA).items():
        assert not list(casts_of_weights(signature)), name


def test_bfloat16_is_the_model_under_mixed_bfloat16(model: models.Ranker, schema: Schema) -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = model.merged(table_variables=1)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert len(list(casts_of_weights(serving_signatures(mixed, schema)["serving_default"]))) > 5
    batch = {name: tf.constant(value) for name, value in drawn_rows(schema, number=50).items()}
    expected, found = mixed(batch, training=False), for_serving(model, weights="bfloat16")(batch, training=False)
    for task in expected:
        np.testing.assert_array_equal(found[task], expected[task])


def test_float32_is_what_it_was(model: models.Ranker, schema: Schema) -> None:
    batch = {name: tf.constant(value) for name, value in drawn_rows(schema, number=50).items()}
    expected, found = model(batch, training=False), for_serving(model, weights="float32")(batch, training=False)
    for task in expected:
        np.testing.assert_allclose(found[task], expected[task], atol=1e-6)


@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
def test_an_export_holds_compact_tables_alone(
    model: models.Ranker, schema: Schema, tmp_path: Path, weights: Any
) -> None:
    exported = export_model(
        model,
        output=tmp_path,
        rows=drawn_rows(schema, number=40),
        weights=weights,
        judge=lambda before, after: {"bytes": [table_size(before), table_size(after)]},
    )
    held = tf.train.load_checkpoint(str(exported.path / "variables" / "variables"))
    dtypes, rows = held.get_variable_to_dtype_map(), sum(table.rows for table in model.trunk.encoder.plan.tables)
    shapes = {key: tuple(shape) for key, shape in held.get_variable_to_shape_map().items()}
    tables = {key: dtypes[key] for key, shape in shapes.items() if shape == (rows, 4)}
    assert set(tables.values()) == {tf.as_dtype(weights)}
    assert len(tables) == 2
    written = json.loads((exported.path / "assets" / "weights.json").read_text())
    each = 4 + 4 if weights == "int8" else 2 * 4
    assert written == {"weights": weights, "bytes": [2 * rows * 16, 2 * rows * each]}
    names = {"serving_default", "serving_packed", "serving_examples", "serving_request"}
    assert {replayed.signature for replayed in exported.replayed} == names
    largest = max(replayed.difference for replayed in exported.replayed)
    assert largest <= (1e-5 if weights == "int8" else 0.02)


def test_a_table_that_is_not_finite_is_not_exported(schema: Schema, tmp_path: Path) -> None:
    model = models.Ranker(schema, models.single(width=4, expert_width=8), models.RankerOptions(tower=(8,)))
    (first, *_) = model.table_variables.values()
    first.assign(np.full(first.shape, np.nan))
    with pytest.raises(ValueError, match=r"Row 0 of .* holds nan"):
        export_model(model, output=tmp_path, rows=drawn_rows(schema, number=5), weights="int8")
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_is_not_finite_in_bfloat16_is_not_exported(schema: Schema) -> None:
    model = models.Ranker(schema, models.single(width=4, expert_width=8), models.RankerOptions(tower=(8,)))
    kernel = model.tower.weights[0]
    kernel.assign(np.full(kernel.shape, np.inf))
    with pytest.raises(ValueError, match="not finite in bfloat16"):
        for_serving(model, weights="bfloat16")


def test_other_models_and_onnx_are_refused(schema: Schema, model: models.Ranker, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="for the SavedModel of a Ranker"):
        export_model(model, output=tmp_path, rows=drawn_rows(schema, number=5), weights="int8", onnx=True)
