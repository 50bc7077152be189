"""What a prediction is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from fullrank.trainers.config.setting import REQUIRED, check_settings, setting
from fullrank.trainers.evaluation.prediction_file import check_output


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """What scores what, and where the scores go."""

    run: str | None = setting(None, "Run directory, whose best weights predict.")
    export: str | None = setting(
        None, "Instead of --run: directory of an export, one version or all of them, of which the last predicts."
    )
    output: str = setting(REQUIRED, "File to write, .parquet or .csv; - writes CSV to standard output.")
    data: str | None = setting(None, "Directory of records to score; where the run was trained if not given.")
    split: str = setting("test", "Split of --data to score.")
    input: str | None = setting(
        None,
        "Instead of --data: files to score, a path or a quoted pattern. Tables (.csv, .parquet, .jsonl and what "
        "fullrank.data.convert reads) are converted as it would; they need the columns that the model reads, and no "
        "label. Anything else is taken for record files.",
    )
    log: str | None = setting(
        None,
        "With tables in --input: tables of earlier rows, from which histories, counts and rates come if the model's "
        "schema.json declares any.",
    )
    columns: tuple[str, ...] = setting(
        (),
        "Columns to copy into the output beside keys and labels; of tables any column, as text if the model's "
        "schema.json does not name it.",
    )
    batch_size: int = setting(4096, "Examples scored at once.", minimum=1)
    on_bad_record: Literal["fail", "skip"] = setting(
        "fail",
        "What to do about a record or row that cannot be read. Skipped rows of tables are counted, and listed in the "
        "file OUTPUT.rejects.csv.",
    )
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of them is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be, or contradicts itself."""
        check_settings(self)
        check_output(self.output)
        if (self.run is None) == (self.export is None):
            raise ValueError("give either --run (a run directory) or --export (the directory of an export).")
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
