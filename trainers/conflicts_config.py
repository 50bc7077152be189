"""What the analysis of task conflicts is told."""

from __future__ import annotations

import dataclasses

from fullrank.trainers.config.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConflictsConfig:
    """Which run is looked into, and on what."""

    run: str = setting(REQUIRED, "Run directory of a model with several tasks.")
    output: str = setting(REQUIRED, "Directory to write: conflicts.json and figures.")
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("validation", "Split to read.")
    batches: int = setting(20, "Batches to read.", minimum=1)
    batch_size: int = setting(2048, "Examples a batch.", minimum=1)
    overwrite: bool = setting(False, "Replace an analysis that is in --output already.")

    def __post_init__(self) -> None:
        """Refuses what cannot be."""
        check_settings(self)
