"""A control as plain data: variants of one command line on two worlds, one with what a method is for, one without."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Final, Literal

from fullrank.data.planted.world import BLOCK, World
from fullrank.models.options.setting import REQUIRED, check_settings, setting

Side = Literal["positive", "negative"]
SIDES: Final[tuple[Side, ...]] = ("positive", "negative")
Metric = Literal[
    "auc", "first_auc", "last_auc", "worst_auc", "new_auc", "ne", "inside_ne", "ia", "nmi", "fresh_auc", "far_auc"
]
LOWER_IS_BETTER: Final[frozenset[Metric]] = frozenset({"ne", "inside_ne"})
STRUCTURAL: Final[frozenset[Metric]] = frozenset({"ia", "nmi", "fresh_auc", "far_auc"})
"""Metrics that say nothing of the predictions' quality, by which rates are chosen all the same."""
RATES: Final = (0.002, 0.006, 0.02)
"""Learning rates of all weights outside tables that every variant is trained with."""
TABLE_FACTOR: Final = 30.0
"""Learning rate of tables over that of the other weights."""
MANY: Final = tuple(range(1, 11))
"""Seeds of a control whose runs differ much from seed to seed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the papers as a comparison of two variants.

    Attributes:
      text: The sentence, with its place.
      method: The variant that must win where its mechanism is planted.
      baseline: The variant that it must win against.
    """

    text: str
    method: str
    baseline: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Control:
    """What is compared, and where.

    Attributes:
      name: Short name.
      claims: What the comparison is to show.
      positive: A world in which theory says that the methods win.
      negative: One without the mechanism, in which they must not win by more than chance.
      variants: Variant -> its flags of `fullrank train`.
      flags: Flags that all variants share.
      metric: `auc` is the mean over tasks, `worst_auc` that of the worst task, `first_auc` and `last_auc` those of the
        first and the last one, `new_auc` that of new ads, `ne` the mean over tasks, `inside_ne` that of the rows
        inside, `fresh_auc` how often a first exposure scores higher than a repeat, `far_auc` how often a row unlike
        those of training has a larger variance of its logit (of its label, where the head has none), `ia` the
        information abundance of `field` over all sets, `nmi` the normalised mutual information of the planted group
        with the first code, or without learned groups with k-means on the user's values.
      rows: Training examples; one pass.
      seeds: Seeds of worlds and weights; more of them where runs differ more.
      field: Table whose information abundance is measured.
      rates: Learning rates that each variant is trained with in every world, whose validation rows choose one of them;
        that of tables is `TABLE_FACTOR` times as high.
      note: What explains an outcome, for the page.
      attends: Columns of behaviours, target, times and the row's own time, of which an attention map is drawn.
    """

    name: str
    claims: tuple[Claim, ...]
    positive: World
    negative: World
    variants: Mapping[str, tuple[str, ...]]
    flags: tuple[str, ...] = ()
    metric: Metric = "auc"
    rows: int = 204_800
    seeds: tuple[int, ...] = (1, 2, 3)
    field: str | None = None
    rates: tuple[float, ...] = RATES
    note: str = ""
    attends: tuple[str, str, str, str] | None = None

    def __post_init__(self) -> None:
        """Refuses what could not be compared."""
        for claim in self.claims:
            for variant in (claim.method, claim.baseline):
                if variant not in self.variants:
                    raise ValueError(f"Control {self.name!r} has no variant {variant!r}, which a claim names.")
        if self.metric == "ia" and self.field is None:
            raise ValueError(f"Control {self.name!r} measures ia and needs a field.")

    def world(self, side: Side) -> World:
        """The world of a side."""
        return self.positive if side == "positive" else self.negative

    def variants_of(self, side: Side) -> tuple[str, ...]:
        """All variants where the method must win, else only those that a claim names."""
        if side == "positive":
            return tuple(self.variants)
        named = {variant for claim in self.claims for variant in (claim.method, claim.baseline)}
        return tuple(variant for variant in self.variants if variant in named)

    def flags_of(self, variant: str, *, rate: float) -> tuple[str, ...]:
        """The flags of a training, as on a command line.

        A single pass needs no dropout, whose random numbers would go on from one seed to the next.
        """
        rates = (f"--table_learning_rate={TABLE_FACTOR * rate:g}", f"--learning_rate={rate:g}")
        return (*rates, "--dropout=0", *self.flags, *self.variants[variant])

    @property
    def tuned_by(self) -> Metric:
        """What rates are chosen by: the predictions, also where a structure is measured."""
        return "ne" if self.metric in STRUCTURAL else self.metric

    def best_rate(self, validated: Mapping[float, float]) -> float:
        """The rate that came to the best value of `tuned_by` on validation rows."""
        sign = -1.0 if self.tuned_by in LOWER_IS_BETTER else 1.0
        return max(self.rates, key=lambda rate: sign * validated[rate])

    def digest(self, side: Side, variant: str) -> str:
        """Changes with the world, the flags and the rates: a result of another plan is not one of this.

        It does not change with the defaults of flags that a control leaves out: remove the results of older defaults.
        """
        parts = (self.world(side), self.flags, self.variants[variant], self.rows, self.rates, self.field)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """Which controls are run, and where results go."""

    output: str = setting(
        REQUIRED, "Directory to write controls.md and controls.jsonl; results in it are kept, so a stopped run resumes."
    )
    controls: tuple[str, ...] = setting((), "Only these controls; all if none is given. See --list.")
    sides: tuple[str, ...] = setting(SIDES, "positive, negative or both.")
    seeds: tuple[int, ...] = setting(
        (),
        "Seeds of worlds and weights, in place of each control's own; every variant is trained with each.",
        minimum=1,
    )
    rows: int | None = setting(None, "Training examples, in place of each control's own.", minimum=BLOCK)
    workers: int = setting(1, "Runs at a time, each in a process with its share of the cores.", minimum=1)

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"--seeds needs different seeds. Received: {self.seeds}.")
        if not set(self.sides) <= set(SIDES) or not self.sides:
            raise ValueError(f"--sides takes positive and negative. Received: {','.join(self.sides)}.")
