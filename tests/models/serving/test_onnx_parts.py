"""The parts of the export to ONNX that do not need its packages: replaced operations, constants, texts and answers.

Small stand-ins take the place of tf2onnx's graph and of ONNX Runtime; `test_onnx.py` runs the packages themselves.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_sides import with_random_weights

from fullrank import models
from fullrank.data import IdMap, Label, Numeric, NumericStatistics, Schema, Sparse, read_schema, write_schema
from fullrank.data.schema.vocabulary import write_vocabulary
from fullrank.models.encoding.id_rows import UNKNOWN_ROW, text_codes
from fullrank.models.serving import onnx_graph
from fullrank.models.serving.check import ExportMismatchError
from fullrank.models.serving.onnx_graph import ONNX_FILE, check_convertible, check_onnx, write_onnx
from fullrank.models.serving.onnx_operations import handlers
from fullrank.models.serving.sample_rows import drawn_rows

INT64, STRING, BOOL = 7, 8, 9
ONNX = types.SimpleNamespace(
    TensorProto=types.SimpleNamespace(INT64=INT64, STRING=STRING, BOOL=BOOL),
    numpy_helper=types.SimpleNamespace(from_array=lambda values, name: types.SimpleNamespace(name=name, values=values)),
)
SHOPS = [b"north", "süd".encode(), b"west"]


def made_schema(directory: Path, *, shops: list[bytes] = SHOPS) -> Schema:
    number = NumericStatistics(mean=0.0, std=1.0, minimum=-1.0, maximum=1.0, missing=0.0, quantiles=(-1.0, 0.0, 1.0))
    features = (
        Sparse(name="user", ids=IdMap(size=4)),
        Sparse(name="shop", dtype="bytes", ids=IdMap(size=len(shops))),
        Sparse(name="tags", ids=IdMap(kind="hash", size=5), max_values=2),
        Numeric(name="größe", statistics=number),
    )
    write_schema(Schema(name="shops", features=features, labels=(Label(name="click", mean=0.2),)), directory)
    write_vocabulary([3, 5, 7, 11], directory=directory, feature="user")
    write_vocabulary(shops, directory=directory, feature="shop")
    return read_schema(directory)


def ranker(schema: Schema) -> models.Ranker:
    return with_random_weights(schema, models.single(width=4, tasks=("click",), expert_width=8))


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """Ids of numbers and of texts, of which one is not ASCII."""
    return made_schema(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def model(schema: Schema) -> models.Ranker:
    """A ranker whose inputs all count."""
    return ranker(schema)


class Node:
    """A node of tf2onnx's graph."""

    def __init__(self, kind: str, inputs: list[str], outputs: list[str], attributes: dict[str, Any]) -> None:
        self.type, self.input, self.output, self.attr = kind, inputs, outputs, attributes
        self.inputs: list[Any] = []

    def set_attr(self, name: str, value: Any) -> None:
        self.attr[name] = value


class Graph:
    """A graph as handlers see it: nodes by name, dtypes and shapes by output."""

    def __init__(self, dtypes: dict[str, int]) -> None:
        self.nodes: dict[str, Node] = {}
        self.dtypes = dtypes

    def get_dtype(self, output: str) -> int:
        return self.dtypes[output]

    def get_shape(self, output: str) -> list[int]:
        return [-1, len(output)]

    def remove_node(self, name: str) -> None:
        del self.nodes[name]

    def make_node(
        self,
        kind: str,
        inputs: list[str],
        *,
        attr: dict[str, Any],
        shapes: list[Any],
        dtypes: list[int],
        domain: str = "",
        name: str | None = None,
        outputs: list[str] | None = None,
    ) -> Node:
        name = name or f"new_{len(self.nodes)}"
        node = Node(f"{domain}:{kind}" if domain else kind, list(inputs), outputs or [f"{name}:0"], attr)
        self.nodes[name] = node
        self.dtypes[node.output[0]] = dtypes[0]
        assert shapes == [[-1, len("out:0")]]
        return node


def converted(found: dict[str, Any], operation: str, inputs: list[str], dtypes: dict[str, int]) -> Graph:
    """The graph of one node `out` after its handler."""
    handler, (kind,) = found[operation]
    graph = Graph({"out:0": INT64, **dtypes})
    graph.nodes["out"] = node = Node(kind, inputs, ["out:0"], {"Tin": "old", "T": "old"})
    node.inputs = [
        constant(b"") if name == "text" else types.SimpleNamespace(is_const=lambda: False) for name in inputs
    ]
    handler(graph, node, "out", None)
    return graph


