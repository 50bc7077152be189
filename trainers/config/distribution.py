"""The configuration of training on several devices or machines."""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

from fullrank.models.options.setting import check_settings, setting

_OF_SERVERS: Final = ("shard_kib", "overlap_after")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributionConfig:
    """The `tf.distribute` strategy of a run."""

    strategy: Literal["none", "mirrored", "multi_worker", "parameter_server"] = setting(
        "none",
        "Who takes steps: mirrored, devices of this machine that share each one; multi_worker, the processes that the "
        "environment variable TF_CONFIG lists, which share each one and are started with the same flags; "
        "parameter_server, the workers of TF_CONFIG, each at its own pace, with the weights on its servers (ps).",
        operational=True,
    )
    replicas: int | None = setting(
        None,
        "Devices that --strategy=mirrored uses; where there is no GPU, as many parts of the processor. none: all GPUs.",
        minimum=1,
        operational=True,
    )

    shard_kib: int = setting(
        256,
        "With --strategy=parameter_server: a table of more KiB is divided by rows among the servers.",
        minimum=1,
        operational=True,
    )
    overlap_after: int = setting(
        100,
        "With --strategy=parameter_server: the first this many steps of a training are taken one at a time, by the "
        "workers in turn, and only later ones overlap.",
        minimum=0,
        operational=True,
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _OF_SERVERS and value != field.default and self.strategy != "parameter_server":
                raise ValueError(f"--{field.name}={value} takes effect only with --strategy=parameter_server.")
        if self.replicas is not None and self.strategy != "mirrored":
            raise ValueError(
                f"--replicas={self.replicas} takes effect only with --strategy=mirrored: leave it out, or give that, "
                "too."
            )
