"""The configuration of a training run's objective."""

from __future__ import annotations

import dataclasses

from fullrank.models.options import ObjectiveOptions
from fullrank.models.options.setting import check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig(ObjectiveOptions):
    """The losses of the tasks, and the teacher."""

    teacher: str | None = setting(
        None,
        "Whose predictions are learned in addition to the labels: a run directory, an export (its directory or a "
        "version of it), or ema, the moving average of the model itself.",
    )
    teacher_columns: tuple[str, ...] = setting(
        (), "Columns of the records that hold a teacher's probabilities, as task:column; just the column for one task."
    )
    teacher_decay: float = setting(0.999, "Decay of --teacher=ema per step.", minimum=0, below=1)
    calibrate: bool = setting(
        True,
        "In the best weights, scale and shift the logit of each binary task so that the validation split is most "
        "likely, where that split is evidence enough: tables of ids make predictions too sure. AUC stays the same. "
        "Chains and heads with a distribution are left as they are.",
    )
    log_gradients: bool = setting(
        False,
        "Write the mean gradient on the logits of negatives after each epoch, of cross entropy and of the objective.",
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
