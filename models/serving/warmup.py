"""The warm-up file, from which TensorFlow Serving sends requests to a model before clients do.

Without it the first client pays for graph optimisation and allocation. TensorFlow Serving looks for it in this place
below the version directory; it is a TFRecord file of `PredictionLog` protos, at most 1,000 of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

WARMUP_FILE: Final = Path("assets.extra") / "tf_serving_warmup_requests"

Request = tuple[str, dict[str, np.ndarray[Any, Any]]]
"""Name of a signature, and its inputs by name."""


def write_warmup(directory: Path, requests: Iterable[Request]) -> Path:
    """Writes the warm-up file of the SavedModel in `directory`, and returns its path."""
    file = directory / WARMUP_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in requests:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())
    return file


def read_warmup(directory: Path) -> Iterator[Request]:
    """The requests in the warm-up file of the SavedModel in `directory`."""
    for record in tf.data.TFRecordDataset(str(directory / WARMUP_FILE)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        yield request.model_spec.signature_name, inputs
