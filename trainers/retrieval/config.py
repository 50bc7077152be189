"""The configuration of a retrieval run as frozen data; the command-line flags are derived from it."""

from __future__ import annotations

import dataclasses

from fullrank.models.options.retrieval import RetrievalOptions, TowerOptions
from fullrank.models.options.setting import REQUIRED, check_settings, setting
from fullrank.trainers.config.config import DataConfig, TrainConfig
from fullrank.trainers.config.optimizer import OptimizerConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TowersConfig(RetrievalOptions):
    """Which towers are built, and what they learn from."""

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.widths or not self.hidden:
            raise ValueError("--widths and --hidden name at least one number each.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrieveTrainConfig(TrainConfig):
    """How long training lasts, what it writes, and how it is validated."""

    monitor: str = setting(
        "recall", "Validation metric that selects the best weights: recall or ndcg among the first --at ads, or mrr."
    )
    at: int = setting(100, "K of recall@K and NDCG@K in validations.", minimum=1, operational=True)
    validation_queries: int = setting(
        5000, "Positives of the validation split that are ranked after each epoch, the first ones.", minimum=1
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        super().__post_init__()
        if self.monitor not in ("recall", "ndcg", "mrr"):
            raise ValueError(f"--monitor is recall, ndcg or mrr. Received: {self.monitor!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrieveConfig:
    """The complete configuration of a retrieval run."""

    data: DataConfig
    retrieval: TowersConfig = dataclasses.field(default_factory=TowersConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: RetrieveTrainConfig

    def __post_init__(self) -> None:
        """Validates the parts together."""
        if self.optimizer.plateau_patience is not None:
            raise ValueError("--plateau_patience has no effect on a retrieval run: leave it out.")
        for flag in ("embedding_l2", "field_l2", "ema_decay"):
            if getattr(self.optimizer, flag):
                raise ValueError(f"--{flag} has no effect on a retrieval run: leave it out.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistilConfig(TowerOptions):
    """The towers of a pre-ranker, which ranker it learns from, and on which candidates."""

    normalise: bool = setting(False, "Scale vectors to length 1, which bounds how far scores can differ.")
    teacher: str = setting(REQUIRED, "Run directory of a ranker, of `fullrank train`, whose scores are learned.")
    task: str | None = setting(None, "Its binary task; the first one if not given.")
    candidates: int = setting(64, "Ads drawn from the catalogue in each step, for all queries of the step.", minimum=2)
    queries: int = setting(
        128, "Examples of each batch that are scored by the ranker, each with its own ad and all candidates.", minimum=1
    )
    teacher_temperature: float = setting(1.0, "The ranker's logits are divided by this.", above=0)
    meeting: int = setting(
        16,
        "Hidden units of a network on the products of both vectors, beside their dot product; 0 for none.",
        minimum=0,
    )
    top: int = setting(
        10, "k of the consistency, the share of the ranker's first k candidates that are kept.", minimum=1
    )
    kept: int = setting(20, "How many of the pre-ranker's first candidates count as kept; at least --top.", minimum=1)

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.top <= self.kept <= self.candidates:
            raise ValueError(
                f"--top is at most --kept, which is at most --candidates. Received: {self.top}, {self.kept}, "
                f"{self.candidates}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrerankTrainConfig(TrainConfig):
    """How long training lasts, and what it writes."""

    monitor: str = setting("consistency", "Validation metric that selects the best weights: consistency.")
    validation_queries: int = setting(
        1000, "Examples of the validation split that ranker and pre-ranker score after each epoch.", minimum=1
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        super().__post_init__()
        if self.monitor != "consistency":
            raise ValueError(f"--monitor is consistency. Received: {self.monitor!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrerankConfig:
    """The complete configuration of a pre-ranking run."""

    data: DataConfig
    prerank: DistilConfig
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: PrerankTrainConfig

    def __post_init__(self) -> None:
        """Validates the parts together."""
        for flag in ("plateau_patience", "embedding_l2", "field_l2", "ema_decay"):
            if getattr(self.optimizer, flag):
                raise ValueError(f"--{flag} has no effect on a pre-ranking run: leave it out.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecallConfig:
    """Which run is evaluated, and on what."""

    run: str = setting(REQUIRED, "Run directory of `fullrank retrieve`, whose best weights are used.")
    data: str | None = setting(None, "Directory of the records; where the run was trained if not given.")
    split: str = setting("test", "Split whose positives are ranked.")
    at: tuple[int, ...] = setting((10, 100), "Values of K, of recall@K, NDCG@K and coverage@K.", minimum=1)
    exclude_history: bool = setting(
        False,
        "Leave out the ads of a user's history, other than the positive itself, as a system would that shows "
        "nothing twice.",
    )
    json: str | None = setting(None, "File to write the metrics to.")
    batch_size: int = setting(1024, "Examples read at once.", minimum=1)

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.at or list(self.at) != sorted(set(self.at)):
            raise ValueError(f"--at takes increasing numbers. Received: {','.join(map(str, self.at))}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """Which ads are indexed with which run, and where to."""

    run: str = setting(REQUIRED, "Run directory of `fullrank retrieve`, whose best weights are used.")
    output: str = setting(REQUIRED, "Directory of the index; each version is a directory below it.")
    ads: str | None = setting(
        None,
        "Parquet file of the ads, with the columns of the ad side, in place of the run's own catalogue: ads are added "
        "and removed without training. Its cells are read as convert reads them.",
    )
    at: int = setting(100, "K, ads of an answer.", minimum=1)
    most_exclusions: int = setting(100, "Ads that a request may exclude.", minimum=1)
    approximate: bool = setting(False, "Also write an approximate index for faiss, of the installation fullrank[ann].")
    version: int | None = setting(None, "Version to write; the next one if not given.", minimum=1)

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
