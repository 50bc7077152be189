"""What training does about ads that a person is shown again and again, as frozen data ([Tencent] §6.2)."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.data.exposure_spec import COUNT, GAP
from fullrank.trainers.config.setting import check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExposureConfig:
    """How much repeated exposures count."""

    repetition_weight: bool = setting(
        False,
        "Let a negative that repeats an exposure count max(1, alpha w_count + (1 - alpha) w_recency) times, and "
        "positives so much more that their share stays; metrics are left alone.",
    )
    repetition_alpha: float = setting(0.5, "alpha of --repetition_weight, 0 to 1.", minimum=0)
    repetition_tau_days: float = setting(
        1.0, "Days after which w_recency has fallen to 1/e, with --repetition_recency=decay.", above=0
    )
    repetition_recency: Literal["decay", "gap"] = setting(
        "decay",
        "w_recency of --repetition_weight: falls with the days since the last exposure, or is their number, as the "
        "paper prints it, which weighs old repeats more.",
    )
    repetition_columns: tuple[str, ...] = setting(
        (COUNT, GAP),
        "Float columns of the records: decayed number of earlier exposures, days since the last one; as convert and "
        "prepare --exposures write them.",
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be."""
        check_settings(self)
        if self.repetition_alpha > 1:
            raise ValueError(f"--repetition_alpha has to be at most 1. Received: {self.repetition_alpha:g}.")
        if len(self.repetition_columns) != 2:
            given = ",".join(self.repetition_columns)
            raise ValueError(f"--repetition_columns takes two columns, count and days. Received: {given!r}.")
        if not self.repetition_weight:
            for field in dataclasses.fields(self):
                if getattr(self, field.name) != field.default:
                    raise ValueError(f"--{field.name} has no meaning without --repetition_weight.")
        if self.repetition_recency == "gap" and self.repetition_tau_days != 1:
            raise ValueError("--repetition_tau_days has no meaning with --repetition_recency=gap, which never decays.")
