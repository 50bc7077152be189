"""The configuration of a search."""

from __future__ import annotations

import dataclasses

from fullrank.models.options.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The flags that are searched over, the data, and the length of the search."""

    data: str = setting(REQUIRED, "Directory of the records.")
    output: str = setting(REQUIRED, "Directory to write; the same command resumes a search that was stopped in it.")
    space: str = setting(
        REQUIRED,
        "Flags of train with the values they may take: learning_rate=log:1e-4..1e-2,dropout=0..0.5,widths=8,8|16,16. "
        "log: samples the logarithm uniformly; choices are separated by |.",
    )
    trials: int = setting(
        20,
        "Total number of runs, including those before an interruption; a larger one continues the search.",
        minimum=1,
    )
    workers: int = setting(1, "Runs at a time, each in its own process with its share of the cores.", minimum=1)
    pruning: bool = setting(
        True, "Stop a run whose validation metric is worse than the median of earlier runs at the same epoch."
    )
    sampler_seed: int = setting(1, "Seed of the search; --seed, after --, is that of each training run.", minimum=0)
    keep_runs: bool = setting(False, "Keep every run directory; otherwise only that of the best run stays.")

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.data or not self.output:
            raise ValueError("--data and --output cannot be empty.")
