"""What the analysis of learned groups is told."""

from __future__ import annotations

import dataclasses

from fullrank.trainers.config.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupsConfig:
    """Which run is looked into, and on what."""

    run: str = setting(REQUIRED, "Run directory of a model trained with --group_places.")
    output: str = setting(REQUIRED, "Directory to write: groups.json and figures.")
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("test", "Split to read.")
    batch_size: int = setting(2048, "Examples a batch.", minimum=1)
    largest: int = setting(6, "Groups of the first level whose meaning is told.", minimum=1)
    values: int = setting(4, "Feature values to tell of each of them.", minimum=1)
    overwrite: bool = setting(False, "Replace an analysis that is in --output already.")

    def __post_init__(self) -> None:
        """Refuses what cannot be."""
        check_settings(self)
