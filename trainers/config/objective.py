"""What a training run is told about its objective."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.trainers.config.setting import check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """How tasks are learned."""

    loss_mean: Literal["observed", "batch"] = setting(
        "observed",
        "What the losses of a task are averaged over: its observed labels, so that a task weighs the same in every "
        "batch, or the whole batch, so that a label weighs the same in every task.",
    )
    classification: Literal["cross_entropy", "focal", "class_balanced"] = setting(
        "cross_entropy", "Loss of a single example; the others are for comparison, and bias the predictions."
    )
    focus: float = setting(2.0, "Exponent of --classification=focal.", minimum=0)
    balance: float = setting(0.9999, "Beta of --classification=class_balanced.", minimum=0, below=1)
    ranking: Literal["none", "pairwise", "listwise", "jrc"] = setting(
        "none",
        "Ranking loss that joins it: of pairs of a positive and a negative, a softmax over a list, or joint ranking "
        "and calibration. pairwise also orders the examples of tasks with a real value, by their predicted means.",
    )
    ranking_weight: float = setting(
        0.5, "Share of the ranking loss; the rest is the classification loss.", minimum=0, below=1
    )
    ranking_key: str | None = setting(
        None, "Column whose equal values make a list or a pair, such as a user or a request; none: the whole batch."
    )
    max_pairs: int = setting(2**18, "Pairs beyond which --ranking=pairwise draws that many.", minimum=1)
    teacher: str | None = setting(
        None,
        "Whose predictions are learned beside the labels: a run directory, an export (its directory or a version of "
        "it), or ema, the moving average of the model itself.",
    )
    teacher_columns: tuple[str, ...] = setting(
        (), "Columns of the records that hold a teacher's probabilities, as task:column; the column alone for one task."
    )
    teacher_decay: float = setting(0.999, "Decay of --teacher=ema for each step.", minimum=0, below=1)
    distillation_weight: float = setting(1.0, "Weight of learning a teacher's predictions.", minimum=0)
    residual_weight: float = setting(
        0.0, "Weight of learning what a teacher got wrong, on positives and on negatives; 0 leaves it out.", minimum=0
    )
    residual_target: Literal["magnitude", "literal"] = setting(
        "magnitude", "What it got wrong in size, or as the paper prints it, with which training diverges."
    )
    training_hidden: tuple[int, ...] = setting(
        (64,), "Hidden layers of each head that only trains: for a teacher, its residuals and jrc.", minimum=1
    )
    log_gradients: bool = setting(
        False,
        "Write the mean gradient on the logits of negatives after each epoch, by cross entropy and by the objective.",
        operational=True,
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.teacher is not None and self.teacher_columns:
            raise ValueError("--teacher and --teacher_columns are two teachers: give one of them.")
        if self.residual_weight and not self.is_taught:
            raise ValueError("--residual_weight needs a teacher: give --teacher or --teacher_columns.")
        unused = {
            "focus": self.classification != "focal",
            "balance": self.classification != "class_balanced",
            "ranking_weight": self.ranking == "none",
            "ranking_key": self.ranking == "none",
            "max_pairs": self.ranking != "pairwise",
            "teacher_decay": self.teacher != "ema",
            "distillation_weight": not self.is_taught,
            "residual_target": not self.residual_weight,
            "training_hidden": not self.is_taught and self.ranking != "jrc",
        }
        needed = {
            "focus": "--classification=focal",
            "balance": "--classification=class_balanced",
            "ranking_weight": "--ranking",
            "ranking_key": "--ranking",
            "max_pairs": "--ranking=pairwise",
            "teacher_decay": "--teacher=ema",
            "distillation_weight": "a teacher",
            "residual_target": "--residual_weight",
            "training_hidden": "a teacher or --ranking=jrc",
        }
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name, is_unused in unused.items():
            if is_unused and getattr(self, name) != defaults[name]:
                raise ValueError(f"--{name} takes effect only with {needed[name]}: leave it out, or give that, too.")

    @property
    def is_taught(self) -> bool:
        """Whether there is a teacher."""
        return self.teacher is not None or bool(self.teacher_columns)
