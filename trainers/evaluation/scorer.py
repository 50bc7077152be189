"""What scores: the best weights of a run, or an export."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fullrank.data.schema import Schema
from fullrank.trainers.served_model import ServedModel
from fullrank.trainers.training.load_run import load_run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scorer:
    """A model and what belongs to it.

    Attributes:
      model: Has a `schema`, and makes `{output: values [B]}` of a batch.
      schema: Of the data that it was trained on; all features of a run's, those that the model reads of an export's.
      columns: Output of the model -> column of the predictions.
      data: Directory of the records that it was trained on; `None` where that is not known.
      cache: Where repaired copies of records are kept; `None` for nowhere.
    """

    model: Any
    schema: Schema
    columns: dict[str, str]
    data: str | None
    cache: Path | None


def scorer_of_run(path: str) -> Scorer:
    """The best weights of a run."""
    loaded = load_run(path)
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
