"""The configuration of training steps: optimisers, learning rates and weight decay."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options import RankerOptions
from fullrank.models.options.setting import check_settings, same_as, setting
from fullrank.trainers.config.checks import field_penalties


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimisers, learning rates and weight decay."""

    table_optimizer: Literal["rowwise_adagrad", "lazy_adagrad", "lazy_adam", "lazy_ftrl"] = setting(
        "rowwise_adagrad", "Optimiser of embedding tables; the cost of a step does not depend on their size."
    )
    table_learning_rate: float = setting(0.05, "Learning rate of embedding tables.", above=0)
    small_tables: Literal["table", "dense"] = setting(
        "table",
        "Which of the two optimisers trains the small tables within layers: positions, intervals, similarity digits.",
    )
    dense_optimizer: Literal["adam", "adamw", "adagrad", "sgd"] = setting("adam", "Optimiser of all other weights.")
    learning_rate: float = setting(0.001, "Learning rate of all other weights.", above=0)
    schedule: Literal["constant", "cosine", "linear", "exponential"] = setting(
        "constant", "Schedule of both learning rates after the warm-up, until the end of the last epoch."
    )
    warmup_steps: int = setting(0, "Steps over which both learning rates rise.", minimum=0)
    final_rate: float = setting(
        0.1, "Last learning rate as a share of the first one, if --schedule falls.", above=0, below=1
    )
    clip_norm: float | None = setting(
        None, "Largest norm of the gradients of all tables, and of all other weights; none: no limit.", above=0
    )
    plateau_patience: int | None = setting(
        None,
        "Validations without a new best (--monitor) after which both learning rates are multiplied by "
        "--plateau_factor; then the count starts over. none: never.",
        minimum=1,
    )
    plateau_factor: float = setting(
        0.3, "Factor by which --plateau_patience multiplies the learning rates.", above=0, below=1
    )
    ema_decay: float | None = setting(
        None,
        "Decay per step of a moving average of all weights but the embedding tables, which is validated, kept and "
        "exported in place of the last weights; none: the last weights.",
        minimum=0,
        below=1,
    )
    embedding_l2: float = same_as(RankerOptions, "embedding_l2")
    field_l2: tuple[str, ...] = setting(
        (),
        "L2 penalties of single features in place of --embedding_l2, as feature:weight, such as user_id:0.01.",
    )
    weight_decay: float | None = setting(
        None,
        "Share of all other weights that is subtracted at each step, times --learning_rate (decoupled, also with "
        "--dense_optimizer=adam, adagrad and sgd). none: 0.004 with adamw, else nothing.",
        minimum=0,
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        field_penalties(self.field_l2)
        if self.plateau_patience is None:
            if self.plateau_factor != 0.3:
                raise ValueError("--plateau_factor takes effect only with --plateau_patience: give both.")
        elif self.schedule != "constant" or self.warmup_steps:
            raise ValueError(
                "--plateau_patience lowers constant learning rates: leave out --schedule and --warmup_steps. Received: "
                f"--schedule={self.schedule} --warmup_steps={self.warmup_steps}."
            )
