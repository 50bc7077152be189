"""A Ranker that is a DCN V2, as an ONNX graph with the same weights, inputs and outputs.

Written operation by operation, so that it holds only those that the network needs: rows by comparison, one gather from
one table, three crosses parallel to a perceptron, two projections, their mean, one output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from dcn_weights import dcn_weights
from onnx import TensorProto, helper, numpy_helper

from fullrank.data.schema.features import Numeric, Sparse
from fullrank.models import Ranker
from fullrank.models.encoding import numbers


def onnx_model(model: Ranker) -> onnx.ModelProto:
    """Builds the graph. Its inputs are those of the signature `serving_packed`: `int64` and `float32`.

    Args:
      model: With identity id maps, numbers in buckets, one set, the experts `crossnet` and `flat`, a mean gate, no
        tower, and the task `click`.
    """
    weights, graph = dcn_weights(model), _Graph()
    rows = graph.add("Concat", [_id_rows(graph, model), _number_rows(graph, model)], axis=1)
    places = graph.add("Add", [rows, graph.constant(weights.starts)])
    gathered = graph.add("Gather", [graph.constant(weights.table), places], axis=0)
    width = len(weights.starts) * weights.table.shape[1]
    fields = graph.add("Reshape", [gathered, graph.constant(np.array([-1, width]))])
    crossed, hidden = fields, fields
    for kernel, bias in weights.crosses:
        product = graph.add("Gemm", [crossed, kernel, bias])
        crossed = graph.add("Add", [crossed, graph.add("Mul", [fields, product])])
    for kernel, bias in weights.hidden:
        hidden = graph.add("Relu", [graph.add("Gemm", [hidden, kernel, bias])])
    experts = [
        graph.add("Relu", [graph.add("Gemm", [output, kernel, bias])])
        for output, (kernel, bias) in zip((crossed, hidden), weights.projections, strict=True)
    ]
    mixed = graph.add("Mul", [graph.add("Add", experts), graph.constant(np.array(0.5, np.float32))])
    logits = graph.add("Gemm", [mixed, *weights.head])
    flattened = graph.add("Reshape", [logits, graph.constant(np.array([-1]))])
    graph.nodes.append(helper.make_node("Sigmoid", [flattened], ["click"]))
    return graph.finished(ids=sum(_is(Sparse, model)), numbers=sum(_is(Numeric, model)))


class _Graph:
    """Nodes and constants under construction; a weight given as an input becomes a constant."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray[Any, Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operation: str, inputs: list[Any], **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        names = [value if isinstance(value, str) else self.constant(np.asarray(value)) for value in inputs]
        self.nodes.append(helper.make_node(operation, names, [name], **attributes))
        return name

    def finished(self, *, ids: int, numbers: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "dcn_v2",
            [
                helper.make_tensor_value_info("int64", TensorProto.INT64, [None, ids]),
                helper.make_tensor_value_info("float32", TensorProto.FLOAT, [None, numbers]),
            ],
            [helper.make_tensor_value_info("click", TensorProto.FLOAT, [None])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        return model


def _is(kind: type, model: Ranker) -> list[bool]:
    return [isinstance(feature, kind) for feature in model.schema.features]


def _id_rows(graph: _Graph, model: Ranker) -> str:
    """Known ids are rows 2 and on, row 1 is any other id, row 0 a missing one."""
    sizes = np.array([feature.ids.size for feature in model.schema.features if isinstance(feature, Sparse)])
    zero, one, two, missing = (graph.constant(np.array(value)) for value in (0, 1, 2, -1))
    above = graph.add("GreaterOrEqual", ["int64", zero])
    below = graph.add("Less", ["int64", graph.constant(sizes)])
    known = graph.add("And", [above, below])
    rows = graph.add("Where", [known, graph.add("Add", ["int64", two]), one])
    return graph.add("Where", [graph.add("Equal", ["int64", missing]), zero, rows])


def _number_rows(graph: _Graph, model: Ranker) -> str:
    """Row 1 plus the number of boundaries that a value has reached; row 0 where it is missing."""
    features = [feature for feature in model.schema.features if isinstance(feature, Numeric)]
    edges = numbers.boundaries(features, buckets=model.options.buckets)
    values = graph.add("Unsqueeze", ["float32", graph.constant(np.array([2]))])
    reached = graph.add("GreaterOrEqual", [values, graph.constant(edges[np.newaxis])])
    counted = graph.add("Cast", [reached], to=TensorProto.INT64)
    buckets = graph.add("ReduceSum", [counted, graph.constant(np.array([2]))], keepdims=0)
    rows = graph.add("Add", [buckets, graph.constant(np.array(1))])
    return graph.add("Where", [graph.add("IsNaN", ["float32"]), graph.constant(np.array(0)), rows])
