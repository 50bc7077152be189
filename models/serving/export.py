"""Exports a model: fused for serving, written under a temporary name, replayed, and only then put in place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import tensorflow as tf

from fullrank.data.files.scratch import clear_leftovers
from fullrank.data.files.write_aside import written_aside
from fullrank.data.schema.schema import Schema
from fullrank.models.ranker import Ranker
from fullrank.models.serving.check import Replayed, check_export
from fullrank.models.serving.compact import Weights, for_serving
from fullrank.models.serving.onnx_graph import check_convertible, check_onnx, require_onnx, write_onnx
from fullrank.models.serving.sample_rows import Rows, take
from fullrank.models.serving.saved_model import write_saved_model
from fullrank.models.serving.signatures import served, serving_signatures
from fullrank.models.serving.warmup import Request, write_warmup
from fullrank.models.table_layout import table_layout

Judge = Callable[[Ranker, Ranker], dict[str, Any]]
"""From a model in float32 and its copy in fewer bytes to what has changed, as JSON values; raises to refuse it."""

WEIGHTS_ASSET: Final = "weights.json"
WARMUP_ROWS: Final = (1, 100, 500)
"""Rows of the warm-up requests; each number of rows is one request for each signature."""


class Fusible(Protocol):
    """A model that can return an equal model with fewer table variables, as `fullrank.models.Ranker` can."""

    schema: Schema

    def __call__(self, batch: dict[str, tf.Tensor], training: bool | None = None) -> dict[str, tf.Tensor]:
        """Returns `{task: probability [B]}`."""

    def merged(self, *, table_variables: int | None) -> Any:
        """The model with its tables in another number of variables."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """The result of an export.

    Attributes:
      path: The version directory.
      replayed: One entry per warm-up request, and one for `model.onnx`.
    """

    path: Path
    replayed: tuple[Replayed, ...]


def export_model(
    model: Fusible,
    *,
    output: str | Path,
    rows: Rows,
    version: int | None = None,
    tolerance: float | None = None,
    onnx: bool = False,
    weights: Weights = "float32",
    judge: Judge | None = None,
    more: Mapping[str, Any] | None = None,
) -> Exported:
    """Writes `output/<version>/` for TensorFlow Serving.

    The SavedModel is written to a directory next to it whose name is not a version, replayed from there in a process
    without fullrank, and renamed once its predictions equal the model's. A failed export leaves no version behind. With
    weights in fewer bytes, it has to predict what the model with these weights does; `judge` says what that costs.

    Args:
      model: What to export; the auxiliary tasks of a `Ranker` are left out ([Tencent] §5.2).
      output: The model's directory; each export is a version below it.
      rows: Rows to warm up and to compare with.
      version: A number that does not exist yet; `None` for the next one.
      tolerance: Largest difference allowed in a probability; `None` for 1e-5, or 0.02 where the model computes in half
        precision, whose rounding depends on the order of operations.
      onnx: Whether to write `model.onnx`, too, of a `Ranker`.
      weights: What the weights of a `Ranker` are stored as; see `compact.for_serving`.
      judge: Called before anything is written, if weights are stored in fewer bytes; what it returns is written to
        `assets/weights.json`.
      more: Name of a further file in `assets/` -> its JSON values.

    Raises:
      ValueError: If the version exists or is not a positive number, ONNX cannot hold the model, or a weight that is to
        be stored in fewer bytes is not finite.
      ExportMismatchError: If the SavedModel does not predict what the model does.
      OSError: If it cannot be written.
    """
    target = check_free(output, version)
    if weights != "float32" and (onnx or not isinstance(model, Ranker)):
        raise ValueError(f"weights={weights!r} is for the SavedModel of a Ranker, and not for ONNX.")
    if isinstance(model, Ranker) and model.wiring.auxiliary:
        model = model.without(tasks=model.wiring.auxiliary)
    if onnx:
        require_onnx()
        if not isinstance(model, Ranker):
            raise ValueError(f"Only a Ranker is exported as ONNX. Received: {type(model).__name__}.")
        check_convertible(model)
    with written_aside(target, overwrite=False, made_of="saved_model.pb") as aside:
        fused = _fused(model, weights)
        assets = dict(more or {})
        if weights != "float32":
            changed = {} if judge is None else judge(_in_float32(model), fused)
            assets[WEIGHTS_ASSET] = {"weights": weights, **changed}
        exact = model if weights == "float32" else fused
        tolerance = _tolerance(exact) if tolerance is None else tolerance
        requests, expected = _requests(exact, rows)
        write_saved_model(
            aside,
            model=fused,
            signatures=serving_signatures(fused, model.schema),
            schema=model.schema,
            layout=table_layout(fused) if isinstance(fused, Ranker) else None,
            more=assets,
        )
        write_warmup(aside, requests)
        replayed = check_export(aside, expected=expected, tolerance=tolerance)
        if onnx and isinstance(fused, Ranker):
            write_onnx(aside, model=fused, schema=model.schema)
            number = max(WARMUP_ROWS)
            sample = take(rows, number=number, columns=model.schema.input_columns)
            answers = next(a for s, a in expected if s == "serving_default" and len(next(iter(a.values()))) == number)
            replayed.append(check_onnx(aside, schema=model.schema, rows=sample, expected=answers, tolerance=tolerance))
        # Another export may have taken the version in the meantime.
        check_free(output, int(target.name))
    return Exported(path=target, replayed=tuple(replayed))


def _fused(model: Any, weights: Weights) -> Any:
    if isinstance(model, Ranker):
        return for_serving(model, weights=weights)
    return model.merged(table_variables=1)


def _in_float32(model: Any) -> Any:
    return model.merged(table_variables=1) if _computes_in_half(model) else model


def check_free(output: str | Path, version: int | None) -> Path:
    """The directory that an export would become; where there is one, clears what killed exports left next to it.

    Raises:
      ValueError: If the version exists or is not a positive number.
    """
    version = next_version(output) if version is None else version
    target = Path(output) / str(version)
    if version < 1:
        raise ValueError(f"A version is a positive number. Received: {version}.")
    if target.exists():
        clear_leftovers(target)
        raise ValueError(f"{target} exists already: choose another version, or leave it out for the next one.")
    return target


def next_version(output: str | Path) -> int:
    """One more than the largest version in a model's directory; 1 if there is none."""
    output = Path(output)
    names = [path.name for path in output.iterdir()] if output.is_dir() else []
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0) + 1


