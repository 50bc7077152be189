"""What a study is told."""

from __future__ import annotations

import dataclasses

from fullrank.trainers.config.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Which study is run on what."""

    study: str = setting(REQUIRED, "Name of a study, or a JSON file that describes one; see --list.")
    data: str = setting(REQUIRED, "Directory of the records.")
    output: str = setting(REQUIRED, "Directory to write; finished runs in it are kept, so a stopped study goes on.")
    seeds: tuple[int, ...] = setting((1, 2, 3, 4, 5), "Seeds; every variant is trained once with each.", minimum=0)
    variants: tuple[str, ...] = setting((), "Only these variants, beside the baseline; all if none is given.")
    workers: int = setting(2, "Runs at a time, each in a process with its share of the cores.", minimum=1)
    flags: tuple[str, ...] = setting(
        (), "Further flags of train for all variants, such as --epochs=1; one with a comma needs a study file."
    )
    split: str = setting("test", "Split to evaluate on.")
    keep_runs: bool = setting(False, "Keep the run directories, some megabytes each; otherwise only results stay.")

    def __post_init__(self) -> None:
        """Refuses what cannot be."""
        check_settings(self)
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError(f"--seeds needs different seeds, at least one. Received: {self.seeds}.")
