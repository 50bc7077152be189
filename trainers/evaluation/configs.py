"""Configurations of evaluation, prediction, export and scoring a request."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal

from fullrank.models.options.setting import REQUIRED, check_settings, setting
from fullrank.trainers.evaluation.prediction_file import check_output


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """The run that is evaluated, the data, and the output."""

    run: str = setting(REQUIRED, "Run directory, whose best weights are evaluated.")
    best_of: str | None = setting(
        None, "Task whose own best weights are evaluated, of a run that was trained with --best_of_tasks."
    )
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("test", "Split to evaluate on.")
    input: str | None = setting(
        None,
        "Instead of --data: files to evaluate on, a path or a quoted pattern. Tables (.csv, .parquet, .jsonl and what "
        "fullrank convert reads) are converted as it would; anything else is read as record files.",
    )
    log: str | None = setting(
        None,
        "With tables in --input: tables of earlier rows, from which histories, counts and rates come if the model's "
        "schema.json declares any.",
    )
    json: str | None = setting(None, "File to write all metrics to, including those of segments.")
    output: str | None = setting(None, "Directory to write figures to: reliability, ROC, and one for each segment.")
    key: str | None = setting(None, "Column that GAUC groups by; the schema's first key if not given.")
    segments: tuple[str, ...] = setting(
        (), "Columns whose values are also reported separately; the schema's segments if not given."
    )
    duplicates: str | None = setting(
        None,
        "Columns of item and group, as ad_id:creative: reports how much the scores of items of one group differ in the "
        "same context.",
    )
    baseline: str | None = setting(
        None, "Another run directory: reports the NE gain over it, on all examples and every segment, with a bootstrap."
    )
    min_segment_keys: int = setting(
        30, "Least number of keys that a segment needs to be reported as the worst against --baseline.", minimum=30
    )
    batch_size: int = setting(4096, "Examples scored at once.", minimum=1)
    on_bad_record: Literal["fail", "skip"] = setting("fail", "What to do with a record or row that cannot be read.")
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of them is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Validates the settings, alone and together."""
        check_settings(self)
        if self.data is not None and self.input is not None:
            raise ValueError(
                "give either --data (a directory of records) or --input (tables or record files), not both."
            )
        if self.log is not None and self.input is None:
            raise ValueError("--log, the earlier rows, takes effect only with tables in --input: give them, too.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """The model that scores, the data, and the output."""

    run: str | None = setting(None, "Run directory, whose best weights predict.")
    export: str | None = setting(
        None, "Instead of --run: directory of an export: one version, or all of them, of which the last predicts."
    )
    best_of: str | None = setting(
        None, "Task whose own best weights predict, of a run that was trained with --best_of_tasks."
    )
    output: str = setting(REQUIRED, "File to write, .parquet or .csv; - writes CSV to standard output.")
    data: str | None = setting(None, "Directory of records to score; where the run was trained if not given.")
    split: str = setting("test", "Split of --data to score.")
    input: str | None = setting(
        None,
        "Instead of --data: files to score, a path or a quoted pattern. Tables (.csv, .parquet, .jsonl and what "
        "fullrank convert reads) are converted as it would; they need the columns that the model reads, and no "
        "label. Anything else is read as record files.",
    )
    log: str | None = setting(
        None,
        "With tables in --input: tables of earlier rows, from which histories, counts and rates come if the model's "
        "schema.json declares any.",
    )
    columns: tuple[str, ...] = setting(
        (),
        "Columns to copy into the output in addition to keys and labels; for tables any column, as text if the "
        "model's schema.json does not name it.",
    )
    overwrite: bool = setting(False, "Replace --output if it exists.")
    batch_size: int = setting(4096, "Examples scored at once.", minimum=1)
    on_bad_record: Literal["fail", "skip"] = setting(
        "fail",
        "What to do with a record or row that cannot be read. Skipped rows of tables are counted, and listed in the "
        "file OUTPUT.rejects.csv.",
    )
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of them is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Validates the settings, alone and together."""
        check_settings(self)
        check_output(self.output)
        if (self.run is None) == (self.export is None):
            raise ValueError("give either --run (a run directory) or --export (the directory of an export).")
        if self.best_of is not None and self.run is None:
            raise ValueError("--best_of takes effect only with --run: an export has one set of weights.")
        if self.data is not None and self.input is not None:
            raise ValueError(
                "give either --data (a directory of records) or --input (tables or record files), not both."
            )
        if self.log is not None and self.input is None:
            raise ValueError("--log, the earlier rows, takes effect only with tables in --input: give them, too.")

    @property
    def rejects(self) -> Path:
        """The file that lists the rows of tables that were left out."""
        return Path(f"{self.output}.rejects.csv")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """The run that is exported, the output, and the warm-up requests."""

    run: str = setting(REQUIRED, "Run directory, whose best weights are exported.")
    best_of: str | None = setting(
        None, "Task whose own best weights are exported, of a run that was trained with --best_of_tasks."
    )
    output: str = setting(REQUIRED, "Directory of the served model; each export is a numbered version below it.")
    version: int | None = setting(
        None, "Version to write; one more than the largest existing one if not given.", minimum=1
    )
    warmup: Literal["auto", "records", "statistics"] = setting(
        "auto",
        "Rows of the warm-up requests, which are stored in the export: the first ones of the validation split, or rows "
        "drawn from the schema's statistics; auto uses records if they can be read.",
    )
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    format: Literal["saved_model", "onnx"] = setting(
        "saved_model",
        "What is written: a SavedModel, or with onnx also model.onnx next to it, for ONNX Runtime and other runtimes.",
    )
    weights: Literal["float32", "bfloat16", "int8"] = setting(
        "float32",
        "What weights are stored as: int8 for tables (a third of the bytes, with a scale per row), bfloat16 for "
        "tables and products (half the bytes; fast on processors with bfloat16 units, slow on others). Compared with "
        "float32 on the validation split before anything is written.",
    )
    expire_days: tuple[str, ...] = setting(
        (),
        "Tables whose ids are left out unless a training example of the last N days names them, in their own column or "
        "in a history: item_id:30,creative_id:7. The export reads such an id as unknown. Compared with all ids on the "
        "validation split before anything is written.",
    )
    max_auc_loss: float = setting(
        0.0005,
        "With --weights or --expire_days: refuse the export if the AUC of a task falls by more than this.",
        minimum=0,
    )
    max_difference: float = setting(
        0.02,
        "With --weights: refuse the export if a prediction changes by more than this, relative to those above 1.",
        minimum=0,
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        for name in ("run", "output"):
            if not getattr(self, name):
                raise ValueError(f"--{name} cannot be empty.")
        if self.weights != "float32" and self.format == "onnx":
            raise ValueError(
                f"--weights={self.weights} is for --format=saved_model: ONNX files are written with float32 weights."
            )
        days, exact = self.days_of_tables, self.weights == "float32"
        if exact and self.max_difference != 0.02:
            raise ValueError("--max_difference takes effect only with --weights=int8 or bfloat16.")
        if exact and not days and self.max_auc_loss != 0.0005:
            raise ValueError("--max_auc_loss takes effect only with --weights=int8 or bfloat16, or --expire_days.")
        if self.data is not None and self.warmup == "statistics" and exact and not days:
            raise ValueError("--data has no effect with --warmup=statistics.")

    @property
    def days_of_tables(self) -> dict[str, float]:
        """Table -> after how many days without use its ids are left out."""
        found = {}
        for text in self.expire_days:
            name, _, days = text.rpartition(":")
            try:
                found[name] = float(days)
            except ValueError:
                found[name] = math.nan
            if not name or not 0 < found[name] < math.inf:
                raise ValueError(f"--expire_days: {text!r} is not table:days, such as item_id:30.")
        if len(found) != len(self.expire_days):
            raise ValueError(f"--expire_days names a table twice. Received: {','.join(self.expire_days)}.")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequestConfig:
    """The export that is called, and the request."""

    export: str = setting(REQUIRED, "Directory of an export: one version, or all of them, of which the last is used.")
    json: str | None = setting(
        None, "File with a request for TensorFlow Serving's REST interface; - reads standard input."
    )
    signature: str | None = setting(
        None, "Signature to call; the request's own signature_name, or serving_default, if not given."
    )
    example: int = setting(0, "Print an example request of this many rows, and score nothing.", minimum=0)
    format: Literal["row", "column"] = setting(
        "row", "Form of the example: instances, one object per row, or inputs, one list per column."
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.export:
            raise ValueError("--export cannot be empty.")
        if (self.json is None) == (self.example == 0):
            raise ValueError(
                "Give either --json=FILE, the request to score, or --example=N, to print an example request of N rows."
            )
