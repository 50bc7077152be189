"""One request, asked of an export as TensorFlow Serving's REST interface would be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ran_commands import ran

from fullrank.data import read_schema
from fullrank.models.serving.input_guide import input_guide
from fullrank.models.serving.rest import RequestError, answer_json, inputs_of, parse_body, request_json
from fullrank.trainers import export as export_command
from fullrank.trainers import request as request_command

SPECS = {
    "item": tf.TensorSpec([None], tf.int64),
    "price": tf.TensorSpec([None], tf.float32),
    "tags": tf.TensorSpec([None, None], tf.string),
}
ROWS = {"item": [3, -1], "price": [0.5, float("nan")], "tags": [["a", "größe"], ["", {"b64": "/w=="}]]}


@pytest.fixture(scope="module")
def export(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an exported model."""
    output = tmp_path_factory.mktemp("serving") / "toy"
    export_command.run(["export", f"--run={toy_run}", f"--output={output}"])
    return output


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command."""
    capsys.readouterr()
    return ran(capsys, request_command.run, *arguments)


def as_rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("form", ["row", "column"])
def test_both_formats_give_the_same_arrays(form: Any) -> None:
    content = as_rows(ROWS) if form == "row" else ROWS
    arrays = inputs_of(content, form=form, specs=SPECS)
    assert arrays["item"].dtype == np.int64
    np.testing.assert_array_equal(arrays["price"], np.array([0.5, np.nan], np.float32))
    assert arrays["tags"].tolist() == [[b"a", "größe".encode()], [b"", b"\xff"]]
    again = request_json(arrays, form=form, signature="serving_default")
    assert json.dumps(again) == json.dumps({"instances" if form == "row" else "inputs": content})


@pytest.mark.parametrize("form", ["row", "column"])
def test_numbers_keep_their_bits_through_json(form: Any) -> None:
    inputs = {"item": np.array([2**63 - 1, -(2**63)]), "price": np.array([0.1, 1e-45], np.float32)}
    body = json.loads(json.dumps(request_json(inputs, form=form, signature="serving_default")))
    specs = {name: SPECS[name] for name in inputs}
    for name, values in inputs_of(next(iter(body.values())), form=form, specs=specs).items():
        np.testing.assert_array_equal(values, inputs[name])


def test_one_output_stands_without_its_name_and_several_with_theirs() -> None:
    click, like = np.array([0.5, 0.25]), np.array([1.0, 0.0])
    assert answer_json({"click": click}, form="row") == {"predictions": [0.5, 0.25]}
    assert answer_json({"click": click}, form="column") == {"outputs": [0.5, 0.25]}
    both = {"click": click, "like": like}
    assert answer_json(both, form="row") == {"predictions": [{"click": 0.5, "like": 1.0}, {"click": 0.25, "like": 0.0}]}
    assert answer_json(both, form="column") == {"outputs": {"click": [0.5, 0.25], "like": [1.0, 0.0]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", 'either "instances"'),
        ('{"instances": [], "inputs": {}}', 'either "instances"'),
        ('{"inputs": {}, "signature": "x"}', "unknown key 'signature'"),
        ('{"inputs": {}, "signature_name": 3}', "signature_name is a text"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_body_of_no_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_body(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": [3]}, "different numbers of rows. Received: item: 1, price: 2"),
        ({"item": [3, 2.5]}, "'item' takes whole numbers .int64.. Received: 2.5"),
        ({"item": [3, 2**63]}, "'item' takes whole numbers"),
        ({"item": [True, False]}, "'item' takes numbers"),
        ({"price": ["a", "b"]}, "'price' takes numbers .*Received: \"a\""),
        ({"price": [None, 1.0]}, "'price' has a null, .*`absent` in assets/inputs.json, NaN without"),
        ({"price": None}, "'price' has a null"),
        ({"tags": [["a", None], ["b"]]}, "'tags' has a null"),
        ({"tags": ["a", "b"]}, r"'tags' has the shape \[any, any\]. Received: \[2\]"),
        ({"tags": [["a"], ["b", "c"]]}, "'tags' has rows of different width"),
        ({"tags": [[1], [2]]}, "'tags' takes text"),
        ({"tags": [[{"b64": "%"}], ["a"]]}, "not base64"),
        ({"colour": [1, 2]}, "has 'colour', which the signature does not take"),
    ],
)
def test_what_an_input_cannot_be_is_said(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        inputs_of({**ROWS, **change}, form="column", specs=SPECS)


def test_an_absent_input_is_named_with_what_to_do() -> None:
    rows = as_rows(ROWS)
    del rows[1]["price"]
    with pytest.raises(RequestError, match=r"instances\[1\] lacks price. .*assets/inputs.json"):
        inputs_of(rows, form="row", specs=SPECS)


def test_the_export_says_what_each_input_is(export: Path, toy_run: Path) -> None:
    guide = json.loads((export / "1" / "assets" / "inputs.json").read_text(encoding="utf-8"))
    assert guide == input_guide(read_schema(toy_run))
    inputs = {entry["input"]: entry for entry in guide}
    signature = tf.saved_model.load(str(export / "1")).signatures["serving_default"]
    assert set(inputs) == set(signature.structured_input_signature[1])
    assert inputs["age"]["absent"] == "NaN"
    assert inputs["user"]["absent"] == -1
    assert inputs["item"]["absent"] == ""


@pytest.mark.parametrize("form", ["row", "column"])
@pytest.mark.parametrize("signature", ["serving_default", "serving_packed", "serving_examples"])
def test_an_example_is_answered_as_the_model_answers(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, signature: str
) -> None:
    code, body, _ = ask(capsys, f"--export={export}", "--example=3", f"--format={form}", f"--signature={signature}")
    assert code == 0
    (tmp_path / "request.json").write_text(body, encoding="utf-8")
    code, printed, _ = ask(capsys, f"--export={export / '1'}", f"--json={tmp_path / 'request.json'}")
    assert code == 0
    given = json.loads(body)
    function = tf.saved_model.load(str(export / "1")).signatures[signature]
    specs = function.structured_input_signature[1]
    arrays = inputs_of(given["instances" if form == "row" else "inputs"], form=form, specs=specs)  # type: ignore[arg-type]
    expected = function(**{name: tf.constant(value, specs[name].dtype) for name, value in arrays.items()})
    answer = json.loads(printed)
    clicks = [row["click"] for row in answer["predictions"]] if form == "row" else answer["outputs"]["click"]
    np.testing.assert_array_equal(np.array(clicks, np.float32), expected["click"].numpy())


def test_an_example_for_one_user_holds_the_user_once(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, body, _ = ask(capsys, f"--export={export}", "--example=3", "--signature=serving_request")
    given = json.loads(body)
    assert code == 0
    assert given["signature_name"] == "serving_request"
    assert {name: len(values) for name, values in given["inputs"].items()} == {
        "user": 1,
        "item": 3,
        "tags": 3,
        "age": 1,
    }
    guide = json.loads((export / "1" / "assets" / "inputs.json").read_text(encoding="utf-8"))
    assert {entry["input"]: entry["once"] for entry in guide} == {
        "user": True,
        "item": False,
        "tags": False,
        "age": True,
    }
    flat = {name: values * (3 // len(values)) for name, values in given["inputs"].items()}
    answers = []
    for inputs, signature in ((given["inputs"], "serving_request"), (flat, "serving_default")):
        (tmp_path / "request.json").write_text(json.dumps({"inputs": inputs, "signature_name": signature}))
        code, printed, _ = ask(capsys, f"--export={export}", f"--json={tmp_path / 'request.json'}")
        assert code == 0
        answers.append(json.loads(printed)["outputs"]["click"])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)
    rows = {"instances": as_rows(flat), "signature_name": "serving_request"}
    (tmp_path / "request.json").write_text(json.dumps(rows))
    code, _, error = ask(capsys, f"--export={export}", f"--json={tmp_path / 'request.json'}")
    assert code == 1
    assert "is one value for the whole request: use the column format" in error


def test_a_seed_is_no_row_of_a_request() -> None:
    specs = {"item": SPECS["item"], "seed": tf.TensorSpec([2], tf.int32)}
    arrays = inputs_of({"item": [1, 2, 3], "seed": [4, 5]}, form="column", specs=specs)
    assert {name: len(values) for name, values in arrays.items()} == {"item": 3, "seed": 2}
    with pytest.raises(RequestError, match="'seed' is one value for the whole request: use the column format"):
        inputs_of(as_rows({"item": [1, 2], "seed": [4, 5]}), form="row", specs=specs)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "either --json=FILE"),
        (("--example=501",), 1, "at most 500 rows"),
        (("--example=1", "--signature=posterior"), 1, "no signature 'posterior'. Known: serving_default"),
        (("--json=nowhere.json",), 1, "nowhere.json"),
    ],
)
def test_mistakes_are_one_line(
    export: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    found, _, error = ask(capsys, f"--export={export}", *arguments)
    assert found == code
    assert message in error
    assert error.count("\n") == 1


def test_a_folder_without_an_export_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = ask(capsys, f"--export={tmp_path}", "--example=1")
    assert code == 1
    assert str(tmp_path) in error
