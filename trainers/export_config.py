"""What an export is told."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.trainers.config.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Which run is exported, where to, and what it is warmed up with."""

    run: str = setting(REQUIRED, "Run directory, whose best weights are exported.")
    output: str = setting(REQUIRED, "Directory of the served model; each export is a numbered version below it.")
    version: int | None = setting(None, "Version to write; one more than the largest there if not given.", minimum=1)
    warmup: Literal["auto", "records", "statistics"] = setting(
        "auto",
        "Rows of the warm-up requests, which are stored in the export: the first ones of the validation split, or rows "
        "drawn from the schema's statistics; auto takes records where they can be read.",
    )
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")

    def __post_init__(self) -> None:
        """Refuses what cannot be."""
        check_settings(self)
        for name in ("run", "output"):
            if not getattr(self, name):
                raise ValueError(f"--{name} cannot be empty.")
        if self.data is not None and self.warmup == "statistics":
            raise ValueError("--data has no meaning with --warmup=statistics.")
