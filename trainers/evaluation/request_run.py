"""Scores one request with an export, or prints an example of one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

from fullrank.models.serving.one_user import REQUEST_ENDING
from fullrank.models.serving.rest import DEFAULT_SIGNATURE, answer_json, inputs_of, parse_body, request_json
from fullrank.models.serving.uncertain import SEED_INPUT
from fullrank.models.serving.warmup import WARMUP_FILE, read_warmup
from fullrank.trainers.evaluation.configs import RequestConfig
from fullrank.trainers.evaluation.scorer import version_directory


def request_run(config: RequestConfig) -> None:
    """Prints the answer to the request, or an example request.

    Raises:
      ValueError: If there is no export, no such signature, or the request is invalid for it.
      OSError: If the request cannot be read.
    """
    directory = version_directory(Path(config.export))
    if config.example:
        print(json.dumps(_example(config, directory), ensure_ascii=False, indent=1))
        return
    assert config.json is not None  # noqa: S101
    text = sys.stdin.read() if config.json == "-" else Path(config.json).expanduser().read_text(encoding="utf-8")
    form, named, content = parse_body(text)
    # A signature is alive only as long as its model is.
    model = tf.saved_model.load(str(directory))
    signature = _signature(model, directory, config.signature or named or DEFAULT_SIGNATURE)
    _, specs = signature.structured_input_signature
    arrays = inputs_of(content, form=form, specs=specs)
    tensors = {name: tf.constant(values, specs[name].dtype) for name, values in arrays.items()}
    outputs = {name: value.numpy() for name, value in sorted(signature(**tensors).items())}
    print(json.dumps(answer_json(outputs, form=form), ensure_ascii=False))


def _example(config: RequestConfig, directory: Path) -> dict[str, Any]:
    """A request of `config.example` rows, taken from the warm-up requests of the export."""
    wanted = config.signature or DEFAULT_SIGNATURE
    if not (directory / WARMUP_FILE).is_file():
        raise ValueError(f"{directory} has no {WARMUP_FILE}, from which examples are taken.")
    found: dict[str, int] = {}
    for name, inputs in read_warmup(directory):
        # A seed and the columns of the user are one for the whole request.
        rows = max(len(value) for key, value in inputs.items() if value.ndim and key != SEED_INPUT)
        found[name] = max(found.get(name, 0), rows)
        if name == wanted and rows >= config.example:
            of_rows = [k for k, v in inputs.items() if v.ndim and k != SEED_INPUT and len(v) == rows]
            cut = {k: v[: config.example] if k in of_rows else v for k, v in sorted(inputs.items())}
            whole = SEED_INPUT in inputs or name.endswith(REQUEST_ENDING)
            return request_json(cut, form="column" if whole else config.format, signature=wanted)
    if wanted in found:
        raise ValueError(
            f"--example={config.example}: {directory} has example requests of at most {found[wanted]} rows."
        )
    raise ValueError(f"{directory} has no signature {wanted!r}. Known: {', '.join(sorted(found))}.")


def _signature(model: Any, directory: Path, name: str) -> Any:
    if name not in model.signatures:
        raise ValueError(f"{directory} has no signature {name!r}. Known: {', '.join(sorted(model.signatures))}.")
    return model.signatures[name]
