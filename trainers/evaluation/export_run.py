"""Exports the best weights of a run for TensorFlow Serving."""

from __future__ import annotations

import shlex
import sys
from typing import Any

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
from fullrank.trainers.evaluation.compact_loss import Limits, check_loss, loss_lines, measured_loss
from fullrank.trainers.evaluation.configs import EvaluateConfig, ExportConfig
from fullrank.trainers.evaluation.scored_input import RecordInput
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import LoadedRun, load_run


def export_run(config: ExportConfig) -> Exported:
    """Exports, and prints inputs, outputs and the time of each warm-up request.

    Raises:
      ValueError: If there is no trained run, the version exists, the export's outputs differ from the model's, or those
        of weights in fewer bytes from float32's by more than the limits.
      OSError: If it cannot be written.
    """
    check_free(config.output, config.version)
    onnx = config.format == "onnx"
    if onnx:
        require_onnx()
    loaded = load_run(config.run, best_of=config.best_of)
    exported = export_model(
        loaded.model,
        output=config.output,
        rows=_warmup_rows(config, loaded),
        version=config.version,
        onnx=onnx,
        weights=config.weights,
        judge=_judge(config, loaded),
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


_COLUMNS = ("signature", "rows", "ms", "difference")


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
    """Measures on the validation split what weights in fewer bytes cost, prints it, and refuses too much."""

    def judged(before: Ranker, after: Ranker) -> dict[str, Any]:
        schema, split = _records(config, loaded)
        outputs = before.outputs
        columns = (*(column.name for column in before.schema.input_columns), *outputs.rows.label_columns)
        check_same_columns(loaded.directory.schema(), schema, columns=columns)
        source = RecordInput(schema=schema, split=split, title=f"the {split} split of {schema.directory}")
        reading = EvaluateConfig(run=config.run)
        measured = measured_loss(before, after, source=source, config=reading, weight=loaded.schema.weight)
        print(loss_lines(measured, weights=config.weights))
        limits = Limits(auc=config.max_auc_loss, difference=config.max_difference)
        check_loss(measured, limits=limits, weights=config.weights)
        return measured

    return judged


def _recorded(config: ExportConfig, loaded: LoadedRun, number: int) -> Rows:
    schema, split = _records(config, loaded)
    columns = loaded.schema.input_columns
    check_same_columns(loaded.schema, schema, columns=[column.name for column in columns])
    return recorded_rows(schema, split=split, number=number, columns=columns)


def _records(config: ExportConfig, loaded: LoadedRun) -> tuple[Schema, str]:
    """The records, and their validation split, or if there is none, the one that was trained on."""
    schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
    named = loaded.config.data.validation_split
    split = named if named in [split.name for split in schema.splits] else loaded.config.data.train_split
    return schema, split
