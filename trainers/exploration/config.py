"""The configuration of a comparison of exploration policies."""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

from fullrank.models.options.setting import REQUIRED, check_settings, setting

MEANS_NOTHING: Final[dict[str, tuple[str, ...]]] = {
    "simulator": ("raw_dir",),
    "hillstrom": (
        "requests", "candidates", "first_ads", "new_ads", "lifetime", "segments", "base_rate", "appeal", "quality",
    ),
    "obd": (
        "seeds", "rounds", "requests", "candidates", "first_ads", "new_ads", "lifetime", "segments", "base_rate",
        "appeal", "quality",
    ),
}  # fmt: skip
"""Settings that have no effect on a data set."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExploreConfig:
    """The policies that are compared, and the data."""

    output: str = setting(REQUIRED, "Directory to write; finished seeds in it are kept, so a stopped run resumes.")
    dataset: Literal["simulator", "hillstrom", "obd"] = setting(
        "simulator", "A simulated platform, a replay of a randomised campaign, or estimates from a bandit's log."
    )
    raw_dir: str | None = setting(None, "Folder with the files of hillstrom or obd, as fullrank prepare reads them.")
    json: str | None = setting(None, "File to write the numbers of the report to.")
    policies: tuple[Literal["greedy", "epsilon_greedy", "ucb", "thompson", "joint_thompson"], ...] = setting(
        ("greedy", "epsilon_greedy", "ucb", "thompson", "joint_thompson"), "Policies to compare."
    )
    baseline: Literal["greedy", "epsilon_greedy", "ucb", "thompson", "joint_thompson"] = setting(
        "epsilon_greedy", "Policy that the others are compared with, seed by seed."
    )
    first_seed: int = setting(
        1,
        "First seed; each draws a platform, or an order of hillstrom's customers, the same for all policies.",
        minimum=0,
    )
    seeds: int = setting(20, "Number of seeds.", minimum=2)
    epsilon: float = setting(0.02, "Share of the requests at which epsilon_greedy explores.", above=0, below=1)
    rounds: int = setting(80, "Rounds; a policy learns from its clicks after each.", minimum=2)
    requests: int = setting(2000, "Requests per round.", minimum=1)
    candidates: int = setting(25, "Candidate ads per request, one of which is shown.", minimum=2)
    first_ads: int = setting(40, "Ads at the start.", minimum=2)
    new_ads: int = setting(1, "Ads that arrive in each later round.", minimum=0)
    lifetime: int = setting(40, "Rounds for which an ad stays.", minimum=1)
    segments: int = setting(2, "Segments of users.", minimum=1)
    base_rate: float = setting(0.05, "Click rate of an average ad.", above=0, below=1)
    appeal: float = setting(
        0.6, "Standard deviation of the part of a logit that content and segment explain.", minimum=0
    )
    quality: float = setting(1.5, "Standard deviation of the part that only showing the ad reveals.", minimum=0)

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.baseline not in self.policies:
            raise ValueError(f"--baseline={self.baseline} is not among --policies={','.join(self.policies)}.")
        if len(set(self.policies)) != len(self.policies):
            raise ValueError(f"--policies names one twice. Received: {','.join(self.policies)}.")
        if self.dataset != "simulator" and self.raw_dir is None:
            raise ValueError(f"--dataset={self.dataset} needs --raw_dir, the folder with its files.")
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in MEANS_NOTHING[self.dataset]:
            if getattr(self, name) != defaults[name]:
                raise ValueError(f"--{name} has no effect with --dataset={self.dataset}: leave it out.")
