"""Writes a cascade: one SavedModel of the whole, and one of each stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.files.write_aside import written_aside
from fullrank.data.schema.schema import Schema
from fullrank.models.retrieval.cascade import Cascade, further_inputs
from fullrank.models.serving.check import Replayed, check_export
from fullrank.models.serving.export import check_free
from fullrank.models.serving.input_guide import input_guide
from fullrank.models.serving.request_inputs import input_name
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.models.serving.saved_model import write_saved_model
from fullrank.models.serving.warmup import Request, write_warmup

PARTS: Final = "parts"
_WARMUP_ROWS: Final = (1, 8)
_TOLERANCE: Final = 1e-5
Answers = dict[str, np.ndarray[Any, Any]]


def write_cascade(cascade: Cascade, target: Path, *, output: str, parts: bool) -> list[Replayed]:
    """Writes the SavedModel with all signatures, replayed in a process without fullrank before it is put in place.

    Args:
      cascade: What to write.
      target: The version's directory.
      output: The directory above it.
      parts: Whether each stage becomes a SavedModel of its own, too: `parts/STAGE/1/` with one signature,
        `serving_default`.

    Returns:
      One entry for each warm-up request to the whole.

    Raises:
      ExportMismatchError: If it does not answer in the other process what it answers here.
    """
    signatures = cascade.signatures()
    requests, expected = _requests(cascade, signatures)
    schema, guide = _read_by_all(cascade)
    with written_aside(target, overwrite=False, made_of="saved_model.pb") as aside:
        write_saved_model(aside, model=cascade, signatures=signatures, schema=schema, guide=guide)
        write_warmup(aside, requests)
        replayed = check_export(aside, expected=expected, tolerance=_TOLERANCE)
        for stage in cascade.stages if parts else ():
            part = aside / PARTS / stage / "1"
            alone = {"serving_default": signatures[stage]}
            write_saved_model(part, model=cascade, signatures=alone, schema=schema, guide=guide)
            write_warmup(part, [("serving_default", inputs) for name, inputs in requests if name == stage])
        check_free(output, int(target.name))
    return replayed


def _read_by_all(cascade: Cascade) -> tuple[Schema, list[dict[str, Any]]]:
    """The schema of the stage that reads most columns, and what each input is."""
    wanted = {input_name(column.name) for column in cascade.query_columns}
    schemas = cascade.schemas.values()
    guides = {each["input"]: each for schema in schemas for each in input_guide(schema) if each["input"] in wanted}
    return max(schemas, key=lambda schema: len(schema.input_columns)), list(guides.values())


def _requests(cascade: Cascade, signatures: dict[str, Any]) -> tuple[list[Request], list[tuple[str, Answers]]]:
    """Requests of each signature and size, and what it answers here."""
    requests: list[Request] = []
    expected: list[tuple[str, Answers]] = []
    concrete = {name: signature.get_concrete_function() for name, signature in signatures.items()}
    for number in _WARMUP_ROWS:
        drawn: dict[str, Any] = {}
        for schema in cascade.schemas.values():
            drawn |= {name: values for name, values in drawn_rows(schema, number=number).items() if name not in drawn}
        inputs = {input_name(column.name): drawn[column.name] for column in cascade.query_columns}
        tensors = {name: tf.constant(v.tolist() if v.dtype == object else v) for name, v in inputs.items()}
        retrieved = concrete["retrieve"](tensors)
        for name, signature in concrete.items():
            more = further_inputs(name, retrieved)
            answer = signature({**tensors, **{key: tf.constant(value) for key, value in more.items()}})
            requests.append((name, {**inputs, **more}))
            expected.append((name, {key: value.numpy() for key, value in answer.items()}))
    return requests, expected
