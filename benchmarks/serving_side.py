"""One side of the serving benchmark: a process that holds one model, and times calls of it when told to.

Each side has a process of its own, because the threads of a runtime wait for more work by spinning and would take the
cores from the side that is measured next. It reads lines of JSON from standard input and answers each with one:
`{"rows": B, "calls": n}` with the seconds of n calls, `{"rows": B}` with the probabilities.
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


def main(how: str, model: str, requests: str) -> None:
    """Serves until its input ends.

    Args:
      how: `call` for the signature as one calls it from Python, `graph` for its graph alone, `onnx`.
      model: A SavedModel, or an ONNX file.
      requests: Directory of `<rows>.npz` files, which hold the inputs by name; the name is that of the signature.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    load = {"call": _signature, "graph": _graph, "onnx": _onnx}[how]
    scoring = load(model, Path(requests).name)
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
        answer = _seconds(scores[rows], order["calls"]) if "calls" in order else scores[rows]().tolist()
        print(json.dumps(answer), flush=True)


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
    types = [tensor.dtype for tensor in signature.outputs]

    def scoring(inputs: dict[str, Any]) -> Score:
        arguments = [*(tf.constant(inputs[key]) for key in names), *captured]

        def score(loaded: Any = loaded) -> np.ndarray[Any, Any]:
            outputs = tf.raw_ops.StatefulPartitionedCall(args=arguments, Tout=types, f=signature)
            probabilities: np.ndarray[Any, Any] = outputs[0].numpy()
            return probabilities

        return score

    return scoring


def _onnx(model: str, name: str) -> Callable[[dict[str, Any]], Score]:
    """ONNX Runtime with all its defaults."""
    import onnxruntime

    del name
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda inputs: lambda: session.run(None, inputs)[0]
