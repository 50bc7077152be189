"""What an evaluation is told."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.trainers.config.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Which run is evaluated on what, and what is written."""

    run: str = setting(REQUIRED, "Run directory, whose best weights are evaluated.")
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("test", "Split to evaluate on.")
    input: str | None = setting(
        None,
        "Instead of --data: files to evaluate on, a path or a quoted pattern. Tables (.csv, .parquet, .jsonl and what "
        "fullrank.data.convert reads) are converted as it would; anything else is taken for record files.",
    )
    log: str | None = setting(
        None,
        "With tables in --input: tables of earlier rows, from which histories, counts and rates come if the model's "
        "schema.json declares any.",
    )
    json: str | None = setting(None, "File to write all metrics to, those of segments included.")
    output: str | None = setting(None, "Directory to draw figures in: reliability, ROC, and one for each segment.")
    key: str | None = setting(None, "Column that GAUC groups by; the schema's first key if not given.")
    segments: tuple[str, ...] = setting((), "Columns over whose values to report, too; the schema's if none is given.")
    duplicates: str | None = setting(
        None,
        "Columns of item and group, as ad_id:creative: adds how differently items of one group are scored in the same "
        "place.",
    )
    baseline: str | None = setting(
        None, "Another run directory: adds the NE gain over it, over all examples and on every segment, by a bootstrap."
    )
    min_segment_keys: int = setting(
        30, "Fewest values of the key that a segment needs to be called the worst against --baseline.", minimum=30
    )
    batch_size: int = setting(4096, "Examples scored at once.", minimum=1)
    on_bad_record: Literal["fail", "skip"] = setting("fail", "What to do about a record or row that cannot be read.")
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of them is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be, or contradicts itself."""
        check_settings(self)
        if self.data is not None and self.input is not None:
            raise ValueError(
                "give either --data (a directory of records) or --input (tables or record files), not both."
            )
        if self.log is not None and self.input is None:
            raise ValueError("--log, the earlier rows, takes effect only with tables in --input: give them, too.")