def _requests(model: Fusible, rows: Rows) -> tuple[list[Request], list[tuple[str, dict[str, np.ndarray[Any, Any]]]]]:
    """Requests of each size for each signature, and the model's own predictions for them."""
    schema = model.schema
    requests: list[Request] = []
    expected: list[tuple[str, dict[str, np.ndarray[Any, Any]]]] = []
    for number in WARMUP_ROWS:
        batch = take(rows, number=number, columns=schema.input_columns)
        tensors = {name: tf.constant(values) for name, values in batch.items()}
        answers: dict[Any, dict[str, np.ndarray[Any, Any]]] = {}
        for name, each in served(model).items():
            requests.append((name, each.request(schema, batch)))
            if each.expected not in answers:  # signatures that differ in their inputs share an answer
                answers[each.expected] = {k: value.numpy() for k, value in each.expected(model, tensors).items()}
            expected.append((name, answers[each.expected]))
    return requests, expected


def _tolerance(model: Any) -> float:
    return 0.02 if _computes_in_half(model) else 1e-5


def _computes_in_half(model: Any) -> bool:
    policies: Sequence[Any] = [
        layer.compute_dtype for layer in getattr(model, "submodules", ()) if hasattr(layer, "compute_dtype")
    ]
    return any(policy in ("bfloat16", "float16") for policy in policies)
