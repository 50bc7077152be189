"""Scores a request with an exported model; needs TensorFlow but not fullrank.

    python score_request.py SAVED_MODEL REQUEST.json

REQUEST.json is the body that TensorFlow Serving's REST interface takes, `{"inputs": {column: [value, ...]}}`. Prints
what that interface would answer: `{"outputs": {task: [probability, ...]}}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(saved_model: str, request: str) -> None:
    """Loads the model, calls its default signature and prints the answer."""
    import tensorflow as tf

    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    _, columns = signature.structured_input_signature
    given = json.loads(Path(request).read_text(encoding="utf-8"))["inputs"]
    inputs = {name: tf.constant(given[name], dtype=spec.dtype) for name, spec in columns.items()}
    outputs = {task: [round(float(p), 4) for p in values.numpy()] for task, values in signature(**inputs).items()}
    print(json.dumps({"outputs": outputs}))


if __name__ == "__main__":
    # Even where fullrank is installed, this proves that it is not needed.
    sys.modules["fullrank"] = None  # type: ignore[assignment]
    main(*sys.argv[1:])