def constant(text: bytes) -> Any:
    return types.SimpleNamespace(is_const=lambda: True, get_tensor_value=lambda: text)


def encoder(node: Node, keys: str) -> Callable[[Any], int]:
    """What a `LabelEncoder` makes of a value."""
    assert node.type == "ai.onnx.ml:LabelEncoder"
    pairs = dict(zip(node.attr[keys], node.attr["values_int64s"], strict=True))
    return lambda value: pairs.get(value, node.attr["default_int64"])


def test_look_ups_of_known_ids_become_label_encoders(model: models.Ranker) -> None:
    found = handlers(model, ONNX)
    graph = converted(found, "LookupTableFindV2", ["table", "keys", "default"], {})
    (node,) = graph.nodes.values()
    assert (node.input, node.output, graph.dtypes["out:0"]) == (["keys"], ["out:0"], INT64)
    row = encoder(node, "keys_int64s")
    known = model.trunk.encoder.known_ids
    assert known is not None
    keys = known.export()[0].numpy()
    assert len(keys) == 7
    np.testing.assert_array_equal([row(key) for key in keys.tolist()], known.lookup(tf.constant(keys)).numpy())
    assert row(12345) == UNKNOWN_ROW


def test_texts_become_their_codes_and_others_the_code_of_none(model: models.Ranker) -> None:
    graph = converted(handlers(model, ONNX), "StringToHashBucketFast", ["texts"], {})
    (node,) = graph.nodes.values()
    code = encoder(node, "keys_strings")
    assert [code(shop) for shop in SHOPS] == text_codes(tf.constant(SHOPS)).numpy().tolist()
    assert code(b"south") == -1


def test_a_comparison_of_texts_becomes_an_encoder_and_a_cast(model: models.Ranker) -> None:
    for inputs in (["texts", "text"], ["text", "texts"]):
        graph = converted(handlers(model, ONNX), "Equal", inputs, {"texts": STRING, "text": STRING})
        first, cast = graph.nodes.values()
        assert first.input == ["texts"]
        is_empty = encoder(first, "keys_strings")
        assert (is_empty(b""), is_empty(b"north")) == (1, 0)
        assert (cast.type, cast.input, cast.output, cast.attr) == ("Cast", first.output, ["out:0"], {"to": BOOL})
    numbers = converted(handlers(model, ONNX), "Equal", ["a", "b"], {"a": INT64, "b": INT64})
    assert numbers.nodes["out"].type == "Equal"


def test_bit_casts_and_remainders_take_the_attributes_of_onnx(model: models.Ranker) -> None:
    cast = converted(handlers(model, ONNX), "Bitcast", ["a"], {}).nodes["out"]
    assert (cast.type, cast.attr) == ("Cast", {"to": INT64})
    remainder = converted(handlers(model, ONNX), "FloorMod", ["a", "b"], {}).nodes["out"]
    # Without `fmod`, whose remainder would have the sign of the dividend.
    assert (remainder.type, remainder.attr) == ("Mod", {})


def test_a_model_without_vocabularies_has_no_look_ups() -> None:
    ids = Sparse(name="user", ids=IdMap(kind="identity", size=4))
    schema = Schema(name="plain", features=(ids,), labels=(Label(name="click", mean=0.2),))
    assert set(handlers(ranker(schema), ONNX)) == {"Bitcast", "FloorMod", "Equal"}


def test_a_text_that_onnx_cannot_hold_is_named(tmp_path: Path) -> None:
    model = ranker(made_schema(tmp_path, shops=[b"north", b"\xff\xfe"]))
    with pytest.raises(ValueError, match=r"feature 'shop' has the id b'\\xff\\xfe', which is not UTF-8"):
        handlers(model, ONNX)


