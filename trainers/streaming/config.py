"""The configuration of online training: its source, its waits, and what it writes."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnlineConfig:
    """The settings of the source, of the time at which a click is trained on, and of the output."""

    source: str = setting(
        REQUIRED, "Directory of events, with its schema.json; or kafka://host:port/topic.", operational=True
    )
    schema: str | None = setting(
        None,
        "Directory with the schema.json of the events; that of the source, or with Kafka of --start, if not given.",
    )
    output: str = setting(REQUIRED, "Run directory to write; an interrupted run in it is resumed.", operational=True)
    start: str | None = setting(
        None, "Run to start from: its model, vocabularies and statistics, and its best weights; model flags have "
        "no effect then. If not given: new weights, with the schema of the source.",
    )  # fmt: skip
    follow: bool = setting(
        False, "Wait for further events until the source says that it ends; otherwise stop at the last one.",
        operational=True,
    )  # fmt: skip
    poll_seconds: float = setting(1.0, "With --follow: seconds between two reads.", above=0, operational=True)
    late: Literal["naive", "oracle", "fnw", "fnc", "es_dfm", "dfm"] = setting(
        "es_dfm",
        "How conversions that come after their click was trained on are handled: by the corrections of Yang et al. "
        "(es_dfm), Ktena et al. (fnw, fnc) and Chapelle (dfm), by labels from the future, which only a simulation has "
        "(oracle), or not at all (naive).",
    )
    wait: Literal["none", "fixed", "rule"] = setting(
        "rule", "How long a click waits: not at all, --wait_hours, or by the variance of the conversion feedback."
    )
    wait_hours: float = setting(1.0, "Wait of --wait=fixed.", above=0)
    keys: tuple[str, ...] = setting(
        (), "Columns whose feedback --wait=rule judges, from the ad to the advertiser; then all clicks together. The "
        "age of the first one decides which ads are young.",
    )  # fmt: skip
    window_hours: float = setting(6.0, "Time constant of the counts that the rule judges.", above=0)
    history_days: float = setting(14.0, "Time constant of the rate that it compares them with.", above=0)
    threshold: float = setting(2.0, "Largest z-score at which the rule lets nothing wait.", above=0)
    cap_hours: float = setting(24.0, "Longest wait of the rule.", above=0)
    minimum: float = setting(
        5.0, "Conversions to be expected in the window, and seen in the past, for a key to be judged.", above=0
    )
    max_keys: int = setting(1_000_000, "Maximum number of keys; the least recent ones are dropped.", minimum=16_384)
    attribution_hours: float = setting(168.0, "Hours for which a conversion counts for its click.", above=0)
    lateness_minutes: float = setting(10.0, "How far behind the latest event an event may be.", minimum=0)
    jump_hours: float = setting(24.0, "How far ahead of the latest event an event may be.", above=0)
    tick_seconds: float = setting(60.0, "Releases are rounded up to a multiple of this.", above=0)
    max_waiting: int = setting(1_000_000, "Maximum number of clicks held; the oldest are released early.", minimum=8192)
    batch_size: int = setting(1024, "Rows per step.", minimum=1)
    seed: int = setting(1, "Seed of initial weights and dropout.", minimum=0)
    young_days: float = setting(3.0, "Age up to which an ad is young.", above=0)
    report_hours: float = setting(24.0, "Hours of clicks that make one point of the metrics over time.", above=0)
    settle_days: float = setting(0.0, "Days at the start that the metrics of the whole stream leave out.", minimum=0)
    export: str | None = setting(None, "Directory to write SavedModel versions into, at intervals.", operational=True)
    export_minutes: float = setting(10.0, "Minutes between two versions.", above=0, operational=True)
    export_steps: int | None = setting(None, "Steps between two versions, not minutes.", minimum=1, operational=True)
    keep: int = setting(3, "Versions of this run to keep.", minimum=1, operational=True)
    checkpoint_minutes: float = setting(5.0, "Minutes between two checkpoints.", above=0, operational=True)
    checkpoint_steps: int | None = setting(
        None, "Steps between two checkpoints, not minutes.", minimum=1, operational=True
    )
    log_steps: int = setting(
        100, "Steps after which metrics are written, and progress is shown.", minimum=1, operational=True
    )
    tensorboard: bool = setting(True, "Write event files for TensorBoard.", operational=True)
    progress: bool = setting(True, "Show a line of progress every --log_steps.", operational=True)
    trace: bool = setting(
        False, "Write every row that is trained on (step, id of the click, role, weight) to trained.bin."
    )
    report: bool = setting(False, "Draw the dashboard at the end, or for a finished run.", operational=True)
    overwrite: bool = setting(False, "Start over if --output already holds a run.", operational=True)

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.late in ("fnw", "fnc", "oracle") and self.wait != "none":
            why = "trains on every click at once, as one without a conversion"
            why = "knows all labels, so nothing has to wait" if self.late == "oracle" else why
            raise ValueError(f"--late={self.late} {why}: give --wait=none.")
        if self.late == "dfm" and self.wait == "none":
            raise ValueError("--late=dfm learns nothing from a click that does not wait: give --wait=fixed or rule.")
        longest = {"none": 0.0, "fixed": self.wait_hours, "rule": self.cap_hours}[self.wait]
        if longest >= self.attribution_hours:
            raise ValueError(
                f"A wait of up to {longest:g} hours is not below --attribution_hours={self.attribution_hours:g}: "
                "no conversion could come after it."
            )
        if self.window_hours > 24.0 * self.history_days:
            raise ValueError(
                f"--window_hours={self.window_hours:g} is longer than --history_days={self.history_days:g}, which it "
                "is compared with."
            )
        if 60.0 * self.attribution_hours < self.lateness_minutes:
            raise ValueError(f"--lateness_minutes={self.lateness_minutes:g} exceeds --attribution_hours.")
