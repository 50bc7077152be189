"""The configuration of a training that starts from another run."""

from __future__ import annotations

import dataclasses

from fullrank.models.options.setting import check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmStartConfig:
    """Where the first weights come from."""

    start: str | None = setting(
        None,
        "Run directory whose best weights, and whose optimisers' state, training starts from. Vocabularies may have "
        "grown, shrunk or changed their order: every id that both know keeps its row, every new one gets a new row.",
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.start == "":
            raise ValueError("--start cannot be empty.")
