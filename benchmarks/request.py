"""Scoring one user against 500 ads: `serving_request`, which holds the user once, against `serving_default`.

Both signatures are those of one export, loaded and called from Python with inputs ready as tensors, in turn, and give
equal answers, which is checked first. The rows of `serving_default` repeat the user's columns. Weights are random, ids
are kept in vocabularies.

* tim, din: 10 ids of the user, 10 of the ad, and a history of 200 behaviours (an ad and its category, with times),
  encoded by the Temporal Interest Module or by DIN.
* no history: 39 features, 26 ids and 13 numbers, of which 20 are the user's.

The rows "bytes" compare the sizes of the two `PredictRequest` messages. The model is `single` (16 wide, crossnet and
flat) with the defaults of `fullrank train`.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from request_model import random_ranker, with_history, without_history
from tensorflow_serving.apis import predict_pb2

import report
from fullrank.data import Feature, Schema, Sequence
from fullrank.models.options import EncoderName
from fullrank.models.serving import serving_signatures
from fullrank.models.serving.sample_rows import Rows, drawn_rows
from fullrank.models.serving.saved_model import write_saved_model
from fullrank.models.serving.signatures import served

CANDIDATES, HISTORY = 500, 200
ONCE, FLAT = "serving_request", "serving_default"


def loaded_export(directory: Path, features: tuple[Feature, ...], sequence: EncoderName) -> tuple[Any, Any, Schema]:
    """The SavedModel of a ranker with random weights, loaded; the ranker; and its schema."""
    model = random_ranker(directory, features, sequence)
    schema = model.schema
    signatures = serving_signatures(model, schema)
    write_saved_model(
        directory / "1", model=model, signatures={name: signatures[name] for name in (ONCE, FLAT)}, schema=schema
    )
    return tf.saved_model.load(str(directory / "1")), model, schema


def one_user_rows(schema: Schema, model: Any) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """The inputs of both signatures for one user and the candidates."""
    rows: Rows = drawn_rows(schema, number=CANDIDATES)
    ways = served(model)
    once: dict[str, np.ndarray[Any, Any]] = ways[ONCE].request(schema, rows)
    repeated = {n: np.repeat(v, CANDIDATES, axis=0) if len(v) == 1 else v for n, v in once.items()}
    return {ONCE: once, FLAT: repeated}


def message_size(signature: str, inputs: dict[str, np.ndarray[Any, Any]]) -> int:
    """Bytes of the `PredictRequest`."""
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return int(request.ByteSize())


def calls(loaded: Any, inputs: dict[str, dict[str, Any]]) -> dict[str, Callable[[], np.ndarray[Any, Any]]]:
    """A call of each signature."""
    made: dict[str, Callable[[], np.ndarray[Any, Any]]] = {}
    for name, given in inputs.items():
        tensors = {key: tf.constant(value) for key, value in given.items()}
        made[name] = functools.partial(_call, loaded.signatures[name], tensors)
    return made


def _call(signature: Any, tensors: dict[str, tf.Tensor]) -> np.ndarray[Any, Any]:
    clicks: np.ndarray[Any, Any] = signature(**tensors)["click"].numpy()
    return clicks


def compared(title: str, features: tuple[Feature, ...], sequence: EncoderName, *, rounds: int, goal: str) -> list[Any]:
    """The rows of one case: time, processor time and bytes."""
    with tempfile.TemporaryDirectory() as temporary:
        loaded, model, schema = loaded_export(Path(temporary), features, sequence)
        inputs = one_user_rows(schema, model)
    made = calls(loaded, inputs)
    once, flat = made[ONCE](), made[FLAT]()
    if not 0.001 < flat.std() < 0.5:
        raise RuntimeError(f"the outputs of the model say nothing: their standard deviation is {flat.std():.3g}")
    np.testing.assert_allclose(once, flat, atol=1e-6)
    timing = report.alternate(made[ONCE], made[FLAT], rounds=rounds, warmup=5)
    sizes = [report.Sample((message_size(name, inputs[name]) / 1e3,)) for name in (ONCE, FLAT)]
    time_row = report.compare(
        name=f"{title}, {CANDIDATES} candidates, time",
        ours=timing.ours.scaled(1e3),
        reference=timing.reference.scaled(1e3),
        ratio=timing.median_of_ratios,
        unit="ms",
        goal=goal,
    )
    processor_row = report.compare(
        name=f"{title}, {CANDIDATES} candidates, processor time",
        ours=timing.ours_cpu.scaled(1e3),
        reference=timing.reference_cpu.scaled(1e3),
        unit="ms",
    )
    byte_row = report.compare(
        name=f"{title}, {CANDIDATES} candidates, bytes",
        ours=sizes[0],
        reference=sizes[1],
        unit="kB",
        goal="<= 0.05" if any(isinstance(feature, Sequence) for feature in features) else "",
    )
    return [time_row, processor_row, byte_row]


def main() -> None:
    """Runs the benchmark."""
    options = report.arguments(__doc__.splitlines()[0])
    ids, rounds = (500, 2) if options.quick else (20_000, 41)
    length = HISTORY
    rows = []
    for encoder in ("tim", "din"):
        features = with_history(length=length, ids=ids)
        rows += compared(f"{encoder}, history of {length}", features, encoder, rounds=rounds, goal="<= 0.25")
    rows += compared("no history, 39 features", without_history(ids=ids), "tim", rounds=rounds, goal="<= 0.8")
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
