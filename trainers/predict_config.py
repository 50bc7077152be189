"""What a prediction is told."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.trainers.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Which run scores what, and where the scores go."""

    run: str = setting(REQUIRED, "Run directory, whose best weights predict.")
    output: str = setting(REQUIRED, "Parquet file to write.")
    data: str | None = setting(None, "Directory of records to score; where the run was trained if not given.")
    split: str = setting("test", "Split of --data to score.")
    input: str | None = setting(
        None, "Instead of --data: record files to score, a path or a quoted pattern; they hold the run's columns."
    )
    columns: tuple[str, ...] = setting((), "Columns to copy into the output beside keys and labels.")
    batch_size: int = setting(4096, "Examples scored at once.", minimum=1)
    on_bad_record: Literal["fail", "skip"] = setting("fail", "What to do about a record that cannot be read.")
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of the records is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be, or contradicts itself."""
        check_settings(self)
        if self.data is not None and self.input is not None:
            raise ValueError("give either --data (a directory of records) or --input (record files), not both.")
        if self.input is not None and self.on_bad_record == "skip":
            raise ValueError("--on_bad_record=skip needs --data, whose schema.json says how many examples there are.")
