"""Requests and answers in the JSON of TensorFlow Serving's REST interface.

The row format is `{"instances": [{input: value, ...}, ...]}` and is answered by `{"predictions": [...]}`, the column
format is `{"inputs": {input: [value, ...], ...}}` and is answered by `{"outputs": ...}`; `signature_name` chooses the
signature. If a signature has one output, its values have no name. Text is a JSON string, bytes that are not text are
`{"b64": "..."}`, and NaN and infinities are written literally.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Form = Literal["row", "column"]

_KEYS: Final[dict[Form, str]] = {"row": "instances", "column": "inputs"}
_ANSWERS: Final[dict[Form, str]] = {"row": "predictions", "column": "outputs"}
DEFAULT_SIGNATURE: Final = "serving_default"


class RequestError(ValueError):
    """A request that the interface would refuse; the message says what is wrong and what it takes."""


def parse_body(text: str) -> tuple[Form, str | None, Any]:
    """Reads a request body: its form, the signature it names, and what it holds.

    Raises:
      RequestError: If it is not JSON, or not of exactly one form.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The request is not valid JSON: {error}.") from None
    forms = [form for form, key in _KEYS.items() if isinstance(body, dict) and key in body]
    if len(forms) != 1:
        received = ", ".join(map(repr, body)) if isinstance(body, dict) else type(body).__name__
        raise RequestError(
            f'A request is a JSON object with either "instances" (one object per row) or "inputs" (one list per '
            f"column). Received: {received or 'an empty object'}."
        )
    unknown = sorted(set(body) - {_KEYS[forms[0]], "signature_name"})
    if unknown:
        raise RequestError(f"The request has an unknown key {unknown[0]!r} in addition to {_KEYS[forms[0]]!r}.")
    signature = body.get("signature_name")
    if signature is not None and not isinstance(signature, str):
        raise RequestError(f"signature_name is a text. Received: {signature!r}.")
    return forms[0], signature, body[_KEYS[forms[0]]]


def inputs_of(content: Any, *, form: Form, specs: Mapping[str, Any]) -> dict[str, Array]:
    """Makes the arrays that a signature takes.

    Args:
      content: The value of `instances` or `inputs`.
      form: Which of the two.
      specs: Input -> its `tf.TensorSpec`.

    Raises:
      RequestError: If an input is missing, unknown, of another type or shape, or rows do not fit together.
    """
    columns = _columns_of_rows(content, specs) if form == "row" else _columns(content, specs)
    arrays = {name: _array(name, values, specs[name]) for name, values in columns.items()}
    rows = {name: len(values) for name, values in arrays.items() if not _is_once(specs[name])}
    if len(set(rows.values())) > 1:
        shown = ", ".join(f"{name}: {number}" for name, number in rows.items())
        raise RequestError(f"The inputs have different numbers of rows. Received: {shown}.")
    return arrays


def answer_json(outputs: Mapping[str, Array], *, form: Form) -> dict[str, Any]:
    """The answer to a request of that form."""
    values = {name: _plain(array) for name, array in outputs.items()}
    if len(values) == 1:
        return {_ANSWERS[form]: next(iter(values.values()))}
    if form == "column":
        return {_ANSWERS[form]: values}
    return {_ANSWERS[form]: [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]}


def request_json(inputs: Mapping[str, Array], *, form: Form, signature: str) -> dict[str, Any]:
    """The body of a request with these inputs."""
    named = {} if signature == DEFAULT_SIGNATURE else {"signature_name": signature}
    values = {name: _plain(array) for name, array in inputs.items()}
    if form == "column" or len({array.shape[:1] for array in inputs.values()}) > 1:
        return {**named, "inputs": values}
    if len(values) == 1:
        return {**named, "instances": next(iter(values.values()))}
    return {**named, "instances": [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]}


