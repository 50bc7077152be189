"""Which records a run reads, and how."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.trainers.config.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which records are read, and how."""

    data: str = setting(REQUIRED, "Directory of the records, with its schema.json.", operational=True)
    train_split: str = setting("train", "Split to train on.")
    validation_split: str = setting("validation", "Split to validate on after each epoch; empty for no validation.")
    batch_size: int = setting(2048, "Examples a step.", minimum=1)
    shuffle: bool = setting(True, "Read the training split in a new random order each epoch.")
    on_bad_record: Literal["fail", "skip"] = setting("fail", "What to do about a record that cannot be read.")
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of the records is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be."""
        check_settings(self)
        if not self.data or not self.train_split:
            raise ValueError("--data and --train_split cannot be empty.")
        if self.train_split == self.validation_split:
            raise ValueError(f"--validation_split cannot be the training split, {self.train_split!r}.")
