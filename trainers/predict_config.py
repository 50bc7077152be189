"""What a prediction is told."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.data.find_files import are_tables
from fullrank.trainers.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Which run scores what, and where the scores go."""

    run: str = setting(REQUIRED, "Run directory, whose best weights predict.")
    output: str = setting(REQUIRED, "File to write: .parquet, or .csv; - for CSV on standard output.")
    data: str | None = setting(None, "Directory of records to score; where the run was trained if not given.")
    split: str = setting("test", "Split of --data to score.")
    input: str | None = setting(
        None,
        "Instead of --data: tables to score (.csv, .parquet, .jsonl and so on; they need no labels) or record files, a "
        "path or a quoted pattern.",
    )
    columns: tuple[str, ...] = setting(
        (), "Columns to copy into the output beside keys and labels; of tables any, as text where the run has no such."
    )
    log: str | None = setting(
        None, "With --input: tables of earlier rows, from which histories are taken if the run's schema declares any."
    )
    separator: str | None = setting(None, "What separates the cells of CSV; 'tab' for a tab. By default by the ending.")
    header: tuple[str, ...] = setting((), "Column names, if CSV files do not begin with a line of names.")
    quote: str = setting("auto", "The character around cells of CSV; 'none' if quotes are ordinary characters.")
    encoding: str = setting("utf-8", "Encoding of CSV and JSON lines.")
    batch_size: int = setting(4096, "Examples scored at once.", minimum=1)
    on_bad_record: Literal["fail", "skip"] = setting("fail", "What to do about a record that cannot be read.")
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of the records is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Refuses what contradicts itself."""
        check_settings(self)
        if self.data is not None and self.input is not None:
            raise ValueError("give either --data (a directory of records) or --input (tables or files), not both.")
        if self.input is not None and self.on_bad_record == "skip" and not are_tables(self.input):
            raise ValueError("--on_bad_record=skip needs tables, or --data, whose schema.json counts the examples.")
