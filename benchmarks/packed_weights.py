"""What a product of a batch with weights does at each call besides multiplying: packing, rounding and widening weights.

Four products `[B, 624] x [624, 624]` in a row, as in the crosses of `serving`, on one thread, in processor time:

* TensorFlow with weights in variables, as constants of the graph, and both compiled by XLA (`jit_compile`), against
  ONNX Runtime, which packs constant weights once, when it loads a model; and ONNX Runtime without that.
* bfloat16 weights that are stored, against float32 weights that are rounded at each call, as under mixed_bfloat16.
* int8 weights with a scale for each column, widened at each call, against float32 weights.

ONNX Runtime is left out where it is not installed.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import tensorflow as tf

import report

WIDTH, PRODUCTS = 624, 4
CALLS = {1: 60, 100: 8, 500: 3}
PACKED, UNPACKED = "ONNX Runtime", "ONNX Runtime without packing"

Array = np.ndarray[Any, Any]
Product = Callable[[tf.Tensor, int], tf.Tensor]


def tensorflow_sides(weights: list[Array], *, width: int) -> dict[str, Any]:
    """Name -> concrete function of a batch."""
    scales = [np.abs(weight).max(axis=0) / np.float32(127) for weight in weights]
    single = [tf.Variable(weight) for weight in weights]
    half = [tf.Variable(tf.cast(weight, tf.bfloat16)) for weight in weights]
    whole = [tf.Variable(np.rint(w / s).astype(np.int8)) for w, s in zip(weights, scales, strict=True)]
    products: dict[str, Product] = {
        "variables": lambda x, k: tf.matmul(x, single[k]),
        "constants": lambda x, k: tf.matmul(x, tf.constant(weights[k])),
        "bfloat16, stored": lambda x, k: tf.matmul(tf.cast(x, tf.bfloat16), half[k]),
        "bfloat16, rounded at each call": lambda x, k: tf.matmul(
            tf.cast(x, tf.bfloat16), tf.cast(single[k], tf.bfloat16)
        ),
        "int8, widened at each call": lambda x, k: tf.matmul(x, tf.cast(whole[k], tf.float32)) * scales[k],
    }
    made = {name: _compiled(product, width=width) for name, product in products.items()}
    for name in ("variables", "constants"):
        made[f"{name}, XLA"] = _compiled(products[name], width=width, jit=True)
    return made


def _compiled(product: Product, *, width: int, jit: bool | None = None) -> Any:
    def chain(x: tf.Tensor) -> tf.Tensor:
        for number in range(PRODUCTS):
            x = product(x, number)
        return tf.cast(x, tf.float32)

    spec = [tf.TensorSpec([None, width], tf.float32)]
    return tf.function(chain, input_signature=spec, autograph=False, jit_compile=jit).get_concrete_function()


def onnx_sides(weights: list[Array]) -> dict[str, Any]:
    """Name -> session; empty where ONNX Runtime is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")):
        return {}
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    width, names = weights[0].shape[0], [f"x{number}" for number in range(PRODUCTS + 1)]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[k], f"w{k}"], [names[k + 1]]) for k in range(PRODUCTS)],
        "products",
        [helper.make_tensor_value_info(names[0], onnx.TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(names[-1], onnx.TensorProto.FLOAT, [None, width])],
        [numpy_helper.from_array(weight, f"w{k}") for k, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    sides = {}
    for name in (PACKED, UNPACKED):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        if name == UNPACKED:
            options.add_session_config_entry("session.disable_prepacking", "1")
        sides[name] = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return sides


def _of_function(function: Any, batch: tf.Tensor) -> Array:
    found: Array = function(batch).numpy()
    return found


def _of_session(session: Any, batch: Array) -> Array:
    found: Array = session.run(None, {"x0": batch})[0]
    return found


def _repeated(call: Callable[[], object], *, calls: int) -> None:
    for _ in range(calls):
        call()


def main() -> None:
    """Runs the benchmark."""
    options = report.arguments(__doc__.splitlines()[0])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    width, rounds = (64, 2) if options.quick else (WIDTH, 21)
    draw = np.random.default_rng(5)
    weights = [draw.normal(scale=width**-0.5, size=(width, width)).astype(np.float32) for _ in range(PRODUCTS)]
    functions, sessions = tensorflow_sides(weights, width=width), onnx_sides(weights)
    pairs = [
        *((name, PACKED) for name in ("variables", "constants", "variables, XLA", "constants, XLA") if sessions),
        *([(UNPACKED, PACKED)] if sessions else []),
        ("constants", "variables"),
        ("bfloat16, stored", "bfloat16, rounded at each call"),
        ("bfloat16, stored", "variables"),
        ("int8, widened at each call", "variables"),
    ]
    rows = []
    for number, calls in CALLS.items():
        batch = draw.normal(size=(number, width)).astype(np.float32)
        sides: dict[str, Callable[[], Array]] = {
            name: functools.partial(_of_function, function, tf.constant(batch)) for name, function in functions.items()
        }
        sides |= {name: functools.partial(_of_session, session, batch) for name, session in sessions.items()}
        expected = sides["variables"]()
        for name, call in sides.items():
            np.testing.assert_allclose(call(), expected, atol=0.2 if "float16" in name or "int8" in name else 1e-3)
        for ours, reference in pairs:
            one, other = (functools.partial(_repeated, sides[side], calls=calls) for side in (ours, reference))
            timing = report.alternate(one, other, rounds=rounds, warmup=2)
            rows.append(
                report.compare(
                    name=f"{number} rows: {ours} / {reference}, processor time",
                    ours=timing.ours_cpu.scaled(1e3 / calls),
                    reference=timing.reference_cpu.scaled(1e3 / calls),
                    unit="ms",
                )
            )
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