def _columns_of_rows(content: Any, specs: Mapping[str, Any]) -> dict[str, Any]:
    once = [name for name, spec in specs.items() if _is_once(spec)]
    if once:
        raise RequestError(f"Input {once[0]!r} is one value for the whole request: use the column format, 'inputs'.")
    if not isinstance(content, list) or not content:
        raise RequestError(f"instances is a list with one object per row. Received: {_short(content)}.")
    if len(specs) == 1 and not (isinstance(content[0], dict) and set(content[0]) != {"b64"}):
        return {next(iter(specs)): content}
    for number, row in enumerate(content):
        if not isinstance(row, dict):
            raise RequestError(f"instances[{number}] is an object of inputs. Received: {_short(row)}.")
        _check_names(row, specs, place=f"instances[{number}]")
    return {name: [row[name] for row in content] for name in specs}


def _is_once(spec: Any) -> bool:
    """Whether an input is one for the whole request: it has no rows, or always the same number of them."""
    return spec.shape.rank == 0 or spec.shape[0] is not None


def _columns(content: Any, specs: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(content, dict):
        if len(specs) == 1:
            return {next(iter(specs)): content}
        raise RequestError(f"inputs is an object with one list per column. Received: {_short(content)}.")
    _check_names(content, specs, place="inputs")
    return {name: content[name] for name in specs}


def _check_names(given: Mapping[str, Any], specs: Mapping[str, Any], *, place: str) -> None:
    missing = [name for name in specs if name not in given]
    unknown = [name for name in given if name not in specs]
    if missing or unknown:
        lines = [f"lacks {', '.join(missing)}"] if missing else []
        lines += [f"has {', '.join(map(repr, unknown))}, which the signature does not take"] if unknown else []
        raise RequestError(
            f"{place} {' and '.join(lines)}. Every input is required; a missing value is written as "
            "assets/inputs.json says."
        )


def _array(name: str, values: Any, spec: Any) -> Array:
    dtype = spec.dtype.as_numpy_dtype
    text = spec.dtype.name == "string"
    flat: list[Any] = []
    shape = _shape_of(values, flat)
    if any(value is None for value in flat):
        raise RequestError(
            f"Input {name!r} has a null, which TensorFlow Serving does not accept. Write a missing value as the value "
            "of `absent` in assets/inputs.json, NaN without quotation marks."
        )
    if shape is None:
        raise RequestError(
            f"Input {name!r} has rows of different width: pad them on the right to one width with the "
            "value that assets/inputs.json calls absent."
        )
    if len(shape) != spec.shape.rank or not spec.shape.is_compatible_with(shape):
        raise RequestError(f"Input {name!r} has the shape {_dims(spec.shape)}. Received: {_dims(shape)}.")
    array = np.empty(len(flat), dtype=object if text else dtype)
    for index, value in enumerate(flat):
        array[index] = _text(name, value) if text else _number(name, value, np.dtype(dtype))
    return array.reshape(shape)


def _shape_of(values: Any, flat: list[Any]) -> tuple[int, ...] | None:
    """The shape of nested lists, whose leaves are appended to `flat`; `None` if they are ragged."""
    if not isinstance(values, list):
        flat.append(values)
        return ()
    shapes = {_shape_of(item, flat) for item in values}
    if len(shapes) > 1 or None in shapes:
        return None
    inner = next(iter(shapes), ())
    assert inner is not None  # noqa: S101
    return (len(values), *inner)


def _number(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RequestError(f"Input {name!r} takes numbers ({dtype}). Received: {_short(value)}.")
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        if not isinstance(value, int) or not limits.min <= value <= limits.max:
            raise RequestError(f"Input {name!r} takes whole numbers ({dtype}). Received: {_short(value)}.")
    return value


def _text(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error:
            raise RequestError(f"Input {name!r}: this is not base64. Received: {_short(value['b64'])}.") from None
    raise RequestError(f'Input {name!r} takes text, or bytes as {{"b64": "..."}}. Received: {_short(value)}.')


def _plain(array: Array) -> Any:
    if array.dtype == object:
        return np.frompyfunc(_json_text, 1, 1)(array).tolist()
    return array.tolist()


def _json_text(value: Any) -> Any:
    raw = value if isinstance(value, bytes) else str(value).encode()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode()}


def _dims(shape: Any) -> str:
    return "[" + ", ".join("any" if size is None else str(size) for size in tuple(shape)) + "]"


def _short(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return f"{shown[:60]}..." if len(shown) > 60 else shown