def test_weights_beyond_the_size_of_a_file_are_refused(model: models.Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    check_convertible(model)
    monkeypatch.setattr(onnx_graph, "_LARGEST", 100)
    with pytest.raises(ValueError, match=r"the weights have 0\.0 GB, and an ONNX file holds at most 2 GB"):
        check_convertible(model)


def with_packages(monkeypatch: pytest.MonkeyPatch, *, convert: Any = None, runtime: Any = None) -> None:
    monkeypatch.setattr(onnx_graph, "require_onnx", lambda: (ONNX, runtime, convert))


def test_captured_constants_are_written_and_inputs_are_those_of_a_request(
    schema: Schema, model: models.Ranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured: dict[str, Any] = {}
    graph = types.SimpleNamespace(input=[], initializer=[])

    def from_function(function: Any, *, input_signature: Any, opset: int, custom_op_handlers: Any) -> Any:
        """Leaves all that the function captured among the inputs, as tf2onnx does."""
        concrete = function.get_concrete_function()
        assert set(concrete.structured_outputs) == {"click"}
        assert concrete.structured_outputs["click"].dtype == tf.float32
        assert (opset, "LookupTableFindV2" in custom_op_handlers) == (18, True)
        inner = concrete.inputs[-len(concrete.captured_inputs) :]
        captured.update({p.name: value for p, value in zip(inner, concrete.captured_inputs, strict=True)})
        graph.input += [types.SimpleNamespace(name=name) for name in (*input_signature[0], *captured)]
        return types.SimpleNamespace(graph=graph, SerializeToString=lambda: b"a graph"), None

    with_packages(monkeypatch, convert=types.SimpleNamespace(from_function=from_function))
    write_onnx(tmp_path, model=model, schema=schema)
    assert (tmp_path / ONNX_FILE).read_bytes() == b"a graph"
    assert {given.name for given in graph.input} == {"user", "shop", "tags", "gru00f6u00dfe"}
    constants = {name: value.numpy() for name, value in captured.items() if value.dtype != tf.resource}
    assert len(captured) > len(constants) > 0
    assert {entry.name for entry in graph.initializer} == constants.keys()
    for entry in graph.initializer:
        np.testing.assert_array_equal(entry.values, constants[entry.name])


def scoring(model: models.Ranker, seen: dict[str, Any], *, broken: str = "") -> Any:
    """A stand-in for ONNX Runtime whose session scores by the model, and takes texts as it does."""

    class Session:
        def __init__(self, path: str, options: Any, *, providers: list[str]) -> None:
            seen.update(path=path, providers=providers, severity=options.log_severity_level)

        def get_inputs(self) -> list[Any]:
            return [types.SimpleNamespace(name=name) for name in ("user", "shop", "tags", "gru00f6u00dfe")]

        def get_outputs(self) -> list[Any]:
            return [types.SimpleNamespace(name="click")]

        def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
            if broken:
                raise RuntimeError(broken)
            seen["shop"] = inputs["shop"].tolist()
            batch = dict(inputs)
            batch["größe"] = batch.pop("gru00f6u00dfe")
            return [model({name: tf.constant(value) for name, value in batch.items()})["click"].numpy()]

    return types.SimpleNamespace(SessionOptions=types.SimpleNamespace, InferenceSession=Session)


def test_answers_of_the_graph_are_compared_with_the_model(
    schema: Schema, model: models.Ranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = drawn_rows(schema, number=6, seed=4)
    rows["shop"][:3] = "süd".encode(), b"", b"broken \xff"
    expected = {"click": model({n: tf.constant(v) for n, v in rows.items()}, training=False)["click"].numpy()}
    seen: dict[str, Any] = {}
    with_packages(monkeypatch, runtime=scoring(model, seen))
    found = check_onnx(tmp_path, schema=schema, rows=rows, expected=expected, tolerance=1e-6)
    assert (found.signature, found.rows, found.seconds > 0) == (ONNX_FILE, 6, True)
    assert found.difference <= 1e-6
    assert seen["shop"][:3] == ["süd", "", "broken \N{REPLACEMENT CHARACTER}"]
    assert (seen["path"], seen["providers"]) == (str(tmp_path / "model.onnx"), ["CPUExecutionProvider"])
    with pytest.raises(ExportMismatchError, match=r"'model\.onnx' of the exported model differs .* in task 'click'"):
        check_onnx(tmp_path, schema=schema, rows=rows, expected={"click": 1 - expected["click"]}, tolerance=1e-6)
    with_packages(monkeypatch, runtime=scoring(model, seen, broken="no such\n  operation"))
    with pytest.raises(ExportMismatchError, match=r"does not score model\.onnx: no such operation\. Nothing was exp"):
        check_onnx(tmp_path, schema=schema, rows=rows, expected=expected, tolerance=1e-6)
