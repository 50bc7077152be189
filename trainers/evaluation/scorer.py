"""Models that score: the best weights of a run, or an export, called with batches of records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.models.serving.request_inputs import input_name
from fullrank.models.serving.rest import DEFAULT_SIGNATURE
from fullrank.trainers.run.weights import READING_ERRORS, reason
from fullrank.trainers.training.load_run import load_run

_ASSETS: Final = "assets"
_SAVED_MODEL: Final = "saved_model.pb"


class ServedModel:
    """The signature `serving_default` of an export, called as a `Ranker` is.

    Args:
      directory: A version of an export, or the directory of its versions, of which the last one is used.

    Attributes:
      directory: The version.
      schema: Schema of the data that the model was trained on, with the features that it reads.
      outputs: Names of its outputs.

    Raises:
      ValueError: If there is no export, or it cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = version_directory(directory)
        self.schema: Schema = read_schema(self.directory / _ASSETS)
        try:
            # A signature is alive only as long as its model is.
            self._loaded: Any = tf.saved_model.load(str(self.directory))
            self._signature: Any = self._loaded.signatures[DEFAULT_SIGNATURE]
        except (KeyError, *READING_ERRORS) as error:
            raise ValueError(
                f"The export {self.directory} cannot be read: {reason(error)}. Copy it again, or export the run again."
            ) from error
        self.outputs: tuple[str, ...] = tuple(sorted(self._signature.structured_outputs))

    def __call__(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Scores a batch of columns: output -> `[B]`."""
        del training
        inputs = {input_name(column.name): batch[column.name] for column in self.schema.input_columns}
        answers: dict[str, tf.Tensor] = self._signature(**inputs)
        return answers


def version_directory(directory: Path) -> Path:
    """The directory itself if it is one version of an export, else the largest version in it.

    Raises:
      ValueError: If there is no export.
    """
    directory = directory.expanduser()
    if (directory / _SAVED_MODEL).is_file():
        return directory
    versions = [path.parent for path in directory.glob(f"*/{_SAVED_MODEL}") if path.parent.name.isdecimal()]
    if not versions:
        raise ValueError(
            f"--export={directory}: there is no export here, neither {_SAVED_MODEL} nor a version with one."
        )
    return max(versions, key=lambda path: int(path.name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scorer:
    """A model with its schema and data.

    Attributes:
      model: Has a `schema`, and maps a batch to `{output: values [B]}`.
      schema: Schema of the data that it was trained on: for a run with all features, for an export with those that the
        model reads.
      columns: Output of the model -> column of the predictions.
      data: Directory of the records that it was trained on; `None` where that is not known.
      cache: Where repaired copies of records are kept; `None` if they are not kept.
    """

    model: Any
    schema: Schema
    columns: dict[str, str]
    data: str | None
    cache: Path | None


def scorer_of_run(path: str, *, best_of: str | None = None) -> Scorer:
    """The best weights of a run, or those that are best for one task."""
    loaded = load_run(path, best_of=best_of)
    outputs, tasks = loaded.model.outputs, loaded.model.wiring.tasks
    kinds = {task: "mean" if n in outputs.values else "probability" for n, task in enumerate(tasks)}
    return Scorer(
        model=loaded.model,
        schema=loaded.directory.schema(),
        columns=_columns(outputs.names, kinds),
        data=loaded.config.data.data,
        cache=loaded.directory.repaired,
    )


def scorer_of_export(path: str) -> Scorer:
    """The last version of an export."""
    served = ServedModel(Path(path))
    labels = {label.name: label.type for label in served.schema.labels}
    kinds = {name: "mean" if labels[name] == "value" else "probability" for name in served.outputs if name in labels}
    return Scorer(model=served, schema=served.schema, columns=_columns(served.outputs, kinds), data=None, cache=None)


def _columns(outputs: tuple[str, ...], kinds: dict[str, str]) -> dict[str, str]:
    return {name: f"{name}_{kinds[name]}" if name in kinds else name for name in outputs}
