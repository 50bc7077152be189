"""Sends the warm-up requests to a SavedModel, in a process that has TensorFlow and no fullrank.

    python - SAVED_MODEL OUTPUT < replay.py

The script is read from standard input, so nothing of this package is on the path, and it also blocks the package's
name. OUTPUT becomes an `.npz`: `K/TASK` holds the answers to the K-th request, `K/seconds` the time of each call.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

CALLS = 5


def main(saved_model: str, output: str) -> None:
    """Replays each request `CALLS` times; the first call of each is not counted."""
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    loaded = tf.saved_model.load(saved_model)
    arrays: dict[str, Any] = {}
    file = os.path.join(saved_model, "assets.extra", "tf_serving_warmup_requests")
    for number, record in enumerate(tf.data.TFRecordDataset(file).as_numpy_iterator()):
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        signature = loaded.signatures[request.model_spec.signature_name]
        inputs = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        outputs = {task: value.numpy() for task, value in signature(**inputs).items()}
        seconds = []
        for _ in range(CALLS):
            start = time.perf_counter()
            for value in signature(**inputs).values():
                value.numpy()
            seconds.append(time.perf_counter() - start)
        arrays[f"{number}/seconds"] = np.array(seconds)
        # An array of objects would be pickled; one of texts is of a fixed width.
        arrays.update({f"{number}/{t}": v.astype("S") if v.dtype == object else v for t, v in outputs.items()})
    np.savez(output, **arrays)


if __name__ == "__main__":
    sys.modules["fullrank"] = None  # type: ignore[assignment]
    main(*sys.argv[1:])
