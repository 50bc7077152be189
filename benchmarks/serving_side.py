"""One side of the serving benchmark: a process that holds one model, and times calls of it when told to.

Each side has a process of its own, because the threads of a runtime wait for more work by spinning and would take the
cores from the side that is measured next. It reads lines of JSON from standard input and answers each with one:
`{"rows": B, "calls": n}` with the seconds of n calls, `{"rows": B, "calls": n, "processor": true}` with the seconds of
one by the clock and of the processor, `{"rows": B}` with the probabilities.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Score = Callable[[], np.ndarray[Any, Any]]

_WARMUP = 5


def main(how: str, model: str, requests: str, threads: str = "") -> None:
    """Serves until its input ends.

    Args:
      how: `call` for the signature as one calls it from Python, `graph` for its graph alone, `onnx`.
      model: A SavedModel, or an ONNX file.
      requests: Directory of `<rows>.npz` files, which hold the inputs by name; the name is that of the signature.
      threads: Threads that ONNX Runtime computes with; its own choice if empty. TensorFlow reads the environment.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if how == "onnx":
        scoring = _onnx(model, threads)
    else:
        scoring = {"call": _signature, "graph": _graph}[how](model, Path(requests).name)
    scores: dict[int, Score] = {}
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        rows = order["rows"]
        if rows not in scores:
            with np.load(Path(requests) / f"{rows}.npz") as stored:
                scores[rows] = scoring(dict(stored))
            for _ in range(_WARMUP):
                scores[rows]()
        print(json.dumps(_answer(order, scores[rows])), flush=True)


def _answer(order: dict[str, Any], score: Score) -> list[float]:
    if "calls" not in order:
        probabilities: list[float] = score().tolist()
        return probabilities
    return (_both_seconds if order.get("processor") else _seconds)(score, order["calls"])


def _both_seconds(score: Score, calls: int) -> list[float]:
    """Seconds of a call by the clock, and of all threads of the process together."""
    score()
    processor, start = time.process_time(), time.perf_counter()
    for _ in range(calls):
        score()
    return [(time.perf_counter() - start) / calls, (time.process_time() - processor) / calls]


def _seconds(score: Score, calls: int) -> list[float]:
    score()
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        score()
        taken.append(time.perf_counter() - start)
    return taken


def _signature(model: str, name: str) -> Callable[[dict[str, Any]], Score]:
    """A call from Python, which checks every input anew."""
    import tensorflow as tf

    loaded = tf.saved_model.load(model)
    signature = loaded.signatures[name]

    def scoring(inputs: dict[str, Any]) -> Score:
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        return lambda loaded=loaded: signature(**tensors)["click"].numpy()  # type: ignore[misc]

    return scoring


def _graph(model: str, name: str) -> Callable[[dict[str, Any]], Score]:
    """The call operation that Python's checks lead to: what a server does in C++."""
    import tensorflow as tf

    loaded = tf.saved_model.load(model)
    signature = loaded.signatures[name]
    captured = signature.captured_inputs
    names = [tensor.name.split(":")[0] for tensor in signature.inputs[: len(signature.inputs) - len(captured)]]
    keys = {spec.name: key for key, spec in signature.structured_input_signature[1].items()}
    types = [tensor.dtype for tensor in signature.outputs]

    def scoring(inputs: dict[str, Any]) -> Score:
        arguments = [*(tf.constant(inputs[keys[name]]) for name in names), *captured]

        def score(loaded: Any = loaded) -> np.ndarray[Any, Any]:
            outputs = tf.raw_ops.StatefulPartitionedCall(args=arguments, Tout=types, f=signature)
            probabilities: np.ndarray[Any, Any] = outputs[0].numpy()
            return probabilities

        return score

    return scoring


def _onnx(model: str, threads: str) -> Callable[[dict[str, Any]], Score]:
    """ONNX Runtime with all its defaults, or with a number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    read = {given.name for given in session.get_inputs()}

    def scoring(inputs: dict[str, Any]) -> Score:
        given = {name: values for name, values in inputs.items() if name in read}
        return lambda: session.run(["click"], given)[0]

    return scoring
