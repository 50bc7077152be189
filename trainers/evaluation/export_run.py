"""Exports the best weights of a run for TensorFlow Serving."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from typing import Any, Final

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.models.serving import Exported, export_model
from fullrank.models.serving.export import WARMUP_ROWS, Judge, check_free
from fullrank.models.serving.one_user import why_no_request
from fullrank.models.serving.onnx_graph import require_onnx
from fullrank.models.serving.request_inputs import input_specs
from fullrank.models.serving.sample_rows import Rows, drawn_rows, recorded_rows
from fullrank.trainers.evaluation.configs import ExportConfig
from fullrank.trainers.evaluation.expiry import without_expired
from fullrank.trainers.evaluation.export_loss import Change, check_loss, loss_lines, measured_loss
from fullrank.trainers.evaluation.scored_input import RecordInput
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import LoadedRun, load_run

EXPIRED_ASSET: Final = "expired_ids.json"
_COLUMNS: Final = ("signature", "rows", "ms", "difference")


def export_run(config: ExportConfig) -> Exported:
    """Exports, and prints inputs, outputs and the time of each warm-up request.

    Raises:
      ValueError: If there is no trained run, the version exists, the export's outputs differ from the model's, or a
        smaller model is worse than the one that was trained by more than the limits.
      OSError: If it cannot be written.
    """
    check_free(config.output, config.version)
    if config.format == "onnx":
        require_onnx()
    loaded = load_run(config.run, best_of=config.best_of)
    days = config.days_of_tables
    if not days:
        return _export(config, loaded)
    with without_expired(loaded, days=days, records=_records(config, loaded)) as shortened:
        print(shortened)
        change = Change(flag=f"--expire_days={','.join(config.expire_days)}", before="all_ids", auc=config.max_auc_loss)
        models = (_predicting(loaded.model), _predicting(shortened.loaded.model))
        measured = _judged(config, loaded, change=change, models=models)
        tables = [dataclasses.asdict(each) for each in shortened.tables]
        described = {"tables": tables, "undated_examples": shortened.undated, **measured}
        return _export(config, shortened.loaded, more={EXPIRED_ASSET: described})


def _predicting(model: Ranker) -> Ranker:
    """The model as it is exported: without tasks that only help it to learn."""
    return model.without(tasks=model.wiring.auxiliary) if model.wiring.auxiliary else model


def _export(config: ExportConfig, loaded: LoadedRun, *, more: Mapping[str, Any] | None = None) -> Exported:
    onnx = config.format == "onnx"
    exported = export_model(
        loaded.model,
        output=config.output,
        rows=_warmup_rows(config, loaded),
        version=config.version,
        onnx=onnx,
        weights=config.weights,
        judge=_judge(config, loaded),
        more=more,
    )
    inputs, wiring = input_specs(loaded.schema), loaded.model.wiring
    tasks = [task for task in wiring.tasks if task not in wiring.auxiliary]
    print(f"{exported.path}: {', '.join(tasks)} from {', '.join(inputs)}")
    print(format_table(rows=[_row(replayed) for replayed in exported.replayed], columns=_COLUMNS))
    missing = why_no_request(loaded.model)
    if missing is not None:
        print(f"Signature serving_request is left out: {missing}.")
    print(f"Next: fullrank request --export={shlex.quote(config.output)} --example=2")
    return exported


def _row(replayed: object) -> dict[str, object]:
    return {**vars(replayed), "ms": vars(replayed)["seconds"] * 1e3}


def _warmup_rows(config: ExportConfig, loaded: LoadedRun) -> Rows:
    number = max(WARMUP_ROWS)
    if config.warmup != "statistics":
        try:
            return _recorded(config, loaded, number)
        except (ValueError, OSError) as error:
            if config.warmup == "records" or config.data is not None:
                raise
            print(f"Warm-up requests are drawn from the schema's statistics: {error}", file=sys.stderr)
    return drawn_rows(loaded.schema, number=number)


def _judge(config: ExportConfig, loaded: LoadedRun) -> Judge:
    """Measures what weights in fewer bytes cost."""
    change = Change(
        flag=f"--weights={config.weights}", before="float32", auc=config.max_auc_loss, difference=config.max_difference
    )
    return lambda before, after: _judged(config, loaded, change=change, models=(before, after))


def _judged(
    config: ExportConfig, loaded: LoadedRun, *, change: Change, models: tuple[Ranker, Ranker]
) -> dict[str, Any]:
    """Measures on the validation split what a change of the model costs, prints it, and refuses too much."""
    before, after = models
    schema, split = _compared(config, loaded)
    columns = (*(column.name for column in before.schema.input_columns), *before.outputs.rows.label_columns)
    check_same_columns(loaded.directory.schema(), schema, columns=columns)
    source = RecordInput(schema=schema, split=split, title=f"the {split} split of {schema.directory}")
    measured = measured_loss(
        before,
        after,
        change=change,
        source=source,
        config=loaded.config.data,
        cache=loaded.directory.repaired,
        weight=loaded.schema.weight,
    )
    print(loss_lines(measured, change=change))
    check_loss(measured, change=change)
    return measured


def _recorded(config: ExportConfig, loaded: LoadedRun, number: int) -> Rows:
    schema, split = _compared(config, loaded)
    columns = loaded.schema.input_columns
    check_same_columns(loaded.schema, schema, columns=[column.name for column in columns])
    return recorded_rows(schema, split=split, number=number, columns=columns)


def _compared(config: ExportConfig, loaded: LoadedRun) -> tuple[Schema, str]:
    """The records, and their validation split, or if there is none, the one that was trained on."""
    schema = _records(config, loaded)
    named = loaded.config.data.validation_split
    split = named if named in [split.name for split in schema.splits] else loaded.config.data.train_split
    return schema, split


def _records(config: ExportConfig, loaded: LoadedRun) -> Schema:
    return read_schema(config.data if config.data is not None else loaded.config.data.data)
