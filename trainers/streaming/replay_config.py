"""The configuration of a replay of late conversions."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """The methods that are compared, the stream, and its delays."""

    output: str = setting(REQUIRED, "Directory to write; finished runs in it are kept.", operational=True)
    dataset: Literal["platform", "hillstrom"] = setting(
        "platform", "A simulated platform with new ads, or the customers of hillstrom with simulated delays."
    )
    raw_dir: str | None = setting(None, "Folder with the file of hillstrom.", operational=True)
    label: Literal["conversion", "visit"] = setting("conversion", "With hillstrom: outcome that is a conversion.")
    methods: tuple[
        Literal["naive", "fixed", "rule", "fnw", "fnc", "es_dfm", "dfm", "rule_es_dfm", "oracle"], ...
    ] = setting(
        ("naive", "fixed", "rule", "fnw", "fnc", "es_dfm", "dfm", "rule_es_dfm", "oracle"), "Methods to compare.",
        operational=True,
    )  # fmt: skip
    first_seed: int = setting(1, "First seed; each draws a stream, the same for all methods.", minimum=0)
    seeds: int = setting(5, "Number of seeds.", minimum=2, operational=True)
    clicks: int = setting(1_000_000, "With platform: clicks of a stream.", minimum=1000)
    days: float = setting(28.0, "Days of a stream.", above=0)
    law: Literal["lognormal", "exponential"] = setting("lognormal", "Distribution of delays.")
    median_hours: float = setting(4.0, "Median delay.", above=0)
    sigma: float = setting(1.2, "With lognormal: standard deviation of the logarithm of a delay.", minimum=0)
    spread: float = setting(0.5, "Standard deviation of the logarithm of advertisers' factors.", minimum=0)
    burst_share: float = setting(0.3, "Share of the advertisers that report in bulk.", minimum=0, below=1)
    burst_hours: float = setting(24.0, "Mean hours between two of their reports.", above=0)
    attribution_hours: float = setting(168.0, "Hours for which a conversion counts.", above=0)
    wait_hours: float = setting(24.0, "Wait of the method fixed.", above=0)
    short_hours: float = setting(1.0, "Wait of es_dfm and dfm.", above=0)
    settle_days: float = setting(8.0, "Days at the start that the results leave out.", minimum=0)
    batch_size: int = setting(1024, "Rows per step.", minimum=1)

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.dataset == "hillstrom" and self.raw_dir is None:
            raise ValueError("--dataset=hillstrom needs --raw_dir, the folder with hillstrom.csv.")
        if self.settle_days >= self.days:
            raise ValueError(f"--settle_days={self.settle_days:g} leaves nothing of --days={self.days:g}.")
