"""A wiring for several tasks that has only one."""

from __future__ import annotations

from typing import Final

from fullrank.data.schema import Schema
from fullrank.models.wirings.wiring import Wiring
from fullrank.trainers.config.config import ModelConfig

_FOR_SEVERAL: Final = ("shared_bottom", "omoe", "mmoe", "ple", "me_mmoe", "ame", "stem")


def one_task_warning(config: ModelConfig, schema: Schema, wiring: Wiring) -> list[str]:
    """A sentence for a person if `--model` is for several tasks, and there is one in one scenario."""
    if config.model not in _FOR_SEVERAL or len(wiring.heads) > 1:
        return []
    (task,) = wiring.tasks
    others = [label.name for label in schema.labels if label.name != task]
    more = f"add others to --tasks (the data also has {', '.join(others)})" if others else "the data has no other label"
    instead = "single" if len(wiring.sets) == 1 else "me"
    return [
        f"--model={config.model} is for several tasks, but {task} is the only one: {more}, or take --model={instead}."
    ]
