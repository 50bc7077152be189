"""An exported model answers as the model does where only TensorFlow is, whatever a request holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import models
from fullrank.data import (
    Schema,
)
from fullrank.models.serving import Exported, export_model, serving_signatures
from fullrank.models.serving import check as check_module
from fullrank.models.serving import export as export_module
from fullrank.models.serving.check import ExportMismatchError
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.models.serving.signatures import served

# What a client without fullrank does. It prints JSON: by case, the outputs.
TASKS = ("click", "like")
CLIENT = """
import json, sys
sys.modules["fullrank"] = None
import numpy as np
import tensorflow as tf

cases = json.loads(sys.stdin.read())
loaded = tf.saved_model.load(cases["path"])
signature = loaded.signatures["serving_default"]
dtypes = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}

def tensors(request):
    return {name: tf.constant(value, dtypes[name]) for name, value in request.items()}

def listed(outputs):
    return {task: value.numpy().tolist() for task, value in outputs.items()}

answers = {name: listed(signature(**tensors(request))) for name, request in cases["requests"].items()}

layout = json.load(open(cases["path"] + "/assets/packed_inputs.json"))
renamed = {name.replace("-", "_"): value for name, value in tensors(cases["requests"]["ordinary"]).items()}
packed = {
    dtype: tf.concat([tf.reshape(renamed[c["column"].replace("-", "_")], [1, c["width"]]) for c in columns], axis=1)
    for dtype, columns in layout.items()
}
answers["packed"] = listed(loaded.signatures["serving_packed"](**packed))

feature = lambda **given: tf.train.Feature(**given)
example = tf.train.Example(features=tf.train.Features(feature={
    "user-id": feature(int64_list=tf.train.Int64List(value=[cases["user"]])),
    "unheard_of": feature(float_list=tf.train.FloatList(value=[1.0])),
})).SerializeToString()
bare = tf.train.Example(features=tf.train.Features(feature={"item": feature()})).SerializeToString()
unaligned = tf.train.Example(features=tf.train.Features(feature={
    "seen": feature(bytes_list=tf.train.BytesList(value=[b"item 1", b"item 2"])),
    "seen_at": feature(int64_list=tf.train.Int64List(value=[1])),
})).SerializeToString()
# A list of weights that claims 2^28 bytes, and ends there.
too_long = bytes.fromhex("0a180a160a0b7461675f77656967687473120712050affffff7f")
foreign = tf.train.Example(features=tf.train.Features(feature={"unheard_of": feature()})).SerializeToString()

def refusal(signature, **inputs):
    try:
        loaded.signatures[signature](**inputs)
    except tf.errors.OpError as error:
        return str(error)
    return ""

answers["refused"] = {
    name: refusal("serving_examples", examples=tf.constant([example, record]))
    for name, record in {
        "junk": b"junk", "cut off": bytes.fromhex("0a030a0961"), "nothing": b"",
        "foreign": foreign, "unaligned": unaligned, "too long": too_long,
    }.items()
}
wide = tensors({**cases["requests"]["ordinary"], "seen": [["item 1"] * 5]})
answers["refused"]["wide"] = refusal("serving_default", **wide)
answers["examples"] = listed(loaded.signatures["serving_examples"](examples=tf.constant([example, bare])))
answers["keras before"] = sorted({"tf_keras", "tensorflow_recommenders"} & set(sys.modules))

import keras
layer = keras.layers.TFSMLayer(cases["path"], call_endpoint="serving_default")
answers["layer"] = listed(layer(tensors(cases["requests"]["ordinary"])))
answers["keras"] = keras.__version__
print("ANSWERS " + json.dumps(answers))
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def exported(model: models.Ranker, schema: Schema, output: Path) -> Exported:
    return export_model(model, output=output, rows=drawn_rows(schema, number=40))


ORDINARY: dict[str, Any] = {
    "user_id": [7],
    "item": ["item 1"],
    "brand": ["x"],
    "tags": [[1, 2, -1]],
    "tag_weights": [[1.0, 2.0, 0.0]],
    "age": [4.5],
    "seen": [["item 1", "item 2", "", ""]],
    "seen_at": [[1, 2, -1, -1]],
    "vector": [[0.1, 0.2, 0.3]],
    "bits": [[0, 1, 0, 1, 1]],
    "now": [5],
}


HOSTILE: dict[str, dict[str, Any]] = {
    "not a number": {"age": [float("nan")], "vector": [[float("nan")] * 3]},
    "partly not a number": {"vector": [[0.1, float("nan"), 0.3]]},
    "infinite": {"age": [float("inf")]},
    "minus infinite": {"age": [float("-inf")]},
    "huge": {"age": [3e38]},
    "infinite vector": {"vector": [[float("inf"), float("-inf"), 0.0]]},
    "huge vector": {"vector": [[3e38, -3e38, 3e38]]},
    "infinite weight": {"tag_weights": [[float("inf"), 1.0, 0.0]]},
    "huge weights": {"tag_weights": [[3e38, 3e38, 0.0]]},
    "weights without a value": {"tag_weights": [[float("nan"), float("nan"), 0.0]]},
    "opposite weights": {"tag_weights": [[1.0, -1.0, 0.0]]},
    "unknown ids": {"user_id": [10**18], "item": ["never seen"], "tags": [[99, -5, 2**62]]},
    "impossible bits": {"bits": [[0, 0, 0, 0, 2**62]]},
    "lowest id": {"user_id": [-(2**63)], "tags": [[-(2**63), 2**63 - 1, 0]]},
    "missing ids": {"user_id": [-1], "item": [""], "brand": [""], "bits": [[-1] * 5]},
    "no history": {"seen": [[]], "seen_at": [[]], "tags": [[]], "tag_weights": [[]]},
    "no bytes of text": {"brand": ["\u0000\u00ff" * 1000]},
    "times out of order": {"seen_at": [[9, -7, 2**62, 0]], "now": [-1]},
}


