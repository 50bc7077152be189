"""The configuration of training on several devices or machines."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options.setting import check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributionConfig:
    """The `tf.distribute` strategy of a run."""

    strategy: Literal["none", "mirrored", "multi_worker"] = setting(
        "none",
        "How the examples of a step are shared: mirrored, by devices of this machine; multi_worker, by the processes "
        "that the environment variable TF_CONFIG lists, each of which is started with the same flags.",
        operational=True,
    )
    replicas: int | None = setting(
        None,
        "Devices that --strategy=mirrored uses; where there is no GPU, as many parts of the processor. none: all GPUs.",
        minimum=1,
        operational=True,
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.replicas is not None and self.strategy != "mirrored":
            raise ValueError(
                f"--replicas={self.replicas} takes effect only with --strategy=mirrored: leave it out, or give that, "
                "too."
            )
