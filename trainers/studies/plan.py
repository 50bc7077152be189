"""A study as plain data: one question, variants of a command line that answer it, and what to expect by the papers.

A study of the user's own is a JSON file with the same fields:

    {"name": "mine", "question": "Does width help?", "flags": ["--epochs=3"], "baseline": "narrow",
     "variants": {"narrow": ["--widths=8"], "wide": ["--widths=32"]}, "expected": {"wide": "better"}}

In the flags of a variant, `{baseline}` is replaced by the baseline's run directory of the same seed.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from fullrank.data.files.printable import closest
from fullrank.models.options.setting import REQUIRED, check_settings, setting

LOWER_IS_BETTER: Final = frozenset({"log_loss", "ne", "ece", "inconsistency"})
SMALL_DATA: Final = ("--batch_size=1024", "--table_learning_rate=0.01", "--learning_rate=0.0005", "--monitor=ne")
"""Settings for 10,000 to 200,000 examples: with the faster default rates models overfit before the first pass ends, and
the noise of training then hides the differences."""
BASELINE_RUN: Final = "{baseline}"
"""Placeholder in a variant's flags for the baseline's run directory of the same seed, such as its teacher."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+ -]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The variants and metrics of a comparison.

    Attributes:
      name: Short name.
      question: The question of the study, in a sentence.
      flags: Flags of `fullrank train` that all variants share.
      variants: Variant -> its own flags.
      baseline: The variant that others are compared with.
      expected: Variant -> the result against the baseline that the paper suggests.
      metrics: Statistics of `fullrank evaluate` that the tables show, the most important first; `ia` and `ia_share` are
        the information abundance of a field's embeddings in all sets together, averaged over fields, and its share of
        the maximum.
      segments: Columns over whose values the evaluation also reports, and the tables show AUC.
      duplicates: As of `fullrank evaluate`; gives the metric `inconsistency`.
      tasks: Labels predicted by every variant whose own flags name none.
      one_task_a_model: Variants that are trained once per task of `tasks`, and reported as one.
    """

    name: str
    question: str
    baseline: str
    variants: Mapping[str, tuple[str, ...]]
    flags: tuple[str, ...] = ()
    expected: Mapping[str, Literal["better", "worse"]] = dataclasses.field(default_factory=dict)
    metrics: tuple[str, ...] = ("auc", "ne")
    segments: tuple[str, ...] = ()
    duplicates: str | None = None
    tasks: tuple[str, ...] = ()
    one_task_a_model: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Rejects a study that cannot be run or compared."""
        for name in (self.name, *self.variants):
            if not _NAME.fullmatch(name):
                raise ValueError(f"Study {self.name!r}: {name!r} cannot be a name; use letters, digits and . _ + -.")
        named = {
            "baseline": (self.baseline,),
            "expected": tuple(self.expected),
            "one_task_a_model": self.one_task_a_model,
        }
        for what, names in named.items():
            for name in names:
                if name not in self.variants:
                    raise ValueError(
                        f"Study {self.name!r}: {what} names {name!r}, which is not a variant. Variants: "
                        f"{', '.join(self.variants)}."
                    )
        if self.reads_baseline and any(BASELINE_RUN in flag for flag in self.variants[self.baseline]):
            raise ValueError(f"Study {self.name!r}: the baseline cannot read its own run, {BASELINE_RUN}.")
        if self.reads_baseline and self.baseline in self.one_task_a_model:
            raise ValueError(f"Study {self.name!r}: {BASELINE_RUN} needs a baseline of one run, not of one per task.")
        if not self.metrics:
            raise ValueError(f"Study {self.name!r} has no metrics.")
        if self.one_task_a_model and not self.tasks:
            raise ValueError(f"Study {self.name!r}: one_task_a_model needs tasks.")

    @property
    def reads_baseline(self) -> bool:
        """Whether a variant needs the baseline's run."""
        return any(BASELINE_RUN in flag for flags in (self.flags, *self.variants.values()) for flag in flags)

    def runs_of(self, variant: str) -> tuple[tuple[str, ...], ...]:
        """The flags of each run that a variant consists of: one, or one per task."""
        flags = (*self.flags, *self.variants[variant])
        if variant in self.one_task_a_model:
            return tuple((*flags, f"--tasks={task}") for task in self.tasks)
        if not self.tasks or any(flag.startswith("--tasks=") for flag in flags):
            return (flags,)
        return ((*flags, f"--tasks={','.join(self.tasks)}"),)


def read_study(path: Path) -> Study:
    """Reads a study from a JSON file.

    Raises:
      ValueError: If the file is not such a JSON; the message names the field.
      OSError: If it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a study is an object with name, question, baseline and variants.")
    return _study(content, source=str(path))


def _study(content: Mapping[str, Any], *, source: str) -> Study:
    fields = {field.name: field for field in dataclasses.fields(Study)}
    for name in content:
        if name not in fields:
            meant = closest(name, list(fields))
            raise ValueError(f"{source}: unknown field {name!r}{f'; did you mean {meant!r}?' if meant else '.'}")
    missing = [name for name in ("name", "question", "baseline", "variants") if name not in content]
    if missing:
        raise ValueError(f"{source}: {', '.join(missing)} missing.")
    values = dict(content)
    for name in ("flags", "metrics", "segments", "tasks", "one_task_a_model"):
        if name in values:
            values[name] = _texts(values[name], f"{source}: {name}")
    for name in ("variants", "expected"):
        if not isinstance(values.get(name, {}), dict):
            raise ValueError(f"{source}: {name} has to be an object. Received: {values[name]!r}.")
    for name in ("name", "question", "baseline", "duplicates"):
        if name in values and not isinstance(values[name], str):
            raise ValueError(f"{source}: {name} has to be text. Received: {values[name]!r}.")
    values["variants"] = {name: _texts(flags, f"{source}: {name}") for name, flags in values["variants"].items()}
    for name, side in values.get("expected", {}).items():
        if side not in ("better", "worse"):
            raise ValueError(f"{source}: expected of {name!r} is better or worse. Received: {side!r}.")
    return Study(**values)


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{where} has to be a list of texts. Received: {value!r}.")
    return tuple(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """The study that is run, and the data."""

    study: str = setting(REQUIRED, "Name of a study, or a JSON file that describes one; see --list.")
    data: str = setting(REQUIRED, "Directory of the records.")
    output: str = setting(REQUIRED, "Directory to write; finished runs in it are kept, so a stopped study resumes.")
    seeds: tuple[int, ...] = setting((1, 2, 3, 4, 5), "Seeds; every variant is trained once with each.", minimum=0)
    variants: tuple[str, ...] = setting((), "Only these variants, in addition to the baseline; all if none is given.")
    workers: int = setting(2, "Runs at a time, each in a process with its share of the cores.", minimum=1)
    flags: tuple[str, ...] = setting(
        (), "Further flags of train for all variants, such as --epochs=1; one with a comma needs a study file."
    )
    split: str = setting("test", "Split to evaluate on.")
    keep_runs: bool = setting(False, "Keep the run directories, some megabytes each; otherwise only results stay.")

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError(f"--seeds needs different seeds, at least one. Received: {self.seeds}.")
