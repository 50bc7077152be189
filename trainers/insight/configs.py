"""Configurations of the commands that inspect a trained model: parts, groups, task conflicts, replayed exposures."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.data.exposures.spec import COUNT
from fullrank.models.options.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupsConfig:
    """The run that is inspected, and the data."""

    run: str = setting(REQUIRED, "Run directory of a model trained with --group_places.")
    output: str = setting(REQUIRED, "Directory to write: groups.json and figures.")
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("test", "Split to read.")
    batch_size: int = setting(2048, "Examples per batch.", minimum=1)
    largest: int = setting(6, "Groups of the first level to describe.", minimum=1)
    values: int = setting(4, "Feature values to list for each of them.", minimum=1)
    overwrite: bool = setting(False, "Replace an analysis that is in --output already.")

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartsConfig:
    """The run that is inspected, and the data."""

    run: str = setting(REQUIRED, "Run directory.")
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("validation", "Split to read.")
    batches: int = setting(8, "Batches to read.", minimum=1)
    batch_size: int = setting(512, "Examples per batch.", minimum=1)
    json: str | None = setting(
        None,
        "File to write all measures to, the parts that are asleep, learned strengths of pairs, and stated uncertainty.",
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConflictsConfig:
    """The run that is inspected, and the data."""

    run: str = setting(REQUIRED, "Run directory of a model with several tasks.")
    output: str = setting(REQUIRED, "Directory to write: conflicts.json and figures.")
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("validation", "Split to read.")
    batches: int = setting(20, "Batches to read.", minimum=1)
    batch_size: int = setting(2048, "Examples per batch.", minimum=1)
    overwrite: bool = setting(False, "Replace an analysis that is in --output already.")

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportanceConfig:
    """The run that is inspected, and the data."""

    run: str = setting(REQUIRED, "Run directory, whose best weights predict.")
    output: str = setting(REQUIRED, "Directory to write: importance.json and a figure per task.")
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("test", "Split to read.")
    examples: int = setting(20_000, "Examples of it, drawn at random.", minimum=2)
    seed: int = setting(1, "Seed of the draw and of the permutations.", minimum=0)
    overwrite: bool = setting(False, "Replace an analysis that is in --output already.")

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayExposuresConfig:
    """The runs that rank candidates again, and the candidates."""

    run: tuple[str, ...] = setting(REQUIRED, "Run directories, one per seed, whose best weights rank.")
    baseline: tuple[str, ...] = setting(
        REQUIRED, "Run directories to compare with, as many and in the same order of seeds."
    )
    data: str | None = setting(None, "Directory of the records; where the first run was trained if not given.")
    split: str = setting("test", "Split whose rows are the candidates.")
    task: str | None = setting(None, "Binary task to rank by; the first one that all runs predict if not given.")
    repeated: str = setting(COUNT, "Float column that is above 0 if the ad was shown to the user before.")
    request: str | None = setting(
        None,
        "Id column; rows with the same value and window are the candidates of a request. The first key if not given.",
    )
    window_hours: float = setting(24.0, "Length of a window of the event time; 0: one window.", minimum=0)
    slots: int = setting(1, "Candidates that a request shows.", minimum=1)
    draws: int = setting(1000, "Draws of the bootstrap over values of --request.", minimum=2)
    json: str | None = setting(None, "File to write the results to.")
    batch_size: int = setting(4096, "Examples scored at once.", minimum=1)
    on_bad_record: Literal["fail", "skip"] = setting("fail", "What to do with a record that cannot be read.")
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of the records is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.run or len(self.run) != len(self.baseline):
            raise ValueError(
                f"--run and --baseline have to name equally many runs. Received: {len(self.run)} and "
                f"{len(self.baseline)}."
            )
