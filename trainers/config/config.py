"""The configuration of a training run as frozen data; the command-line flags are derived from it.

Every field is one flag of the same name. A value that is invalid or contradicts another one is rejected here, and thus
in the same way from a command line, a `config.json` and Python.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options import Recency, Repetition
from fullrank.models.options.setting import REQUIRED, check_settings, same_as, setting
from fullrank.trainers.config.checks import check_distribution, check_paradigm
from fullrank.trainers.config.distribution import DistributionConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.objective import ObjectiveConfig
from fullrank.trainers.config.optimizer import OptimizerConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmStartConfig:
    """Where the first weights come from."""

    start: str | None = setting(
        None,
        "Run directory whose best weights, and whose optimisers' state, training starts from. Vocabularies may have "
        "grown, shrunk or changed their order: every id that both know keeps its row, every new one gets a new row.",
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.start == "":
            raise ValueError("--start cannot be empty.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExposureConfig:
    """The weight of repeated exposures."""

    repetition_weight: bool = setting(
        False,
        "Weight a negative that repeats an exposure by max(1, alpha w_count + (1 - alpha) w_recency), and positives by "
        "the mean of these weights, which preserves their share; metrics do not change.",
    )
    repetition_alpha: float = same_as(Repetition, "alpha")
    repetition_tau_days: float = same_as(Repetition, "tau_days")
    repetition_recency: Recency = same_as(Repetition, "recency")
    repetition_columns: tuple[str, ...] = setting(
        (Repetition.count, Repetition.gap_days),
        "Float columns of the records: decayed number of earlier exposures, and days since the last one, as convert "
        "and prepare --exposures write them.",
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.repetition_alpha > 1:
            raise ValueError(f"--repetition_alpha has to be at most 1. Received: {self.repetition_alpha:g}.")
        if len(self.repetition_columns) != 2:
            given = ",".join(self.repetition_columns)
            raise ValueError(f"--repetition_columns takes two columns, count and days. Received: {given!r}.")
        if not self.repetition_weight:
            for field in dataclasses.fields(self):
                if getattr(self, field.name) != field.default:
                    raise ValueError(f"--{field.name} has no effect without --repetition_weight.")
        if self.repetition_recency == "gap" and self.repetition_tau_days != 1:
            raise ValueError("--repetition_tau_days has no effect with --repetition_recency=gap, which never decays.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The records that are read, and how."""

    data: str = setting(REQUIRED, "Directory of the records, with its schema.json.", operational=True)
    train_split: str = setting("train", "Split to train on.")
    validation_split: str = setting("validation", "Split to validate on after each epoch; empty for no validation.")
    batch_size: int | None = setting(
        None,
        "Examples per step; if not given, the largest of 2048, 1024, 512, 256 and 128 that makes at least 128 steps an "
        "epoch, or else 128; with retrieve, whose batch holds the negatives, 2048.",
        minimum=1,
    )
    shuffle: bool = setting(True, "Read the training split in a new random order each epoch.")
    on_bad_record: Literal["fail", "skip"] = setting("fail", "What to do with a record that cannot be read.")
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of the records is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.data or not self.train_split:
            raise ValueError("--data and --train_split cannot be empty.")
        if self.train_split == self.validation_split:
            raise ValueError(f"--validation_split cannot be the training split, {self.train_split!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The length of training, and its output."""

    output: str = setting(REQUIRED, "Run directory to write; an interrupted run in it is resumed.", operational=True)
    epochs: int = setting(
        10, "Maximum number of epochs, each a pass over the training split or --steps_per_epoch steps.", minimum=1
    )
    steps_per_epoch: int | None = setting(
        None,
        "Steps of an epoch, which a validation ends; those of a pass over the training split if not given.",
        minimum=1,
    )
    monitor: str = setting(
        "auto",
        "Validation metric that selects the best weights: auc, log_loss, ne, ne_calibrated or ece of the first binary "
        "task; rmse or mae of the first task with a real value; prefixed by its name, the metric of any task "
        "(like_auc); prefixed by mean, the mean over all tasks that have it (mean_auc). auto: the ne of the "
        "task that is predicted, or mean_ne of several; likewise rmse if no task is binary.",
    )
    patience: int | None = setting(
        2, "Stop after this many validations without a new best; none: train all epochs.", minimum=1
    )
    best_of_tasks: bool = setting(
        False,
        "Also keep, for each task, the weights of the epoch in which its own NE (or RMSE) is best: --best_of=TASK of "
        "evaluate, predict and export reads them.",
    )
    seed: int = setting(1, "Seed of initial weights, shuffling and dropout.", minimum=0)
    deterministic: bool = setting(False, "Get bit-identical weights every time, interrupted or not; slower.")
    steps_per_execution: int = setting(
        1,
        "Steps per call of the compiled function. --ema_decay and --teacher=ema average the weights after each call, "
        "with the decay of its steps.",
        minimum=1,
        operational=True,
    )
    checkpoint_minutes: float = setting(
        5.0, "Minutes after which to save another checkpoint within an epoch.", above=0, operational=True
    )
    checkpoint_steps: int | None = setting(
        None, "Also save a checkpoint every this many steps of an epoch.", minimum=1, operational=True
    )
    log_steps: int = setting(100, "Write the running metrics every this many steps.", minimum=1, operational=True)
    tensorboard: bool = setting(True, "Write event files for TensorBoard.", operational=True)
    log_collapse: bool = setting(
        False, "Write the information abundance of each embedding table after each epoch.", operational=True
    )
    progress: Literal["auto", "bar", "line", "none"] = setting(
        "auto", "Progress: a bar, one line per epoch, or nothing; auto is a bar on a terminal.", operational=True
    )
    overwrite: bool = setting(False, "Start over if --output already holds a run.", operational=True)

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.output:
            raise ValueError("--output cannot be empty.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The complete configuration of a run."""

    data: DataConfig
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    objective: ObjectiveConfig = dataclasses.field(default_factory=ObjectiveConfig)
    exposure: ExposureConfig = dataclasses.field(default_factory=ExposureConfig)
    distribution: DistributionConfig = dataclasses.field(default_factory=DistributionConfig)
    warm_start: WarmStartConfig = dataclasses.field(default_factory=WarmStartConfig)
    train: TrainConfig

    def __post_init__(self) -> None:
        """Validates the parts together."""
        check_paradigm(self.model)
        check_distribution(self.distribution, self.model)
        _check_servers(self)
        plateau, patience = self.optimizer.plateau_patience, self.train.patience
        if plateau is not None and patience is not None and plateau >= patience:
            raise ValueError(
                f"--plateau_patience={plateau} would lower the learning rates when --patience={patience} stops "
                "training: give a larger --patience, or none."
            )
        if plateau is not None and not self.data.validation_split:
            raise ValueError("--plateau_patience needs validations: name a --validation_split.")
        if self.train.best_of_tasks and not self.data.validation_split:
            raise ValueError("--best_of_tasks needs validations: name a --validation_split.")
        if self.optimizer.schedule == "constant" and self.optimizer.final_rate != 0.1:
            raise ValueError(
                "--final_rate takes effect only with a --schedule that falls: leave it out, or choose one."
            )


def _check_servers(config: RunConfig) -> None:
    """Rejects what needs every step of a training with parameter servers, or all of its weights, in one place.

    Raises:
      ValueError: If a setting does.
    """
    if config.distribution.strategy != "parameter_server":
        return
    objective, optimizer, train = config.objective, config.optimizer, config.train
    every_step = "follows the weights step by step, and workers take steps at the same time"
    whole = "reads or writes whole tables, which the servers hold in parts"
    refused = (
        (train.deterministic, "--deterministic", "the order in which workers take steps is never the same"),
        (train.steps_per_execution > 1, "--steps_per_execution", "workers take steps one by one"),
        (train.log_collapse, "--log_collapse", whole),
        (config.warm_start.start is not None, f"--start={config.warm_start.start}", whole),
        (optimizer.ema_decay is not None, f"--ema_decay={optimizer.ema_decay}", every_step),
        (objective.is_taught, "--teacher or --teacher_columns", "a teacher is a second model, which no worker has"),
        (objective.log_gradients, "--log_gradients", "it computes on the weights of one process"),
        (config.data.on_bad_record == "skip", "--on_bad_record=skip", "workers read files as they are"),
    )
    for is_given, flag, reason in refused:
        if is_given:
            raise ValueError(f"--strategy=parameter_server cannot be combined with {flag}: {reason}. Leave it out.")