@pytest.fixture(scope="module")
def answers(exported: Exported) -> dict[str, Any]:
    """What a process with TensorFlow and without fullrank, and without the variable that chooses Keras 2, gets."""
    requests = {"ordinary": ORDINARY} | {name: {**ORDINARY, **change} for name, change in HOSTILE.items()}
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        input=json.dumps({"path": str(exported.path), "requests": requests, "user": 7}),
        capture_output=True,
        text=True,
        env=environment,
        cwd=exported.path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("ANSWERS "))
    found: dict[str, Any] = json.loads(line.removeprefix("ANSWERS "))
    return found


def own_answer(model: models.Ranker, schema: Schema, change: dict[str, Any]) -> dict[str, Any]:
    signature = serving_signatures(model, schema)["serving_default"]
    given = {**ORDINARY, **change}
    return {task: value.numpy() for task, value in signature({k: np.array(v) for k, v in given.items()}).items()}


def test_a_process_without_fullrank_gets_the_models_answers(
    answers: dict[str, Any], model: models.Ranker, schema: Schema
) -> None:
    batch = {c.name: tf.constant(ORDINARY[c.name.replace("-", "_")]) for c in schema.input_columns}
    batch["user-id"], batch["bits"] = tf.constant([7], tf.int64), tf.constant(ORDINARY["bits"], tf.int64)
    expected = model(
        {**model.example_batch(), **{k: tf.cast(v, tf.int64) if v.dtype == tf.int32 else v for k, v in batch.items()}}
    )
    for task in TASKS:
        np.testing.assert_allclose(answers["ordinary"][task], expected[task], atol=1e-6)
        assert np.shape(answers["ordinary"][task]) == (1,)


def test_packed_inputs_say_the_same_as_named_ones(answers: dict[str, Any]) -> None:
    for task in TASKS:
        np.testing.assert_allclose(answers["packed"][task], answers["ordinary"][task], atol=1e-6)


def test_keras_2_is_not_needed(answers: dict[str, Any]) -> None:
    assert answers["keras before"] == []


def test_keras_3_takes_the_model_as_a_layer(answers: dict[str, Any]) -> None:
    assert answers["keras"].startswith("3.")
    assert answers["layer"] == answers["ordinary"]


@pytest.mark.parametrize("case", HOSTILE)
def test_probabilities_stay_finite_whatever_a_request_holds(answers: dict[str, Any], case: str) -> None:
    for task in TASKS:
        value = answers[case][task][0]
        assert 0 <= value <= 1, f"{case}: {value}"


def test_examples_need_neither_labels_nor_every_feature(answers: dict[str, Any], model: models.Ranker) -> None:
    nothing = model.example_batch(2)
    expected = model({**nothing, "user-id": tf.constant([7, -1], tf.int64)})
    for task in TASKS:
        np.testing.assert_allclose(answers["examples"][task], expected[task], atol=1e-6)
    assert answers["examples"]["click"][0] != answers["examples"]["click"][1]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("junk", "not a tf.train.Example in the form that writers give it, at position"),
        # TensorFlow's own words where features are no message at all.
        ("cut off", "DecodeProto"),
        ("too long", "not a tf.train.Example"),
        ("nothing", "not a tf.train.Example in the form that writers give it, at position"),
        ("foreign", "an example that has none of the columns that are read"),
        ("unaligned", "different numbers of values in"),
        ("wide", "inputs seen, seen_at belong together, value by value, and must be equally wide"),
    ],
)
def test_requests_that_cannot_be_meant_are_refused(answers: dict[str, Any], case: str, words: str) -> None:
    assert words in answers["refused"][case]


def test_an_export_that_answers_otherwise_is_thrown_away(
    model: models.Ranker, schema: Schema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tampered(directory: Path, answers: Path, *, working: str) -> None:
        del directory, working
        sizes = [rows for rows in (1, 100, 500) for _ in served(model)]
        wrong: dict[str, Any] = {
            f"{k}/{task}": np.full(rows, 2.0, np.float32) for k, rows in enumerate(sizes) for task in TASKS
        }
        np.savez(answers, **wrong)

    monkeypatch.setattr(export_module, "write_saved_model", lambda directory, **_: None)
    monkeypatch.setattr(check_module, "_replay", tampered)
    with pytest.raises(ExportMismatchError, match="'serving_default' of the exported model differs from the model by"):
        export_model(model, output=tmp_path, rows=drawn_rows(schema, number=3))
    assert list(tmp_path.iterdir()) == []


def test_not_a_number_is_a_mismatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(directory: Path, answers: Path, *, working: str) -> None:
        del directory, working
        arrays: dict[str, Any] = {"0/click": np.array([np.nan], np.float32), "0/seconds": np.ones(1)}
        np.savez(answers, **arrays)

    monkeypatch.setattr(check_module, "_replay", broken)
    with pytest.raises(ExportMismatchError, match="differs from the model by nan in task 'click'"):
        check_module.check_export(tmp_path, expected=[("serving_default", {"click": np.array([0.5])})], tolerance=1.0)
