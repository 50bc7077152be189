"""A served model as an ONNX graph, for runtimes other than TensorFlow: converted by tf2onnx, checked by ONNX Runtime.

The graph takes the inputs of `serving_default` and gives its outputs, in the same dtypes (int64, float32, string). A
list is exactly as wide as in the records, padded on its right with the mark of a missing value: what a request fits to
that width is left out. tf2onnx and ONNX Runtime are not installed by default.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.schema.schema import Schema
from fullrank.models.ranker import Ranker
from fullrank.models.serving.check import ExportMismatchError, Replayed, compared
from fullrank.models.serving.onnx_operations import handlers
from fullrank.models.serving.request_inputs import input_name, input_specs
from fullrank.models.serving.sample_rows import Rows

ONNX_FILE: Final = "model.onnx"
OPSET: Final = 18
_LARGEST: Final = 2_000_000_000
_CALLS: Final = 5


def require_onnx() -> tuple[Any, Any, Any]:
    """The modules `onnx`, `onnxruntime` and `tf2onnx.convert`.

    Raises:
      ValueError: If one of them is not installed.
    """
    try:
        names = ("onnx", "onnxruntime", "tf2onnx.convert")
        onnx, runtime, convert = (importlib.import_module(name) for name in names)
    except ImportError as error:
        raise ValueError(f"--format=onnx needs {error.name}: pip install 'fullrank[onnx]'.") from error
    return onnx, runtime, convert


def check_convertible(model: Ranker) -> None:
    """Refuses a model that ONNX cannot hold.

    Raises:
      ValueError: If texts are hashed, or its weights exceed what one file may hold.
    """
    hashed = model.trunk.encoder.hashed_texts
    if hashed:
        raise ValueError(
            f"--format=onnx: {', '.join(hashed)} are texts that are hashed, and ONNX has no operation for that. Give "
            "them ids of kind 'vocabulary' in schema.json, or whole numbers, and train again; or take "
            "--format=saved_model."
        )
    size = sum(variable.shape.num_elements() * variable.dtype.size for variable in model.variables)
    if size > _LARGEST:
        raise ValueError(
            f"--format=onnx: the weights have {size / 1e9:.1f} GB, and an ONNX file holds at most 2 GB. Take "
            "--format=saved_model."
        )


def write_onnx(directory: Path, *, model: Ranker, schema: Schema) -> None:
    """Writes `model.onnx` into a directory.

    Args:
      directory: Where to.
      model: Ready for serving.
      schema: The model's schema.

    Raises:
      ValueError: If it cannot be converted.
    """
    onnx, _, convert = require_onnx()
    specs = input_specs(schema, widths=True)

    def score(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = {column.name: inputs[input_name(column.name)] for column in schema.input_columns}
        outputs: dict[str, tf.Tensor] = model(batch, training=False)
        return {task: tf.identity(tf.cast(value, tf.float32), name=task) for task, value in outputs.items()}

    function = tf.function(score, input_signature=[specs], autograph=False)
    # What it says about shapes that it cannot infer is of no use to the user of a command.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    operations = handlers(model, onnx)
    graph, _ = convert.from_function(function, input_signature=[specs], opset=OPSET, custom_op_handlers=operations)
    _bind_constants(graph, function.get_concrete_function(), specs, onnx)
    (directory / ONNX_FILE).write_bytes(graph.SerializeToString())


def _bind_constants(graph: Any, function: Any, specs: Mapping[str, Any], onnx: Any) -> None:
    """Makes constants of what the function captured that is no variable, which tf2onnx leaves among the inputs."""
    placeholders = function.inputs[len(function.inputs) - len(function.captured_inputs) :]
    captured = {p.name: value for p, value in zip(placeholders, function.captured_inputs, strict=True)}
    for given in list(graph.graph.input):
        if given.name not in specs:
            value = captured[given.name]
            if value.dtype != tf.resource:
                graph.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value.numpy()), given.name))
            graph.graph.input.remove(given)


def check_onnx(
    directory: Path,
    *,
    schema: Schema,
    rows: Rows,
    expected: Mapping[str, np.ndarray[Any, Any]],
    tolerance: float,
) -> Replayed:
    """Scores rows by ONNX Runtime, and compares the answers.

    Args:
      directory: Holds `model.onnx`.
      schema: The model's schema.
      rows: Input column -> values.
      expected: What the model itself gives for them.
      tolerance: Largest difference allowed, relative to outputs above 1.

    Raises:
      ExportMismatchError: If the file cannot be loaded and called, or an output differs.
    """
    _, runtime, _ = require_onnx()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(str(directory / ONNX_FILE), options, providers=["CPUExecutionProvider"])
        read = {given.name for given in session.get_inputs()}
        inputs = {input_name(c.name): _texts(rows[c.name]) for c in schema.input_columns if input_name(c.name) in read}
        names = [output.name for output in session.get_outputs()]
        answers = dict(zip(names, session.run(None, inputs), strict=True))
        seconds = []
        for _ in range(_CALLS):
            start = time.perf_counter()
            session.run(None, inputs)
            seconds.append(time.perf_counter() - start)
    # Its errors have no common class of their own.
    except Exception as error:
        message = " ".join(str(error).split())
        raise ExportMismatchError(
            f"ONNX Runtime does not score {ONNX_FILE}: {message}. Nothing was exported; take --format=saved_model."
        ) from error
    arrays = {f"0/{name}": values for name, values in answers.items()} | {"0/seconds": np.array(seconds)}
    return compared(0, ONNX_FILE, expected, arrays, tolerance)


def _texts(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bytes as ONNX Runtime takes them."""
    if values.dtype != object:
        return values
    texts: np.ndarray[Any, Any] = np.frompyfunc(lambda value: value.decode(errors="replace"), 1, 1)(values)
    return texts
