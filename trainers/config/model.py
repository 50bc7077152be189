"""The configuration of a run's model."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options import GroupOptions, GroupPlace, InteractionOptions, ModelOptions
from fullrank.models.options.setting import check_settings, same_as, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class WiringConfig:
    """The wiring and the tasks of a model."""

    model: Literal["single", "me", "shared_bottom", "omoe", "mmoe", "ple", "me_mmoe", "ame", "stem", "stem_al"] = (
        setting("me", "Wiring of the model.")
    )
    tasks: tuple[str, ...] = setting((), "Labels to predict; the schema's first label if none is given.")
    auxiliary_tasks: tuple[str, ...] = setting(
        (),
        "Labels that help --model=stem_al to predict its one task; an export leaves them out. With --scenario, the "
        "task's own label in the other scenarios helps instead.",
    )
    task_weights: tuple[str, ...] = setting(
        (), "Weights of the tasks' losses as task:weight, 1 where not given; or uncertainty, learned with the model."
    )
    towers: int | None = setting(
        None,
        "Towers that the tasks share (in each scenario), tasks with similar numbers of positives together; none: one "
        "per task.",
        minimum=1,
    )
    scenarios: tuple[str, ...] = setting(
        (),
        "Ids of --scenario. An example of any other scenario gets the mean of their logits, and, if these have a "
        "distribution, a variance that includes their disagreement. With --model=stem_al the first one is predicted "
        "and exported, whatever the scenario of a request; the others help, and examples of any further scenario are "
        "not used for training.",
    )
    without_features: tuple[str, ...] = setting(
        (), "Features of the records that the model does not read; a sequence loses the ids of their tables."
    )
    widths: tuple[int, ...] = setting(
        (),
        "Width of each embedding set; if not given, 16, but 16,16 for me, me_mmoe and stem_al, and 16,32,64 for ame. "
        "stem takes one for shared embeddings and one per task, or a single number for all.",
        minimum=1,
    )
    table_widths: tuple[str, ...] = setting(
        (),
        "Widths of the rows of single tables as feature:width, such as user_id:4, less than those of --widths: a "
        "trained matrix maps the rows of such a table to the width of each wider set. For tables of very many rows.",
    )
    experts: tuple[str, ...] = setting(
        (),
        "Experts as interaction:set, sets counted from 0; just the interaction if there is one set. For ple and "
        "stem the number is the owner: 0 for shared, k for the k-th task; for stem_al 0 is the task and k its k-th "
        "auxiliary task. If not given, crossnet,flat for one set and for each owner (ple: one flat per task), "
        "gwpfm:0,flat:0,ipnn:1 for me and me_mmoe, and fm or ipnn with flat on each set for ame.",
    )
    levels: int = setting(1, "Levels of experts of --model=ple and stem.", minimum=1)
    expert_width: int = setting(64, "Width of every expert's output.", minimum=1)
    gate: Literal["softmax", "mean"] = setting("softmax", "How a task mixes the outputs of the experts.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(ModelOptions, InteractionOptions, WiringConfig):
    """The wiring of a model, and the settings that the wiring leaves open."""

    group_places: tuple[GroupPlace, ...] = same_as(GroupOptions, "places")
    group_levels: int = same_as(GroupOptions, "levels")
    group_codes: int = same_as(GroupOptions, "codes")
    group_width: int = same_as(GroupOptions, "width")
    group_hidden: tuple[int, ...] = same_as(GroupOptions, "hidden")
    group_mu: float = same_as(GroupOptions, "mu")
    group_combine: Literal["sum", "concat"] = same_as(GroupOptions, "combine")
    group_straight_through: bool = same_as(GroupOptions, "straight_through")
    group_k_means_steps: int = same_as(GroupOptions, "k_means_steps")
    group_usage_decay: float = same_as(GroupOptions, "usage_decay")
    group_restart_share: float = same_as(GroupOptions, "restart_share")
    group_weight: float = same_as(GroupOptions, "weight")
    group_detach: bool = same_as(GroupOptions, "detach")
    mixed_precision: bool = setting(False, "Compute in bfloat16, with weights in float32.")

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError(f"--tasks names a task twice. Received: {','.join(self.tasks)}.")
        if self.sequence_without and self.sequence != "tim":
            raise ValueError(
                f"--sequence_without={','.join(self.sequence_without)} leaves out parts of --sequence=tim, but "
                f"--sequence={self.sequence} has none of them: leave it out, or take --sequence=tim."
            )
        if self.sequence != "tim" and self.sequence_scale not in (ModelOptions.sequence_scale, 1.0):
            raise ValueError(
                f"--sequence_scale={self.sequence_scale:g} takes effect only with --sequence=tim, which "
                f"--sequence={self.sequence} is not: leave it out."
            )
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in defaults:
            if name.startswith("group_") and not self.group_places and getattr(self, name) != defaults[name]:
                raise ValueError(f"--{name} takes effect only with --group_places: leave it out, or give that, too.")
